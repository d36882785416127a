"""Pods are deleted while records with acks=all flow: gently, by force, and those of the services and stores."""

import json

from ..cluster import NAMESPACE, RELEASE, wait
from ..report import expect
from .stage import LOSS_BAR_MS, Stage

EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction"}


def play(stage: Stage) -> None:
    report = stage.report
    with report.check("each broker's pod is deleted in turn under load, and comes back in sync"):
        stage.load.start("deleted")
        for ordinal in range(3):
            replace(stage, stage.release.broker(ordinal))
            stage.load.wait_for_more(100)
        stage.end_load("broker pods deleted one by one", LOSS_BAR_MS)
    with report.check("a broker's pod is deleted by force, without a chance to hand over"):
        stage.load.start("forced")
        replace(stage, stage.release.broker(1), "--grace-period=0", "--force")
        stage.load.wait_for_more(100)
        stage.end_load("a broker pod killed", LOSS_BAR_MS)
    with report.check("a broker's volume is lost with its pod: it comes back empty, and copies everything"):
        stage.load.start("emptied")
        empty(stage, 2)
        stage.load.wait_for_more(100)
        stage.end_load("a broker's volume lost", LOSS_BAR_MS)
    with report.check("of two evictions the disruption budget refuses the one that the quorum cannot do without"):
        evictions(stage)
    with report.check("pods of the services and of a store are deleted, and come back"):
        services(stage)
    with report.check("every acknowledged record is there once and in order"):
        stage.check_load()
    with report.check("helm test: nothing is missing in any store, nothing doubled"):
        stage.verify()


def replace(stage: Stage, pod: str, *options: str) -> None:
    uid = stage.cluster.uid(pod)
    stage.cluster.kubectl("delete", "pod", pod, "--wait=false", *options)
    stage.release.wait_for_new(pod, uid)


def empty(stage: Stage, ordinal: int) -> None:
    """The claim goes when its pod has gone, and the StatefulSet makes both anew."""
    claim = f"data-{stage.release.broker(ordinal)}"
    before = stage.cluster.get("pvc", claim)["spec"]["volumeName"]
    stage.cluster.kubectl("delete", "pvc", claim, "--wait=false")
    replace(stage, stage.release.broker(ordinal))
    after = stage.cluster.get("pvc", claim)["spec"]["volumeName"]
    expect(after != before, f"{claim} still is {before}")


def evict(stage: Stage, pod: str) -> str:
    """As `kubectl drain` does it for each pod of a node. Gives what the API server objects to, or nothing."""
    body = {**EVICTION, "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    done = stage.cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(body), check=False)
    return done.stderr if done.returncode else ""


def evictions(stage: Stage) -> None:
    first, second = stage.release.broker(0), stage.release.broker(2)
    uid = stage.cluster.uid(first)
    wait("the disruption budget allows one", lambda: budget(stage) == 1, 60)
    refused = evict(stage, first)
    expect(not refused, f"the first eviction was refused: {refused}")
    wait("the budget is used up", lambda: budget(stage) == 0, 60)
    refused = evict(stage, second)
    expect("disruption budget" in refused, f"the second eviction was not refused: {refused!r}")
    stage.release.wait_for_new(first, uid)


def budget(stage: Stage) -> int:
    found = stage.cluster.items("poddisruptionbudgets", f"app.kubernetes.io/instance={RELEASE}")
    return found[0]["status"].get("disruptionsAllowed", 0)


def services(stage: Stage) -> None:
    for component in ("etl", "archiver", "weblog-generator", "postgres"):
        (name,) = stage.cluster.pods(component)
        stage.cluster.kubectl("delete", "pod", name)

        def back(old=name, part=component) -> bool:
            ready = [pod for pod in stage.cluster.pods(part) if stage.cluster.is_ready(pod)]
            return bool(ready) and (part == "postgres" or ready != [old])

        wait(f"{component} is back", back, 300)
