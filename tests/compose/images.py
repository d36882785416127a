"""The images of the test: ours from this machine's binaries, other people's from the native stack's own parts.

Each stands under a prefix of the test's own and is named to docker compose by the variables that .env pins. What no
registry of packages carries (Grafana, Jaeger, kafka-ui) is left out; NOT_RUN says so at the end.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from engine import docker
from stack import golang, parts, steps, tools
from stack.settings import CACHE, ROOT

HERE = Path(__file__).parent / "images"
PREFIX = "millrace-test/"
OURS = ["broker", "weblog-generator", "bakery-producer", "etl", "archiver", "cli"]
OTHERS = ["postgres", "opensearch", "s3", "prometheus", "alertmanager", "otel-collector"]
NOT_RUN = "grafana, jaeger and kafka-ui; of the other third-party images stand-ins with the same programs, not the published ones"
CONTEXTS = CACHE / "compose-contexts"
BINARIES = CACHE / "bin"
COLLECTOR = ROOT / "tests/e2e/collector"


def build() -> dict[str, str]:
    """Builds what is missing or has changed, and gives the variables that name the images."""
    subprocess.run([ROOT / "deploy/docker/debian-base"], check=True)
    binaries = os.environ.get("COMPOSE_TEST_BINARIES") or own_binaries()
    command = [ROOT / "scripts/images", "--from-binaries", binaries, "--registry", PREFIX, "--version", "test"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    named = {name: f"{PREFIX}millrace/{name}:test" for name in OURS}
    theirs = {name: f"{PREFIX}{name}:test" for name in OTHERS}
    build_others(theirs)
    return {f"{name.upper().replace('-', '_')}_IMAGE": tag for name, tag in (named | theirs).items()}


def build_others(named: dict[str, str]) -> None:
    """Other people's images, under the names that the caller wants; the test on Kubernetes takes its stores from here."""
    subprocess.run([ROOT / "deploy/docker/debian-base"], check=True)
    image(HERE / "parts", f"{PREFIX}parts:test", BASE="debian:bookworm-slim")
    for name, tag in named.items():
        print(f"== image of {name}", flush=True)
        image(context(name), tag, PARTS=f"{PREFIX}parts:test")


def own_binaries() -> str:
    subprocess.run(["cargo", "build", "--locked", "--workspace", "--bins"], cwd=ROOT, check=True)
    return str(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug")


def image(directory: Path, tag: str, **arguments: str) -> None:
    # The classic builder keeps layers whose files are the same, so a second run takes seconds.
    values = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    docker("build", "-q", "-t", tag, *values, str(directory), env={**os.environ, "DOCKER_BUILDKIT": "0"})


def context(name: str) -> Path:
    """The directory that an image is built from: its Dockerfile and what that copies."""
    directory = CONTEXTS / name
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(HERE / name, directory)
    if name == "opensearch":
        link(tools.OPENSEARCH_HOME, directory / "opensearch")
        link(tools.java_home(parts.OPENSEARCH_MIN_JAVA).resolve(), directory / "jdk")
    if name == "s3":
        package = "github.com/versity/versitygw/cmd/versitygw"
        link(go_program("versitygw", HERE / "s3", package), directory / "versitygw")
    if name == "otel-collector":
        link(go_program("otelcol", COLLECTOR, "."), directory / "otelcol")
    return directory


def link(source: Path, target: Path) -> None:
    """A copy that costs no room where it can."""

    def copy(one: str, other: str) -> None:
        try:
            os.link(one, other, follow_symlinks=True)
        except OSError:  # another file system
            shutil.copy2(one, other)

    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy, ignore=shutil.ignore_patterns("src.zip", "jmods", "man"))
    else:
        copy(str(source), str(target))


def go_program(name: str, source: Path, package: str) -> Path:
    """A program built from Go modules; go.sum in `source` holds the checksums of everything that it is made of."""
    program = BINARIES / name
    files = [file for file in source.iterdir() if file.is_file()]
    if not program.exists() or any(file.stat().st_mtime > program.stat().st_mtime for file in files):
        if golang.suitable() is None:
            golang.fetch_toolchain()
        go, which = golang.suitable()
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(".new")
        words = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", fresh, package]
        steps.run(words, cwd=source, env=golang.environment(which))
        fresh.rename(program)
    return program


if __name__ == "__main__":
    build_others(dict(word.split("=", 1) for word in sys.argv[1:]))
