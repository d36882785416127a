"""The two ways to run the mesh, which answer the same questions: processes (native) and containers (docker)."""

from types import ModuleType

from . import docker, native
from .settings import Settings, Stop, say

STACKS = {"native": native, "docker": docker}


def of(settings: Settings) -> ModuleType:
    """The module that runs this stack."""
    return STACKS[settings.stack]


def choose(settings: Settings) -> None:
    """Decides, where nobody has, how a stack is run that is about to be started; says which way it is and why."""
    if not settings.stack_is_open:
        check_other(settings)
        return
    if why := docker.unusable(settings):
        settings.use("native")
        say(f"stack     native (processes), as {why}; STACK=docker insists")
    else:
        settings.use("docker")
        say("stack     docker: an engine answers, and every image is here or can be had; STACK=native takes processes instead")


def check_other(settings: Settings) -> None:
    """One data directory, one stack at a time."""
    recorded = settings.recorded("stack")
    if recorded in STACKS and recorded != settings.stack and STACKS[recorded].runs(settings):
        raise Stop(f"STACK={settings.stack}, but the {recorded} stack of {settings.data} runs: `make down STACK={recorded}` first.")


def find(settings: Settings) -> None:
    """For commands that start nothing: a stack that somebody started by `docker compose up` is a stack, too."""
    if settings.stack_is_open:
        settings.use("docker" if docker.found(settings) else "native")
