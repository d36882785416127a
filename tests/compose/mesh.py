"""One mesh in containers: its variables, its commands, and what can be seen of it."""

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from engine import docker
from stack import compose_plugin, parts, ports
from stack.settings import CACHE, ROOT

DEADLINE_S = 900


class Mesh:
    """A project of Docker Compose of the test's own: free ports, its own data directory, gone afterwards."""

    def __init__(self, images: dict[str, str]) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="compose-test-", dir=CACHE))
        self.data.rmdir()  # `make up` makes it
        self.project = f"millrace-test-{os.getpid()}"
        self.ports = dict(zip(parts.PORTS, free_ports(len(parts.PORTS))))
        self.variables = {
            **images,
            **{parts.PORTS[name][0]: str(port) for name, port in self.ports.items()},
            "COMPOSE_PROJECT_NAME": self.project,
            "DATA_DIR": str(self.data),
            "STACK": "docker",
            "WITHOUT": "grafana",
            "UP_DEADLINE_S": str(DEADLINE_S),
            "DOCKER_CONFIG": str(compose_plugin.DOCKER_CONFIG),
        }
        self.environment = {**os.environ, **self.variables}
        self.services = [*parts.BROKERS, "postgres", "opensearch", "s3", "prometheus", "alertmanager", *parts.SERVICES]

    def run(self, *command: str, seconds: float = 900) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, text=True, timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def must(self, *command: str, seconds: float = 900) -> str:
        done = self.run(*command, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-4000:]}"
        return done.stdout

    def make(self, *words: str) -> str:
        return self.must("make", "-s", *words)

    def compose(self, *words: str) -> str:
        return self.must("docker", "compose", *words)

    def status(self) -> dict[str, dict]:
        done = subprocess.run(
            ["make", "-s", "status", "FORMAT=json"], cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, check=True
        )
        return {row["name"]: row for row in json.loads(done.stdout)}

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict:
        return json.loads(docker("inspect", self.container(service)))[0]

    def health(self, service: str) -> str:
        state = self.inspect(service)["State"]
        return state["Health"]["Status"] if state["Status"] == "running" else state["Status"]

    def wait_healthy(self, *services: str) -> None:
        for service in services:
            wait(lambda: self.health(service) == "healthy", f"{service} is healthy", lambda: docker("logs", "--tail", "20", self.container(service), check=False))

    def prometheus(self, query: str) -> list:
        """The samples of a query, asked inside the network."""
        url = f"http://127.0.0.1:9090/api/v1/query?query={query}"
        text = docker("exec", self.container("prometheus"), "wget", "-q", "-O", "-", url)
        return json.loads(text)["data"]["result"]

    def leftovers(self) -> list[str]:
        """Whatever of this project the engine still has, its data aside."""
        label = f"label=com.docker.compose.project={self.project}"
        lists = (("ps", "-aq"), ("network", "ls", "-q"))
        return [found for words in lists for found in docker(*words, "--filter", label).split()]

    def volumes(self) -> list[str]:
        return docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={self.project}").split()

    def remove(self) -> None:
        self.run("docker", "compose", "--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")
        shutil.rmtree(self.data, ignore_errors=True)


def wait(condition, what: str, otherwise=lambda: "", seconds: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{otherwise()}"
        time.sleep(0.5)


def free_ports(count: int) -> list[int]:
    """Neighbouring ports that nobody listens on, below those that outgoing connections take."""
    while True:
        first = random.randrange(20000, 31000)
        if all(map(ports.is_free, range(first, first + count))):
            return list(range(first, first + count))
