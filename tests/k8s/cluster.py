"""The cluster under test, by its own command lines: kubectl and helm."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.settings import Stop

from .report import Failure

NAMESPACE = "millrace-test"
RELEASE = "millrace"
# The strictest of the Pod Security Standards, enforced: a pod that breaks it is refused by the API server.
STANDARD = ("pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")


@dataclass(frozen=True)
class Cluster:
    kubeconfig: str
    kubectl_program: str
    helm_program: str
    logs: Path

    def run(self, command: list[str], check: bool, timeout_s: float, **options) -> subprocess.CompletedProcess:
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, **options)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(command)} has not ended within {timeout_s:.0f} s") from None
        if check and done.returncode:
            raise Failure(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr).strip()[-4000:]}")
        return done

    def kubectl(self, *arguments: str, check: bool = True, timeout_s: float = 120, **options) -> subprocess.CompletedProcess:
        return self.run([self.kubectl_program, "--namespace", NAMESPACE, *arguments], check, timeout_s, **options)

    def helm(self, *arguments: str, check: bool = True, timeout_s: float = 1800) -> subprocess.CompletedProcess:
        return self.run([self.helm_program, "--namespace", NAMESPACE, *arguments], check, timeout_s)

    def get(self, *arguments: str) -> dict:
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def items(self, kind: str, selector: str = "") -> list[dict]:
        return self.get(kind, *(["-l", selector] if selector else []))["items"]

    def apply(self, manifest: dict) -> None:
        self.kubectl("apply", "-f", "-", input=json.dumps(manifest))

    def make_namespace(self) -> None:
        if self.kubectl("get", "namespace", NAMESPACE, check=False).returncode == 0:
            raise Stop(f"namespace {NAMESPACE} is there already: remove it first (kubectl delete namespace {NAMESPACE})")
        self.kubectl("create", "namespace", NAMESPACE)
        self.kubectl("label", "namespace", NAMESPACE, *STANDARD)

    def remove_namespace(self) -> None:
        self.kubectl("delete", "namespace", NAMESPACE, "--timeout=300s", timeout_s=330)

    # ---- pods ------------------------------------------------------------------------------------

    def pods(self, component: str) -> dict[str, dict]:
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        return {pod["metadata"]["name"]: pod for pod in self.items("pods", selector)}

    def uid(self, pod: str) -> str:
        done = self.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}", check=False)
        return done.stdout if done.returncode == 0 else ""

    def is_ready(self, pod: str) -> bool:
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self.kubectl("get", "pod", pod, "-o", f"jsonpath={path}", check=False).stdout == "True"

    def run_pod(self, name: str, image: str, arguments: list[str], environment=(), timeout_s: float = 300, **container) -> tuple[str, int]:
        """Runs one pod to its end; gives its log and its exit status."""
        self.start_pod(name, image, arguments, environment, **container)
        try:
            status = self.wait_for_end(name, timeout_s)
            text = self.kubectl("logs", name).stdout
        finally:
            self.kubectl("delete", "pod", name, "--wait=true", "--grace-period=1", check=False)
        return text, status

    def start_pod(self, name: str, image: str, arguments: list[str], environment=(), **container) -> None:
        self.apply(pod_manifest(name, image, arguments, list(environment), container))

    def wait_for_end(self, name: str, timeout_s: float) -> int:
        def ended():
            statuses = self.get("pod", name)["status"].get("containerStatuses") or [{}]
            return statuses[0].get("state", {}).get("terminated")

        return wait(f"pod {name} ends", ended, timeout_s)["exitCode"]

    @contextmanager
    def forward(self, pod: str, port: int) -> Iterator[str]:
        """An address of this machine that leads to a pod's port."""
        command = [self.kubectl_program, "--namespace", NAMESPACE, "port-forward", f"pod/{pod}", f":{port}"]
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as process:
            try:
                # "Forwarding from 127.0.0.1:40000 -> 9090"
                words = process.stdout.readline().split()
                if len(words) < 3:
                    raise Failure(f"no port of {pod} is forwarded")
                yield words[2]
            finally:
                process.terminate()

    # ---- what is left for a person who looks into a failure ----------------------------------------

    def collect(self, name: str) -> None:
        """Writes down everything that this namespace has to say."""
        directory = self.logs / "".join(letter if letter.isalnum() else "-" for letter in name)[:80]
        directory.mkdir(parents=True, exist_ok=True)
        commands = {
            "all.txt": ["get", "all,pvc,pv,secrets,configmaps,endpointslices", "-o", "wide"],
            "events.txt": ["get", "events", "--sort-by=.lastTimestamp"],
            "pods.txt": ["describe", "pods"],
            "statefulsets.txt": ["describe", "statefulsets,deployments,jobs"],
        }
        for file, command in commands.items():
            (directory / file).write_text(self.kubectl(*command, check=False).stdout)
        for pod in self.kubectl("get", "pods", "-o", "name", check=False).stdout.split():
            short = pod.removeprefix("pod/")
            for suffix, option in (("", []), ("-previous", ["--previous"])):
                done = self.kubectl("logs", short, "--all-containers", "--timestamps", *option, check=False)
                if done.returncode == 0:
                    (directory / f"{short}{suffix}.log").write_text(done.stdout)


def pod_manifest(name: str, image: str, arguments: list[str], environment: list, container: dict) -> dict:
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    only = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "env": environment,
        "securityContext": security,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
        **container,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [only],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 60,
        },
    }


def wait(what: str, condition, timeout_s: float, pause_s: float = 0.5):
    """Waits until `condition` gives something true, and gives that."""
    deadline = time.monotonic() + timeout_s
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(pause_s)
