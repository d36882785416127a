"""From three brokers to five and back, with partitions moved first, under load."""

from ..cluster import RELEASE, wait
from ..report import expect
from .stage import Stage

MOVED_S = 900


def play(stage: Stage) -> None:
    report, release = stage.report, stage.release
    with report.check("three brokers become five, and take their part of the partitions", needed=True):
        stage.load.start("scaled")
        release.upgrade(brokers__replicas="5")
        release.wait_for_brokers(5)
        moved = release.millrace("cluster", "balance", "--timeout", f"{MOVED_S}s", timeout_s=MOVED_S + 60)
        replicas = {broker["id"]: broker["replicas"] for broker in release.describe()["brokers"]}
        expect(set(replicas) == set(range(5)) and all(replicas.values()), f"replicas of each broker: {replicas}; {moved}")
    with report.check("two of five are drained under load", needed=True):
        for broker in (4, 3):
            release.millrace("cluster", "drain", str(broker), "--timeout", f"{MOVED_S}s", timeout_s=MOVED_S + 60)
        replicas = {broker["id"]: broker["replicas"] for broker in release.describe()["brokers"]}
        expect(replicas[3] == replicas[4] == 0, f"replicas of each broker after the drain: {replicas}")
    with report.check("five brokers become three again, and the two are unregistered"):
        release.upgrade(brokers__replicas="3")
        release.wait_for_brokers(3)
        for broker in (4, 3):
            wait(f"broker {broker} can be unregistered", lambda: unregistered(stage, broker), 120)
        described = release.describe()
        expect({broker["id"] for broker in described["brokers"]} == {0, 1, 2}, f"the brokers are {described['brokers']}")
        claims = [claim["metadata"]["name"] for claim in stage.cluster.items("pvc", "app.kubernetes.io/component=broker")]
        wait("the claims of the two are gone", lambda: set(claim_names(stage)) == {f"data-{RELEASE}-broker-{n}" for n in range(3)}, 120)
        expect(claims, "no claims are labelled")
        stage.end_load("scaling 3 to 5 to 3")
    with report.check("every acknowledged record is there once and in order"):
        stage.check_load()
    with report.check("millrace verify at the end"):
        stage.verify()


def unregistered(stage: Stage, broker: int) -> bool:
    """It is refused while the broker still runs."""
    if all(found["id"] != broker for found in stage.release.describe()["brokers"]):
        return True
    stage.release.millrace("cluster", "unregister", str(broker), check=False)
    return all(found["id"] != broker for found in stage.release.describe()["brokers"])


def claim_names(stage: Stage) -> list[str]:
    return [claim["metadata"]["name"] for claim in stage.cluster.items("pvc", "app.kubernetes.io/component=broker")]
