"""Where this stack lives, on which ports, with which credentials: environment, `.env`, defaults."""

import hashlib
import json
import os
import pwd
import re
import sys
import tempfile
import urllib.parse
from pathlib import Path

from . import parts, secrets

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"


class Stop(Exception):
    """A reason to stop that is meant for the person at the terminal."""


def say(text: str) -> None:
    """Progress goes to stderr, so that stdout holds only what was asked for."""
    print(text, file=sys.stderr, flush=True)


def dotenv(path: Path) -> dict[str, str]:
    """The lines of `.env`, read as Compose reads them, too."""
    values = {}
    if not path.is_file():
        return values
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, found, value = line.removeprefix("export ").partition("=")
        key = key.strip()
        if not found or not re.fullmatch(r"[A-Za-z_]\w*", key):
            raise Stop(f"{path}:{number}: expected KEY=value, found {line!r}")
        values[key] = bare(value.strip())
    return values


def bare(value: str) -> str:
    """A value without its quotes, or without the comment behind it."""
    if quoted := re.fullmatch(r"""(["'])(.*?)\1\s*(#.*)?""", value):
        return quoted.group(2)
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Settings:
    """Everything a stack needs to know about itself. Ports are settled by `ports.settle`."""

    def __init__(self) -> None:
        self.values = {**dotenv(ROOT / ".env"), **{k: v for k, v in os.environ.items() if v}}
        self.data = (ROOT / self.get("DATA_DIR", ".data")).resolve()
        for path in (ROOT, self.data):
            if found := re.search(r"[\s'\"%$\\,]", str(path)):
                raise Stop(f"{path}: a path with {found.group()!r} in it cannot be written into every server's configuration")
        # A stack keeps the profile it was started with, so that `make verify` builds nothing anew.
        self.profile = self.get("PROFILE", self.recorded("profile") or "release")
        if self.profile not in ("release", "dev"):
            raise Stop(f"PROFILE={self.profile}: allowed are release and dev")
        chosen_ports = self.get("PORTS", "")
        self.ports_free = chosen_ports == "free"
        if chosen_ports not in ("", "free"):
            raise Stop(f"PORTS={chosen_ports}: the only allowed value is free")
        # A stack stays what it was started as, too.
        self.stack = self.get("STACK", self.recorded("stack") or "native")
        if self.stack not in ("native", "docker"):
            raise Stop(f"STACK={self.stack}: allowed are docker and native")
        self.stack_is_open = not self.get("STACK", self.recorded("stack") or "")
        self.without = set(self.get("WITHOUT", "").replace(",", " ").split())
        if unknown := self.without - set(parts.DISPENSABLE):
            raise Stop(f"WITHOUT={','.join(sorted(unknown))}: only {', '.join(parts.DISPENSABLE)} can be left out")
        self.bucket = self.get("S3_BUCKET", "millrace")
        self.region = "us-east-1"
        self.read_credentials()
        self.deadline_s = self.number("UP_DEADLINE_S", 300)
        self.ports: dict[str, int] = self.recorded("ports") or {}

    def read_credentials(self) -> None:
        self.secrets_dir = self.get("SECRETS_DIR", "")
        try:
            found = secrets.read(ROOT / (self.secrets_dir or secrets.DEMO))
        except (OSError, ValueError) as error:
            raise Stop(f"SECRETS_DIR={self.secrets_dir}: {error}") from None
        if not self.secrets_dir:
            # Not AWS_*: a person's real credentials must not become those of the demo store.
            found = {key: self.get(key, value) for key, value in found.items()}
        self.credentials = found
        self.pg_password = found["POSTGRES_PASSWORD"]
        self.s3_key, self.s3_secret = found["S3_ACCESS_KEY"], found["S3_SECRET_KEY"]

    def secrets(self) -> Path:
        """The directory that containers have their secrets from."""
        if self.secrets_dir:
            return (ROOT / self.secrets_dir).resolve()
        changed = any(self.get(key, "") for key in secrets.SETTINGS)
        return self.data / "secrets" if changed else ROOT / secrets.DEMO

    def write_secrets(self) -> None:
        if self.secrets() == self.data / "secrets":
            secrets.write(self.secrets(), self.credentials)

    # ---- what it is made of ------------------------------------------------------------------

    def use(self, stack: str) -> None:
        self.stack, self.stack_is_open = stack, False

    @property
    def stores(self) -> list[str]:
        return self.stores_in_docker if self.stack == "docker" else [n for n in parts.STORES if n not in self.without]

    @property
    def stores_in_docker(self) -> list[str]:
        profiles = self.get("COMPOSE_PROFILES", "").split(",")
        added = [name for profile in profiles for name in parts.PROFILES.get(profile.strip(), [])]
        return [name for name in [*parts.STORES_IN_DOCKER, *added] if name not in self.without]

    @property
    def all(self) -> list[str]:
        """Every part, in the order of `make status`."""
        return parts.BROKERS + self.stores + parts.SERVICES

    @property
    def all_in_docker(self) -> list[str]:
        return parts.BROKERS + self.stores_in_docker + parts.SERVICES

    @property
    def groups(self) -> dict[str, list[str]]:
        return {"stores": self.stores, "brokers": parts.BROKERS, "services": parts.SERVICES}

    @property
    def project(self) -> str:
        """The project of Docker Compose: the file's own name, unless the stack lives in a place of its own."""
        if chosen := self.get("COMPOSE_PROJECT_NAME", ""):
            return chosen
        if self.data == ROOT / ".data":
            return "millrace"
        return "millrace-" + hashlib.sha256(bytes(self.data)).hexdigest()[:8]

    # ---- settings ----------------------------------------------------------------------------

    def get(self, key: str, default: str) -> str:
        return self.values.get(key) or default

    def number(self, key: str, default: int) -> int:
        text = self.get(key, str(default))
        if not text.isdecimal():
            raise Stop(f"{key}={text}: a whole number is expected")
        return int(text)

    def configured_port(self, name: str) -> int:
        variable, default = parts.PORTS[name]
        port = self.number(variable, default)
        if not 0 < port < 65536:
            raise Stop(f"{variable}={port}: a port from 1 to 65535 is expected")
        return port

    @property
    def state_file(self) -> Path:
        return self.data / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.data / "lock"

    def check_ours(self) -> None:
        """Whoever starts, stops or removes a stack must not meet somebody else's files."""
        if not self.data.exists():
            return
        owner = self.data.stat().st_uid
        if owner != os.geteuid():
            raise Stop(f"{self.data} belongs to user {user_name(owner)}: run this as that user, or set DATA_DIR.")
        if not self.state_file.exists() and {path.name for path in self.data.iterdir()} - {self.lock_file.name}:
            raise Stop(f"{self.data} holds something that is not a stack of ours (no stack.json): set DATA_DIR.")

    def recorded(self, key: str):
        """What the last `up` wrote down, for the other commands."""
        try:
            return json.loads(self.state_file.read_text()).get(key)
        except (OSError, ValueError):
            return None

    def record(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        state = {"stack": self.stack, "profile": self.profile, "ports": self.ports}
        self.state_file.write_text(json.dumps(state, indent=2) + "\n")

    def port(self, name: str) -> int:
        return self.ports.get(name) or self.configured_port(name)

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.port(parts.ports_of(name, self.stack)[0] if name not in parts.PORTS else name)}"

    @property
    def marker(self) -> str:
        """Stands in the environment of every process of this stack, and of no other."""
        return f"MILLRACE_STACK={self.data}"

    @property
    def socket(self) -> Path:
        """The supervisor's socket. A socket's path may have 107 bytes, a data directory's more."""
        path = self.data / "run" / "supervisor.sock"
        if len(bytes(path)) <= 95:
            return path
        name = hashlib.sha256(bytes(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"millrace-{os.getuid()}-{name}.sock"

    def bin_dir(self) -> Path:
        target = Path(self.get("CARGO_TARGET_DIR", str(ROOT / "target")))
        return ROOT / target / ("release" if self.profile == "release" else "debug")

    def log(self, part: str) -> Path:
        return self.data / "logs" / f"{part}.log"

    def telemetry(self) -> dict[str, str]:
        """OpenTelemetry's own variables, for everything of ours that makes spans."""
        return {key: value for key, value in self.values.items() if key.startswith("OTEL_") and value}

    def environment(self) -> dict[str, str]:
        """What `make env` prints and what every service is started with."""
        password = urllib.parse.quote(self.pg_password, safe="")
        optional = [name for name in self.stores if name in ("alertmanager", "grafana", "jaeger")]
        return {
            "KAFKA_BOOTSTRAP_SERVERS": ",".join(self.address(b) for b in parts.BROKERS),
            "DATABASE_URL": f"postgres://millrace:{password}@{self.address('postgres')}/millrace",
            "OPENSEARCH_URL": f"http://{self.address('opensearch')}",
            "S3_ENDPOINT_URL": f"http://{self.address('s3')}",
            "S3_BUCKET": self.bucket,
            "AWS_ACCESS_KEY_ID": self.s3_key,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret,
            "AWS_REGION": self.region,
            "PROMETHEUS_URL": f"http://{self.address('prometheus')}",
            **{f"{name.upper()}_URL": f"http://{self.address(name)}" for name in optional},
        }
