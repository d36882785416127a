"""What is played on the cluster, in this order; each check is counted."""

import os
import shutil
import time

from stack.settings import ROOT, Stop, say

from . import chapters, images
from .cluster import NAMESPACE, Cluster
from .load import Load
from .node import build, lifecycle
from .release import Release
from .report import Report

RATE = 200


def play(keep: bool, only: str | None) -> int:
    wanted = [name.strip() for name in only.split(",")] if only else list(chapters.ALL)
    if unknown := set(wanted) - set(chapters.ALL):
        raise Stop(f"unknown chapters {', '.join(sorted(unknown))}; there are {', '.join(chapters.ALL)}")
    given = os.environ.get("KUBECONFIG")
    node = None if given else lifecycle.up()
    logs = ROOT / ".data-k8s-logs" / time.strftime("%Y%m%d-%H%M%S")
    kubeconfig = given or str(node.kubeconfig)
    cluster = Cluster(kubeconfig, kubectl(node), images.helm(), logs)
    try:
        return act(cluster, node, wanted)
    finally:
        if keep:
            say(f"kept      KUBECONFIG={kubeconfig}, namespace {NAMESPACE}")
        elif node:
            lifecycle.down()
        else:
            cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=300s", check=False, timeout_s=330)


def kubectl(node) -> str:
    """Where a cluster is given, the person's own."""
    return (shutil.which("kubectl") if node is None else None) or str(build.ensure() / "kubectl")


def act(cluster: Cluster, node, wanted: list[str]) -> int:
    names = images.bring(node)
    release = Release(cluster, names.values)
    load = Load(cluster, names.load, RATE)
    report = Report(cluster.collect)
    stage = chapters.Stage(cluster, release, load, report, node, names.prometheus)
    for name in chapters.ALL:
        if name not in wanted:
            continue
        say(f"== {name}")
        try:
            chapters.ALL[name](stage)
        except Exception:  # the report has told it and counted it
            load.abandon()
            if name == "install":
                break
    if not report.close():
        say(f"what the pods and the cluster said is in {cluster.logs}")
        return 1
    return 0
