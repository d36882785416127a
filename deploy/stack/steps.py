"""One thing that is brought onto this machine, and the clients of the registries that bring it."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .settings import Stop


@dataclass(frozen=True)
class Step:
    """What is brought, how long that usually takes, and how it is done."""

    what: str
    takes: str
    bring: Callable[[], None]


def run(command: list, hint: str = "", **options) -> None:
    """Runs one client of a registry; its output is shown only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise Stop(f"`{' '.join(map(str, command))}` failed:\n{tail}\n{hint}".rstrip())


def emptied(directory: Path) -> Path:
    """A new and empty directory, whatever was there before."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
