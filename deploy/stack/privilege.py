"""Runs servers that refuse root as an unprivileged user, without creating one."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from .settings import CACHE, ROOT, Settings, Stop


def user() -> pwd.struct_passwd | None:
    """Who runs the servers that refuse root; None where we are not root to begin with."""
    if os.geteuid() != 0:
        return None
    owner = ROOT.stat().st_uid
    return pwd.getpwuid(owner) if owner and known(owner) else pwd.getpwnam("nobody")


def known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def shut_in(path: Path) -> bool:
    """True where a parent of `path` (root's home, mostly) lets nobody but its owner pass."""
    return any(not parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def prefix(settings: Settings) -> list[str]:
    """What to put before a command so that it runs unprivileged.

    Where the stack lies in a directory that only root may enter, the process keeps one capability,
    the one that lets it pass there: moving the data elsewhere would break "all under one directory".
    """
    account = user()
    if account is None:
        return []
    command = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    if shut_in(settings.data / "x") or shut_in(CACHE / "x"):
        command += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
        # Without it access(2), which initdb asks about its own binary, would not count the capability.
        command += ["--securebits=+no_setuid_fixup"]
    else:
        command += ["--inh-caps=-all"]
    return [*command, "--no-new-privs", "--"]


def own(directory: Path) -> None:
    """Makes `directory` and gives it, with all that is in it, to the unprivileged user."""
    directory.mkdir(parents=True, exist_ok=True)
    account = user()
    if account and directory.stat().st_uid != account.pw_uid:
        give(directory)


def give(directory: Path) -> None:
    """Gives `directory`, with all that is in it, to the unprivileged user."""
    if account := user():
        for path in [directory, *directory.rglob("*")]:
            shutil.chown(path, account.pw_uid, account.pw_gid)


def check(settings: Settings) -> None:
    """The unprivileged user must really be able to work in the data directory."""
    trial = settings.data / "run" / "trial"
    own(trial)
    done = subprocess.run([*prefix(settings), "touch", trial / "x"], capture_output=True, text=True)
    shutil.rmtree(trial)
    if done.returncode:
        raise Stop(f"An unprivileged user cannot work in {settings.data}: {done.stderr.strip()}")
