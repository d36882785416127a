"""Docker Compose v2, built from its Go module where no package has it (Debian's own is version 1)."""

import shutil

from . import golang
from .settings import CACHE, ROOT, Stop, say
from .steps import Step, run

VERSION = "v2.40.3"  # as in deploy/compose/plugin/go.mod
MODULE = "github.com/docker/compose/v2"
SOURCE = ROOT / "deploy/compose/plugin"
# A client that is given this directory as DOCKER_CONFIG has the plugin; the user's own directory is left alone.
DOCKER_CONFIG = CACHE / "docker-config"
PROGRAM = DOCKER_CONFIG / "cli-plugins/docker-compose"


def plan() -> list[Step]:
    if PROGRAM.exists():
        return []
    steps = [Step(f"Docker Compose {VERSION}, built from its module", "3-8 min, 67 MB", build)]
    if golang.suitable() is None:
        steps.insert(0, golang.toolchain_step())
    return steps


def build() -> None:
    """Builds it; go.sum holds the checksums of everything that it is made of."""
    go, which = golang.suitable()
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    fresh = PROGRAM.with_suffix(".new")
    flags = f"-s -w -X {MODULE}/internal.Version={VERSION}"
    command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", fresh, f"{MODULE}/cmd"]
    run(command, cwd=SOURCE, env=golang.environment(which))
    fresh.rename(PROGRAM)


def bring() -> None:
    """Brings it for `make up STACK=docker`, where somebody insists on containers."""
    if golang.suitable() is None and not shutil.which("go"):
        raise Stop(
            "STACK=docker needs Docker Compose v2 (https://docs.docker.com/compose/install/linux), which is not installed. "
            "With Go installed (Debian: golang-go) it is built from its module here."
        )
    for step in plan():
        say(f"get       {step.what} ({step.takes})")
        step.bring()
