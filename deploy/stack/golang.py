"""The Go programs of the tests: a Go that is new enough, and what is built with it, all under `.cache/go`.

Since 1.21 the go command fetches the version that a module asks for by itself. Debian 12's is older: with it the same
toolchain is fetched as what it is, a module, whose checksum stands in parts.py.
"""

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import parts
from .settings import CACHE, ROOT, Stop
from .steps import Step, run

HOME = CACHE / "go"


@dataclass(frozen=True)
class GoProgram:
    """One program of the tests; its go.sum holds the checksums of everything that it is made of."""

    name: str
    source: Path
    what: str
    takes: str

    @property
    def path(self) -> Path:
        return HOME / "bin" / self.name

    def is_fresh(self) -> bool:
        """Whether the program is newer than everything that it is made of."""
        if not self.path.exists():
            return False
        built = self.path.stat().st_mtime
        return all(file.stat().st_mtime < built for file in self.source.iterdir())


FRANZ_GO = GoProgram("franz-go", ROOT / "tests/compat/franz-go", f"the Go client: franz-go {parts.FRANZ_GO_VERSION}", "30 s, 30 MB")
COLLECTOR = GoProgram(
    "otel-collector", ROOT / "tests/e2e/collector", f"the OpenTelemetry collector {parts.COLLECTOR_VERSION}", "2 min, 40 MB"
)
# The first go command that takes care of its own version.
SELF_UPDATING = (1, 21)


def architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def toolchain() -> Path:
    """Where the fetched Go lies or will lie."""
    return HOME / f"{parts.GO_VERSION}-{architecture()}"


def version(go: Path | str) -> tuple[int, ...]:
    text = subprocess.run([go, "version"], capture_output=True, text=True, env=environment("local")).stdout
    found = re.search(r"go version go(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else (0,)


def suitable() -> tuple[Path | str, str] | None:
    """A go command that can build the program, and what it is told about toolchains."""
    own = toolchain() / "bin/go"
    if own.exists():
        return own, "local"
    installed = shutil.which("go")
    if installed and version(installed) >= SELF_UPDATING:
        return installed, "auto"
    return None


def environment(which: str) -> dict[str, str]:
    """Nothing is written outside of `.cache/go`; where modules come from is the owner's choice, how they are built not."""
    return {
        **{key: value for key, value in os.environ.items() if key not in ("GOROOT", "GOFLAGS", "GOWORK")},
        "GOTOOLCHAIN": which,
        "GOPATH": str(HOME / "path"),
        "GOMODCACHE": str(HOME / "modules"),
        "GOCACHE": str(HOME / "build"),
        # What is read-only cannot be removed with `.cache/`.
        "GOFLAGS": "-modcacherw",
        "CGO_ENABLED": "0",
    }


def plan(program: GoProgram) -> list[Step]:
    """What brings the program up to date."""
    if program.is_fresh():
        return []
    steps = [Step(f"for the tests, built: {program.what}", program.takes, lambda: build(program))]
    if suitable() is None:
        steps.insert(0, toolchain_step())
    return steps


def toolchain_step() -> Step:
    return Step(f"to build Go programs, where Debian's Go is too old: {parts.GO_VERSION}", "20 s, 75 MB", fetch_toolchain)


def build(program: GoProgram) -> None:
    go, which = suitable()
    run([go, "build", "-trimpath", "-buildvcs=false", "-o", program.path, "."], cwd=program.source, env=environment(which))


def fetch_toolchain() -> None:
    """Go as the module golang.org/toolchain. An old go command fetches and checks it, but neither makes its programs
    executable nor gives the module files in it, which a module may not hold, their names back."""
    if suitable():
        return  # Debian's package, which has been installed meanwhile, is new enough
    name = f"v0.0.1-{parts.GO_VERSION}.linux-{architecture()}"
    if architecture() not in parts.GO_CHECKSUMS:
        raise Stop(f"Go 1.21 or newer is needed on {architecture()}: install it, and run this again.")
    fetched = HOME / "fetched.json"
    HOME.mkdir(parents=True, exist_ok=True)
    command = f'go mod download -json "golang.org/toolchain@{name}" > "{fetched}"'
    run(["sh", "-c", command], cwd=HOME, env=environment("local"))
    module = json.loads(fetched.read_text())
    fetched.unlink()
    if module["Sum"] != parts.GO_CHECKSUMS[architecture()]:
        raise Stop(f"golang.org/toolchain@{name} has the checksum {module['Sum']}, not the one in deploy/stack/parts.py")
    unpacked = Path(module["Dir"])
    for program in [*unpacked.glob("bin/*"), *unpacked.glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    for file in unpacked.rglob("_go.mod"):
        file.rename(file.with_name("go.mod"))
    unpacked.rename(toolchain())
    Path(module["Zip"]).unlink()
