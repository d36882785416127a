"""The release under test: the chart with the test's values, and the questions that are asked of it."""

import json
from pathlib import Path

from stack.settings import ROOT

from .cluster import RELEASE, Cluster, wait
from .report import Failure, expect

CHART = ROOT / "helm/millrace"
VALUES = Path(__file__).with_name("values.yaml")
BROKERS = f"{RELEASE}-broker"
SECRET = f"{RELEASE}-secrets"
# Long for a loaded machine; none of it is a measurement.
DEADLINE = "20m"
DEADLINE_S = 1260


class Release:
    def __init__(self, cluster: Cluster, values: list[str]) -> None:
        self.cluster = cluster
        self.values = values
        # What earlier upgrades have set stays set.
        self.changed: dict[str, str] = {}

    def options(self) -> list[str]:
        changes = [option for key, value in self.changed.items() for option in ("--set", f"{key}={value}")]
        return ["--values", str(VALUES), *self.values, *changes, "--wait", "--timeout", DEADLINE]

    def install(self) -> None:
        self.cluster.helm("install", RELEASE, str(CHART), *self.options(), timeout_s=DEADLINE_S)

    def upgrade(self, **changes: str) -> None:
        """`__` in a name stands for a dot."""
        self.changed |= {key.replace("__", "."): value for key, value in changes.items()}
        self.cluster.helm("upgrade", RELEASE, str(CHART), *self.options(), timeout_s=DEADLINE_S)

    def test(self) -> str:
        """Runs the chart's own tests, and gives what their pods said. `millrace verify` is one of them."""
        done = self.cluster.helm("test", RELEASE, "--logs", "--timeout", DEADLINE, check=False, timeout_s=DEADLINE_S)
        expect(done.returncode == 0, f"helm test ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}")
        return done.stdout

    # ---- the brokers -----------------------------------------------------------------------------

    def broker(self, ordinal: int) -> str:
        return f"{BROKERS}-{ordinal}"

    def wait_for_brokers(self, number: int, timeout_s: float = 600) -> None:
        """All pods of the StatefulSet are there, of its newest revision, and ready."""

        def settled() -> bool:
            stateful_set = self.cluster.get("statefulset", BROKERS)
            status = stateful_set["status"]
            newest = status.get("observedGeneration") == stateful_set["metadata"]["generation"]
            counts = [status.get(key, 0) for key in ("replicas", "readyReplicas", "updatedReplicas")]
            return newest and counts == [number] * 3

        wait(f"{number} ready brokers", settled, timeout_s)

    def wait_for_new(self, pod: str, old_uid: str, timeout_s: float = 600) -> None:
        """The pod has been made anew, and is ready."""
        wait(f"{pod} comes back", lambda: self.cluster.uid(pod) not in ("", old_uid) and self.cluster.is_ready(pod), timeout_s)

    # ---- the command line, inside of the cluster ---------------------------------------------------

    def millrace(self, *arguments: str, check: bool = True, timeout_s: float = 600) -> str:
        """Runs `millrace ARGUMENTS` in a broker's pod that is ready."""
        for ordinal in range(3):
            if self.cluster.is_ready(self.broker(ordinal)):
                break
        else:
            raise Failure("no broker's pod is ready")
        command = ["exec", self.broker(ordinal), "-c", "broker", "--", "/usr/local/bin/millrace", *arguments]
        command += ["--bootstrap-servers", f"{RELEASE}-bootstrap:9092"]
        done = self.cluster.kubectl(*command, check=check, timeout_s=timeout_s)
        return done.stdout if check else done.stdout + done.stderr

    def describe(self) -> dict:
        return json.loads(self.millrace("cluster", "describe", "--json"))
