"""What the node needs of this machine's kernel, and how each of it is given back: namespaces, cgroups, settings."""

import json
import subprocess
import time
from pathlib import Path

from stack.settings import Stop

from .layout import Layout

CGROUPS = Path("/sys/fs/cgroup")
# All pods together would weigh as much as one process of this machine, and starve beside a compiler.
WEIGHTS = {"cpu.shares": "16384", "cpu.weight": "1600"}
# kubelet sets these for the whole machine.
SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")


def ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if check and done.returncode:
        raise Stop(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


# ---- network ---------------------------------------------------------------------------------


def free_link() -> int:
    routes = ip("route", "show", "table", "all")
    for number in range(1, 250):
        if f"10.213.{number}." not in routes:
            return number
    raise Stop("10.213.0.0/16 is taken on this machine: no address for the node's network")


def make_network(layout: Layout) -> None:
    """A network namespace, and a cable to it: the API server and node ports are reached at the node's address."""
    name, inner = layout.cgroup, f"{layout.interface}n"
    ip("netns", "add", name)
    ip("link", "add", layout.interface, "type", "veth", "peer", "name", inner, "netns", name)
    ip("addr", "add", f"{layout.host_address}/30", "dev", layout.interface)
    ip("link", "set", layout.interface, "up")
    ip("-n", name, "addr", "add", f"{layout.address}/30", "dev", inner)
    ip("-n", name, "link", "set", inner, "up")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "route", "add", "default", "via", layout.host_address)
    subprocess.run(["nsenter", f"--net=/run/netns/{name}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)


def remove_network(layout: Layout) -> None:
    ip("link", "del", layout.interface, check=False)
    ip("netns", "del", layout.cgroup, check=False)


# ---- cgroups ---------------------------------------------------------------------------------


def hierarchies() -> list[Path]:
    """The roots under which the node gets a cgroup of its own: one for each controller, or the unified one."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def make_cgroups(layout: Layout) -> None:
    for root in hierarchies():
        own = root / layout.cgroup
        own.mkdir(exist_ok=True)
        if root == CGROUPS:
            controllers = " ".join(f"+{name}" for name in (root / "cgroup.controllers").read_text().split())
            (root / "cgroup.subtree_control").write_text(controllers)
        for file in ("cpuset.cpus", "cpuset.mems"):  # version 1: empty at first, and nothing may run in it
            if (root / file).exists() and root != CGROUPS:
                (own / file).write_text((root / file).read_text())
        for file, weight in WEIGHTS.items():
            if (own / file).exists():
                (own / file).write_text(weight)


def pids(layout: Layout) -> set[int]:
    """Every process that still runs in a pod of this node."""
    found = set()
    for root in hierarchies():
        for file in (root / layout.cgroup).glob("**/cgroup.procs"):
            try:
                found |= {int(word) for word in file.read_text().split()}
            except OSError:  # it has gone meanwhile
                continue
    return found


def remove_cgroups(layout: Layout, deadline_s: float = 60) -> None:
    """A cgroup can be removed when its last process has been reaped, which takes the kernel a moment."""
    deadline = time.monotonic() + deadline_s
    while True:
        left = []
        for root in hierarchies():
            own = root / layout.cgroup
            for directory in sorted([own, *own.glob("**/")], key=lambda path: -len(path.parts)):
                try:
                    directory.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    left.append(str(directory))
        if not left:
            return
        if time.monotonic() > deadline:
            raise Stop(f"these cgroups of the node are still in use: {' '.join(left[:5])}")
        time.sleep(0.2)


# ---- settings --------------------------------------------------------------------------------


def read_settings() -> dict[str, str]:
    return {name: Path("/proc/sys", name).read_text().strip() for name in SETTINGS if Path("/proc/sys", name).exists()}


def keep_settings(layout: Layout) -> None:
    (layout.root / "settings.json").write_text(json.dumps(read_settings()))


def restore_settings(layout: Layout) -> None:
    file = layout.root / "settings.json"
    for name, value in (json.loads(file.read_text()) if file.exists() else {}).items():
        if Path("/proc/sys", name).read_text().strip() != value:
            Path("/proc/sys", name).write_text(value)
