"""Fails where a process of a native stack listens on anything but loopback: metrics and stores are not protected by more.

Takes the stack's data directory, by which its processes are known.
"""

import ipaddress
import os
import sys
from pathlib import Path


def address(text: str) -> tuple[bool, str]:
    """Whether it is on loopback, and `ip port n`; /proc/net/tcp writes each four bytes in the machine's order."""
    digits, port = text.split(":")
    words = [bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8)]
    found = ipaddress.ip_address(b"".join(words))
    plain = getattr(found, "ipv4_mapped", None) or found
    return plain.is_loopback, f"{plain} port {int(port, 16)}"


def listening() -> dict[str, tuple[bool, str]]:
    """Where each listening socket of this machine listens, by inode."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in map(str.split, Path(table).read_text().splitlines()[1:]):
            if fields[3] == "0A":
                found[f"socket:[{fields[9]}]"] = address(fields[1])
    return found


def sockets(data: str) -> dict[str, str]:
    """The sockets of the processes that carry a stack's mark, and the part that each belongs to."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            if f"MILLRACE_STACK={data}".encode() in environment:
                name = (process / "comm").read_text().strip()
                found |= {os.readlink(handle): name for handle in (process / "fd").iterdir()}
        except OSError:
            continue
    return found


def main() -> None:
    data = str(Path(sys.argv[1]).resolve())
    everywhere, own = listening(), sockets(data)
    ours = {(*everywhere[inode], own[inode]) for inode in own.keys() & everywhere.keys()}
    if len(ours) < 10:
        sys.exit(f"only {len(ours)} listening sockets of {data}: {sorted(ours)}")
    if others := sorted(f"{name} on {place}" for closed, place, name in ours if not closed):
        sys.exit("\n".join(["not on loopback:", *others]))
    print(f"loopback: {len(ours)} listening sockets, none of them open to others")


if __name__ == "__main__":
    main()
