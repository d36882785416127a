"""The Docker engine, as the tests use it: images of this run, containers that are removed, waiting with a deadline."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# What this run makes has this before its name.
PREFIX = f"images-test-{os.getpid()}"
REGISTRY = f"{PREFIX}/"
NAMES = ["broker", "weblog-generator", "bakery-producer", "etl", "archiver", "cli"]
DEADLINE_S = 240
BIN = "/opt/kafka/bin"


def binaries() -> Path:
    """Where the programs of this checkout are; IMAGES_TEST_BINARIES says that they lie elsewhere, built already."""
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    return Path(os.environ.get("IMAGES_TEST_BINARIES", target / "debug"))


def image(name: str) -> str:
    version = next(line for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
    return f"{REGISTRY}millrace/{name}:{version.split(chr(34))[1]}"


def run(*command: str, stdin: str = "", environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Runs a command whatever it ends with, and gives its output."""
    return subprocess.run(
        [str(word) for word in command],
        input=stdin,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def must(*command: str, **more) -> str:
    """Runs a command that must succeed, and gives what it printed."""
    done = run(*command, **more)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def docker(*words: str, **more) -> str:
    return must("docker", *words, **more)


def inspect(what: str, form: str) -> str:
    return docker("inspect", "-f", form, what).strip()


def until(what: str, holds, deadline_s: float = DEADLINE_S):
    """Waits until `holds` gives something true, and gives that."""
    end = time.monotonic() + deadline_s
    while not (found := holds()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.2)
    return found


@contextlib.contextmanager
def container(name: str, *options: str, image_name: str = "broker", words: tuple[str, ...] = ()):
    """A running container of this run's image; its log is shown when the test fails."""
    full = f"{PREFIX}-{name}"
    docker("run", "-d", "--name", full, *options, image(image_name), *words)
    try:
        yield full
    except BaseException:
        print(run("docker", "logs", "--tail", "40", full).stderr)
        raise
    finally:
        run("docker", "rm", "-f", "-v", full)


def healthy(name: str) -> bool:
    return inspect(name, "{{.State.Health.Status}}") == "healthy"


def tool(name: str, words: str, at: str, stdin: str = "") -> str:
    """Runs one of Kafka's tools inside of a container."""
    return docker("exec", "-i", at, f"{BIN}/kafka-{name}.sh", *words.split(), stdin=stdin)


def compose_config() -> str:
    """The directory with Docker Compose as a plugin, where the client has none of its own."""
    own = run("docker", "compose", "version").returncode == 0
    return os.environ.get("DOCKER_CONFIG", str(Path.home() / ".docker")) if own else str(ROOT / ".cache/docker-config")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def directory():
    """A directory that any user may read."""
    with tempfile.TemporaryDirectory(prefix="millrace-images-test-") as path:
        os.chmod(path, 0o755)
        yield Path(path)
