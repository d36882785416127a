"""What every chapter works with."""

import subprocess
from dataclasses import dataclass

from ..cluster import Cluster
from ..images import programs
from ..load import Load
from ..node.layout import Layout
from ..release import Release
from ..report import Report, expect

# No producer waits longer while nothing is lost that was not planned.
BAR_MS = 2000
# Where somebody's machine or volume is lost: long enough for a loaded machine, shorter than a client's dead connection.
LOSS_BAR_MS = 15_000


@dataclass
class Stage:
    cluster: Cluster
    release: Release
    load: Load
    report: Report
    # The throwaway node; None where KUBECONFIG named a cluster.
    throwaway: Layout | None
    # The image of Prometheus.
    prometheus: str

    def end_load(self, what: str, bar_ms: int | None = None) -> None:
        """Ends the run, prints its longest wait, and holds it against the bar where there is one."""
        result = self.load.stop()
        waits = f"median {result['p50_ms']} ms, p99 {result['p99_ms']} ms, p99.9 {result['p999_ms']} ms"
        self.report.figure(f"{what}: {result['acked']} records acknowledged, longest producer wait {result['longest_ms']} ms ({waits})")
        if bar_ms is not None:
            slow = [entry for entry in result["slow"] if entry["wait_ms"] >= bar_ms]
            expect(result["longest_ms"] < bar_ms, f"a producer waited {result['longest_ms']} ms, longer than {bar_ms} ms: {slow[:10]}")

    def check_load(self) -> None:
        self.report.figure(f"{self.load.check()} acknowledged records of all runs: each there once, in the order of its partition")

    def verify(self) -> None:
        """`helm test`, of which `millrace verify` is a part; its table is worth showing."""
        text = self.release.test()
        self.report.figure("helm test, with millrace verify: passed")
        print(text[text.find("POD LOGS: ") :].strip(), flush=True)

    def millrace_here(self, address: str, *arguments: str) -> str:
        """Runs `millrace ARGUMENTS` on this machine, against `address`."""
        command = [str(programs() / "millrace"), *arguments, "--bootstrap-servers", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        expect(done.returncode == 0, f"{' '.join(command)}: {done.stderr}")
        return done.stdout
