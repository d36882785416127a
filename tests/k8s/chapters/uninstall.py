"""After `helm uninstall` nothing is left but what was meant to stay."""

from contextlib import suppress

from ..cluster import RELEASE, wait
from ..release import SECRET
from ..report import Failure, expect
from .stage import Stage

# What helm and Kubernetes can leave behind, of every kind that the chart makes.
KINDS = (
    "pods,statefulsets,deployments,jobs,services,endpointslices,configmaps,serviceaccounts,secrets,"
    "poddisruptionbudgets,networkpolicies,roles,rolebindings,persistentvolumeclaims"
)
# Every namespace has these two of its own.
KUBERNETES = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
MEANT_TO_STAY = {f"Secret/{SECRET}", f"PersistentVolumeClaim/data-{RELEASE}-postgres-0"}


def play(stage: Stage) -> None:
    report, cluster = stage.report, stage.cluster
    with report.check("helm uninstall leaves the Secret and the claim that was to be retained, and nothing else"):
        # The pods of `helm test` stay for their logs, until the next one or until somebody removes them.
        cluster.kubectl("delete", "pods", "-l", "app.kubernetes.io/component=test")
        cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
        expected = KUBERNETES | MEANT_TO_STAY
        with suppress(Failure):  # what is left says more than that time is up
            wait("what is left is what was meant to stay", lambda: left(stage) == expected, 180)
        found = left(stage)
        expect(found == expected, f"left behind {sorted(found - expected)}, not kept {sorted(expected - found)}")
    with report.check("cluster-wide objects are gone too, and the namespace with all the rest"):
        wait("no cluster role of the release", lambda: not cluster_wide(stage), 60)
        cluster.remove_namespace()


def left(stage: Stage) -> set[str]:
    return {f"{item['kind']}/{item['metadata']['name']}" for item in stage.cluster.items(KINDS)}


def cluster_wide(stage: Stage) -> list[str]:
    found = stage.cluster.items("clusterroles,clusterrolebindings", f"app.kubernetes.io/instance={RELEASE}")
    return [item["metadata"]["name"] for item in found]
