"""The chart is installed, everything becomes ready, and records arrive."""

from ..cluster import RELEASE, wait
from ..report import expect
from .stage import Stage

TEST_RECORD = "from-outside"


def play(stage: Stage) -> None:
    report, cluster, release = stage.report, stage.cluster, stage.release
    with report.check("helm install --wait, in a namespace that enforces the restricted Pod Security Standard", needed=True):
        cluster.make_namespace()
        release.install()
    with report.check("every pod is ready, and none has a token but the one that reads the rack"):
        tokens(stage)
    with report.check("helm test: records are produced, consumed, and verified in every store"):
        stage.verify()
    with report.check("each broker has the zone of its node as its rack"):
        racks(stage)
    if stage.throwaway:
        with report.check("a client outside of the cluster produces and consumes by node ports"):
            outside(stage)


def tokens(stage: Stage) -> None:
    for pod in stage.cluster.items("pods", f"app.kubernetes.io/instance={RELEASE}"):
        name, spec = pod["metadata"]["name"], pod["spec"]
        expect(pod["status"]["phase"] == "Succeeded" or stage.cluster.is_ready(name), f"{name} is not ready")
        expect(spec.get("automountServiceAccountToken") is False, f"{name} gets a token by itself")
        for container in spec["containers"]:
            mounted = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            expect(not any("serviceaccount" in path for path in mounted), f"{name}: {container['name']} has a token")


def racks(stage: Stage) -> None:
    pods = stage.cluster.pods("broker")
    for broker in stage.release.describe()["brokers"]:
        node = stage.cluster.get("node", pods[stage.release.broker(broker["id"])]["spec"]["nodeName"])
        zone = node["metadata"]["labels"].get("topology.kubernetes.io/zone")
        expect(zone and broker["rack"] == zone, f"broker {broker['id']} has rack {broker['rack']!r}, its node {zone!r}")


def outside(stage: Stage) -> None:
    """From this machine, which reaches the node's address and nothing inside of the cluster."""
    service = stage.cluster.get("service", f"{RELEASE}-bootstrap-external")
    address = f"{stage.throwaway.address}:{service['spec']['ports'][0]['nodePort']}"
    stage.millrace_here(address, "produce", "outside", "--value", TEST_RECORD)
    read = wait(
        "the record is read",
        lambda: stage.millrace_here(address, "consume", "outside", "--from-beginning", "--max", "1", "--timeout", "20"),
        60,
    )
    expect(TEST_RECORD in read, f"read {read!r} by node ports")
