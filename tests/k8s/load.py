"""The producer that runs in a pod while the cluster is worked on, and the check of all that it wrote."""

import json

from .cluster import RELEASE, Cluster, wait
from .report import Failure, expect

TOPIC = "load"
PARTITIONS = 12
BOOTSTRAP = f"{RELEASE}-bootstrap:9092"


class Load:
    """One run at a time; `finished` remembers what each acknowledged."""

    def __init__(self, cluster: Cluster, image: str, rate: int) -> None:
        self.cluster, self.image, self.rate = cluster, image, rate
        self.environment = [{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": BOOTSTRAP}]
        self.finished: dict[str, list[int]] = {}
        self.running: str | None = None

    @property
    def pod(self) -> str:
        return f"load-{self.running}"

    def start(self, run: str) -> None:
        self.abandon()
        self.running = run
        arguments = ["produce", TOPIC, "--run", run, "--rate", str(self.rate)]
        self.cluster.start_pod(self.pod, self.image, arguments, self.environment)
        self.wait_for_more(10 * PARTITIONS)

    def lines(self) -> list[dict]:
        text = self.cluster.kubectl("logs", self.pod, "--tail=3", check=False).stdout
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def acked(self) -> int:
        return self.lines()[-1]["acked"] if self.lines() else 0

    def wait_for_more(self, records: int) -> None:
        """The load is alive when it acknowledges again."""
        if self.cluster.get("pod", self.pod)["status"].get("phase") in ("Failed", "Succeeded"):
            raise Failure(f"the load has ended: {self.lines()}")
        aim = self.acked() + records
        wait(f"{records} more acknowledgements of {self.pod}", lambda: self.acked() >= aim, 180)

    def stop(self) -> dict:
        """Ends the run, and gives what it says about itself. Every record must have been acknowledged."""
        self.wait_for_more(PARTITIONS)
        self.cluster.kubectl("exec", self.pod, "--", "bash", "-c", "kill -TERM 1")
        status = self.cluster.wait_for_end(self.pod, 180)
        result = self.lines()[-1]
        expect(result.get("done"), f"{self.pod} has not said what it did: {result}")
        expect(status == 0 and not result["failures"], f"{self.pod} ended with {status}: {result['failures']}")
        expect(result["sent"] == result["acked_by_partition"], f"sent {result['sent']}, acknowledged {result['acked_by_partition']}")
        self.cluster.kubectl("delete", "pod", self.pod, "--grace-period=1")
        self.finished[self.running] = result["sent"]
        self.running = None
        return result

    def abandon(self) -> None:
        """After a failure: so that the next check begins with a run of its own. Its records are not checked."""
        if self.running:
            self.cluster.kubectl("delete", "pod", self.pod, "--grace-period=1", check=False)
            self.running = None

    def check(self) -> int:
        """Reads the topic: every acknowledged record of every finished run, each once, in the order of its partition."""
        text, status = self.cluster.run_pod("load-check", self.image, ["check", TOPIC], self.environment)
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        expect(found, f"the check said nothing (exit {status}): {text[-1000:]}")
        expect(status == 0 and not found[-1]["wrong"], f"lost, doubled or out of order: {found[-1]['wrong']}")
        for run, sent in self.finished.items():
            there = [found[-1]["runs"].get(run, {}).get(str(partition), 0) for partition in range(PARTITIONS)]
            expect(there == sent, f"run {run} acknowledged {sent} records of each partition, and the topic holds {there}")
        return sum(sum(sent) for sent in self.finished.values())
