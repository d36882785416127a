"""The native stack: processes of this machine under one supervisor per data directory."""

import os
import subprocess
import sys

from . import install, parts, ports, privilege, programs, supervise
from .program import Part
from .settings import ROOT, Settings, Stop, say

STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "restarting",
    "STOPPING": "stopping",
    "FATAL": "failed",
    "UNKNOWN": "failed",
}

alive = supervise.alive
start = supervise.start
shut_down = supervise.shut_down


def states(settings: Settings) -> dict[str, Part]:
    """What every part is doing; one that outlived its supervisor runs on "unsupervised"."""
    known = supervise.infos(settings)
    orphans = {} if known else supervise.unsupervised(settings)
    found = {}
    for name in settings.all:
        info = known.get(name, {})
        state = "unsupervised" if name in orphans else STATES.get(info.get("statename"), "stopped")
        found[name] = Part(state, pid=info.get("pid") or orphans.get(name))
    if orphans:
        say("The supervisor is gone, and its parts run on alone: `make up` starts all anew, `make down` stops them.")
    return found


def runs(settings: Settings) -> bool:
    """Whether anything of this stack runs, supervised or not."""
    return alive(settings) or bool(supervise.leftovers(settings))


# ---- up and down -----------------------------------------------------------------------------


def build(settings: Settings) -> None:
    """Builds every program at once: a part of the workspace has other features, and is built twice."""
    say(f"build     the broker and the services ({settings.profile}); the first time takes minutes")
    command = ["cargo", "build", "--locked", "--workspace", "--bins"]
    command += ["--release"] if settings.profile == "release" else []
    if subprocess.run(command, cwd=ROOT).returncode:
        raise Stop("cargo build failed; its messages are above")


def prepare(settings: Settings, wanted: list[str]) -> None:
    """Everything before the first start: what this machine lacks, the ports, the programs, the directory."""
    need = install.Need(build=any(n not in settings.stores for n in wanted), stores=any(n in settings.stores for n in wanted))
    known = supervise.infos(settings)
    settled = alive(settings)
    install.check_tools(need)
    if not settled:
        supervise.end_leftovers(settings)
    ports.check(settings, [name for name in wanted if not known.get(name, {}).get("pid")], settled)
    if need.build and not (settings.bin_dir() / "millrace-broker").exists():
        minutes = 15 if settings.profile == "release" else 6
        say(f"will build  the broker and the services ({minutes} min on two free cores, the first time)")
    install.install(need)
    if need.build:
        build(settings)
    if settled:
        ports.remind(settings)
        settings.record()
    else:
        ports.settle(settings)
    privilege.check(settings)
    supervise.launch(settings, programs.define(settings, wanted))


def stop(settings: Settings, names: list[str]) -> None:
    supervise.stop(settings, names)
    if not any(info["pid"] for info in supervise.infos(settings).values()):
        shut_down(settings)


def remove_data(settings: Settings) -> None:
    """All of it lies in the data directory, which the caller removes."""


# ---- looking and asking ----------------------------------------------------------------------


def log_tail(settings: Settings, name: str, lines: int = 20) -> str:
    try:
        text = settings.log(name).read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        text = []
    return f"last lines of {settings.log(name)}:\n  " + "\n  ".join(text or ["(nothing)"])


def logs(settings: Settings, names: list[str]) -> None:
    files = [str(settings.log(part)) for part in names if settings.log(part).exists()]
    if not files:
        raise Stop(f"no logs under {settings.data}/logs yet")
    os.execvp("tail", ["tail", "-n", "50", "-F", *files] if sys.stdout.isatty() else ["tail", "-n", "200", *files])


def psql(settings: Settings, database: str) -> list[str]:
    """The command that asks PostgreSQL; the query is its last argument."""
    url = settings.environment()["DATABASE_URL"]
    return ["psql", "-XqtA", url.removesuffix("/millrace") + f"/{database}", "-c"]


def millrace(settings: Settings, arguments: list[str]) -> None:
    """Becomes the command line that the stack was started with, with the addresses of `make env`."""
    binary = settings.bin_dir() / "millrace"
    if not binary.exists():
        build(settings)
    os.environ.update(settings.environment())
    # By these `millrace chaos` reaches the processes that it hurts.
    os.environ.update({"MILLRACE_STACK_COMMAND": str(ROOT / "scripts/stack"), "DATA_DIR": str(settings.data)})
    os.execv(binary, [str(binary), *arguments])
