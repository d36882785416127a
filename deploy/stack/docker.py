"""The stack of containers: docker-compose.yaml, driven by Docker Compose v2."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from . import compose_plugin, lock, parts, ports
from .program import Part
from .settings import CACHE, ROOT, Settings, Stop, say

STATES = {"created": "starting", "exited": "stopped", "dead": "failed", "removing": "stopping"}
# How long a registry may take to say whether it has an image, before we go without it.
REGISTRY_S = 15
LABEL = "com.docker.compose"


# ---- the engine and its client ---------------------------------------------------------------


def ask(command: list, seconds: float = 30) -> subprocess.CompletedProcess:
    """Runs a command to its end; one that is absent or takes too long has failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


@cache
def engine() -> str:
    """The version of the engine that answers; nothing where none does."""
    return ask(["docker", "version", "--format", "{{.Server.Version}}"], 10).stdout.strip()


@cache
def compose() -> tuple[str, ...]:
    """The command that is Docker Compose v2: the user's own, or the one built from its module."""
    if ask(["docker", "compose", "version", "--short"], 10).stdout.strip().lstrip("v").startswith(("2.", "3.", "4.", "5.")):
        return ("docker", "compose")
    return (str(compose_plugin.PROGRAM),) if compose_plugin.PROGRAM.exists() else ()


def command(settings: Settings, *arguments: str) -> list[str]:
    files = [ROOT / "docker-compose.yaml", *([override(settings)] if override(settings).exists() else [])]
    chosen = [word for file in files for word in ("--file", str(file))]
    base = [*compose(), "--project-name", settings.project, "--project-directory", str(ROOT), *chosen]
    return [*base, "--profile", "*", *arguments]


def environment(settings: Settings) -> dict[str, str]:
    """What the compose file asks for, as this stack has it settled. The rest Compose reads in .env by itself."""
    chosen = {variable: str(settings.port(name)) for name, (variable, _) in parts.PORTS.items()}
    chosen |= {"S3_BUCKET": settings.bucket, "SECRETS_DIR": str(settings.secrets())}
    if "jaeger" in settings.stores and not settings.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""):
        chosen["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://otel-collector:4317"
    # The person's own choice of a project is in settings.project already.
    return {**os.environ, **chosen, "COMPOSE_PROJECT_NAME": settings.project}


def run(settings: Settings, *arguments: str) -> None:
    """Runs Compose; its output goes where progress goes."""
    done = subprocess.run(command(settings, *arguments), env=environment(settings), cwd=ROOT, stdout=sys.stderr)
    if done.returncode:
        raise Stop(f"`docker compose {' '.join(arguments)}` failed; its messages are above")


def become(settings: Settings, *arguments: str) -> None:
    words = command(settings, *arguments)
    sys.stdout.flush()
    os.execvpe(words[0], words, environment(settings))


# ---- containers ------------------------------------------------------------------------------


def containers(settings: Settings) -> dict[str, dict]:
    """What the engine knows of each service's container."""
    chosen = ["--filter", f"label={LABEL}.project={settings.project}", "--filter", f"label={LABEL}.oneoff=False"]
    ids = ask(["docker", "ps", "-aq", "--no-trunc", *chosen]).stdout.split()
    if not ids:
        return {}
    # One that ends meanwhile is left out.
    described = json.loads(ask(["docker", "inspect", *ids]).stdout or "[]")
    return {one["Config"]["Labels"][f"{LABEL}.service"]: one for one in described}


def state(container: dict) -> str:
    now = container["State"]
    if now["Status"] == "running" and now.get("Health", {}).get("Status") == "unhealthy":
        return "unhealthy"
    return STATES.get(now["Status"], now["Status"])


def states(settings: Settings) -> dict[str, Part]:
    known = containers(settings)
    found = {}
    for name in settings.all:
        if name in known:
            container = known[name]
            found[name] = Part(state(container), container["State"]["Pid"] or None, container["Name"].lstrip("/"))
        else:
            found[name] = Part("stopped")
    return found


def runs(settings: Settings) -> bool:
    return any(container["State"]["Running"] for container in containers(settings).values())


alive = runs


def found(settings: Settings) -> bool:
    """Whether the engine has containers of this checkout's mesh, whoever started them."""
    return bool(engine()) and any(directory(one) == str(ROOT) for one in containers(settings).values())


def directory(container: dict) -> str:
    return container["Config"]["Labels"].get(f"{LABEL}.project.working_dir", "")


# ---- images ----------------------------------------------------------------------------------


def services(settings: Settings) -> dict[str, dict]:
    """The services as Compose understands the file."""
    done = subprocess.run(
        command(settings, "config", "--format", "json"), env=environment(settings), cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise Stop(f"docker-compose.yaml cannot be read:\n{done.stderr.strip()}")
    return json.loads(done.stdout)["services"]


def is_here(image: str) -> bool:
    return ask(["docker", "image", "inspect", "--format", "{{.Id}}", image]).returncode == 0


def can_be_pulled(image: str) -> bool:
    return ask(["docker", "manifest", "inspect", image], REGISTRY_S).returncode == 0


def unobtainable(wanted: dict[str, dict]) -> list[str]:
    """Images that are neither here, nor built from this repository, nor in their registry."""
    needed = set()
    for service in wanted.values():
        if is_here(service["image"]):
            continue
        build = service.get("build")
        needed |= set(build["args"].values()) if build else {service["image"]}
    absent = sorted(image for image in needed if not is_here(image))
    with ThreadPoolExecutor(max_workers=16) as askers:
        return [image for image, found in zip(absent, askers.map(can_be_pulled, absent)) if not found]


def unusable(settings: Settings) -> str:
    """Why the mesh cannot run in containers here; nothing where it can."""
    if not engine():
        return "no Docker engine answers"
    if not compose():
        return "Docker Compose v2 is not installed"
    known = services(settings)
    lacking = unobtainable({name: known[name] for name in settings.all_in_docker})
    if lacking:
        return f"these images are not here, and no registry gave them within {REGISTRY_S} s: {', '.join(lacking)}"
    return ""


def get_images(settings: Settings, wanted: list[str]) -> None:
    """Builds what is ours and pulls what is not, where it is not here yet."""
    known = services(settings)
    missing = {name: known[name] for name in [*wanted, "millrace"] if not is_here(known[name]["image"])}
    ours = [name for name, service in missing.items() if "build" in service]
    others = [name for name in missing if name not in ours]
    if others:
        say(f"pull      the images of {', '.join(others)}")
        run(settings, "pull", *others)
    if ours:
        say(f"build     the images of {', '.join(ours)}; the first time takes minutes (`make images` does it beforehand)")
        run(settings, "build", *ours)


# ---- up and down -----------------------------------------------------------------------------


def override(settings: Settings) -> Path:
    """What a setting adds to docker-compose.yaml; JSON is YAML, too."""
    return settings.data / "config/compose.json"


def variable(key: str) -> str:
    """A key of server.properties as the variable that sets it, by the rule of the apache/kafka image."""
    return "KAFKA_" + key.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def write_override(settings: Settings) -> None:
    properties = dict(word.partition("=")[::2] for word in settings.get("BROKER_PROPERTIES", "").split())
    file = override(settings)
    file.unlink(missing_ok=True)
    if properties:
        values = {variable(key): value for key, value in properties.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"services": {name: {"environment": values} for name in parts.BROKERS}}, indent=2) + "\n")


def prepare(settings: Settings, wanted: list[str]) -> None:
    """Everything before the first start: Compose, the ports, the images, the secrets."""
    if not engine():
        raise Stop("STACK=docker, but no Docker engine answers: " + ask(["docker", "version"], 10).stderr.strip())
    if not compose():
        with lock.held(CACHE / "lock", "what is installed"):
            compose_plugin.bring()
        compose.cache_clear()
    known = containers(settings)
    if others := {directory(one) for one in known.values()} - {str(ROOT)}:
        raise Stop(f"The project {settings.project} of Docker Compose belongs to {', '.join(others)}: set COMPOSE_PROJECT_NAME.")
    up = [name for name, one in known.items() if one["State"]["Running"] or one["State"]["Restarting"]]
    ports.check(settings, [name for name in wanted if name not in up], bool(up))
    if up:
        ports.remind(settings)
        settings.record()
    else:
        ports.settle(settings)
    settings.write_secrets()
    write_override(settings)
    get_images(settings, wanted)


def start(settings: Settings, names: list[str]) -> None:
    # What they depend on is waited for by ourselves, with a reason while it lasts.
    run(settings, "up", "--detach", "--no-deps", "--no-build", "--quiet-pull", *names)


def stop(settings: Settings, names: list[str]) -> None:
    run(settings, "rm", "--stop", "--force", *names)
    if not runs(settings):
        shut_down(settings)


def shut_down(settings: Settings) -> None:
    """Services first, then the brokers, then the stores: dependants stop before what they depend on."""
    run(settings, "down", "--remove-orphans")


def remove_data(settings: Settings) -> None:
    run(settings, "down", "--volumes", "--remove-orphans")


# ---- looking and asking ----------------------------------------------------------------------


def log_tail(settings: Settings, name: str, lines: int = 20) -> str:
    done = ask([*command(settings, "logs", "--no-color", "--no-log-prefix", "--tail", str(lines), name)])
    text = (done.stdout + done.stderr).splitlines()
    return f"last lines of `docker compose logs {name}`:\n  " + "\n  ".join(text or ["(nothing)"])


def logs(settings: Settings, names: list[str]) -> None:
    become(settings, "logs", *(["--follow", "--tail", "50"] if sys.stdout.isatty() else ["--tail", "200"]), *names)


def psql(settings: Settings, database: str) -> list[str]:
    """The command that asks PostgreSQL; the query is its last argument."""
    return command(settings, "exec", "-T", "postgres", "psql", "-XqtA", "-U", "millrace", "-d", database, "-c")


def command_line(settings: Settings) -> Path:
    """The command line as a program of this machine, out of its image."""
    image = services(settings)["millrace"]["image"]
    created = ask(["docker", "create", image], 120)
    if created.returncode:
        raise Stop(f"no container of {image} can be made: {created.stderr.strip()}")
    container = created.stdout.split()[-1]
    program = CACHE / "bin-of-image/millrace"
    program.parent.mkdir(parents=True, exist_ok=True)
    # Another may be running what is there.
    fresh = program.with_suffix(f".{os.getpid()}")
    try:
        copied = ask(["docker", "cp", f"{container}:/usr/local/bin/millrace", str(fresh)], 120)
    finally:
        ask(["docker", "rm", container])
    if copied.returncode:
        raise Stop(f"{image} gives no command line: {copied.stderr.strip()}")
    tried = ask([str(fresh), "--version"])
    if tried.returncode:
        fresh.unlink()
        raise Stop(f"the command line of {image} does not run on this machine: {tried.stderr.strip()}")
    fresh.replace(program)
    return program


def millrace(settings: Settings, arguments: list[str]) -> None:
    """Becomes the command line in a container of the mesh's network; on this machine for `chaos`, which needs Docker itself."""
    if arguments[:1] == ["chaos"]:
        program = command_line(settings)
        os.environ.update(settings.environment())
        own = {"MILLRACE_STACK_COMMAND": str(ROOT / "scripts/stack"), "MILLRACE_STACK_CONTAINERS": "1"}
        os.environ.update({**own, "DATA_DIR": str(settings.data), "STACK": "docker"})
        sys.stdout.flush()
        os.execv(program, [str(program), *arguments])
    terminal = [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
    become(settings, "run", "--rm", "--no-deps", *terminal, "millrace", *arguments)
