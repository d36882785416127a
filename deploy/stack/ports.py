"""Which ports the stack takes, who holds one that is taken, and how to find free ones."""

import os
import random
import socket
from pathlib import Path

from . import parts
from .settings import Settings, Stop, say


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def owner(port: int) -> str:
    """`name (pid n)` of the process that listens on `port`, as far as this user may know."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for handle in (process / "fd").iterdir():
                if os.readlink(handle) in inodes:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return "a process of another user"


def names_of(wanted: list[str], stack: str) -> list[str]:
    return [name for part in wanted for name in parts.ports_of(part, stack)]


def check(settings: Settings, wanted: list[str], settled: bool) -> None:
    """Refuses to go on where a port is taken that the `wanted` parts, none of which runs, need.

    `settled`: other parts of the stack run already, so that all its ports are fixed.
    """
    if settings.ports_free and not settled:
        return
    taken, seen = [], {}
    for name in names_of(wanted, settings.stack):
        port = settings.port(name) if settled else settings.configured_port(name)
        variable = parts.PORTS[name][0]
        if port in seen:
            raise Stop(f"{variable} and {seen[port]} are both {port}: change one of them")
        seen[port] = variable
        if not is_free(port):
            taken.append(f"  port {port} ({name}) is taken by {owner(port)}: set {variable}")
    if taken:
        raise Stop(
            "Nothing has been started, because of ports that are in use:\n"
            + "\n".join(taken)
            + "\nSet the variable in .env or on the command line (make up "
            + f"{parts.PORTS['postgres'][0]}=25432), or use PORTS=free."
        )


def remind(settings: Settings) -> None:
    """Says of ports that somebody has set by now that a running stack keeps those it has."""
    chosen = {variable: settings.get(variable, "") for variable, _ in parts.PORTS.values()}
    kept = {variable: str(settings.port(name)) for name, (variable, _) in parts.PORTS.items()}
    waiting = [f"{variable}={port}" for variable, port in chosen.items() if port and port != kept[variable]]
    if waiting and not settings.ports_free:
        say(f"note      {', '.join(waiting)}: this stack runs and keeps its ports until `make down`")


def settle(settings: Settings) -> None:
    """Fixes the ports of a stack that does not run, and writes them down for the other commands."""
    if settings.ports_free:
        recorded = settings.ports
        keep = recorded.keys() == parts.PORTS.keys() and all(map(is_free, recorded.values()))
        settings.ports = recorded if keep else find_free()
    else:
        settings.ports = {name: settings.configured_port(name) for name in parts.PORTS}
    settings.record()


def find_free() -> dict[str, int]:
    """Neighbouring free ports below the range from which the kernel takes ports for outgoing connections.

    Blocks, because two stacks that start in the same moment then rarely choose the same port.
    """
    size = len(parts.PORTS)
    blocks = list(range(20000, 32000, size))
    random.shuffle(blocks)
    for first in blocks:
        if all(map(is_free, range(first, first + size))):
            return {name: first + number for number, name in enumerate(parts.PORTS)}
    raise Stop(f"no {size} neighbouring free ports between 20000 and 32000")
