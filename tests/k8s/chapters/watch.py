"""A Prometheus without an operator finds every pod by its annotations, and every dashboard and rule is answered."""

import base64
import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from urllib.parse import quote

from stack.settings import ROOT

from ..cluster import RELEASE, pod_manifest, wait
from ..release import SECRET
from ..report import expect
from .stage import Stage

NAME = "watcher"
QUERIES = ROOT / "tests/dashboards/queries.py"
# Rates and recorded rules need some scrapes.
PATIENCE_S = 300
POD = "__meta_kubernetes_pod"
PARTS = {"broker", "weblog-generator", "bakery-producer", "etl", "archiver"}


def play(stage: Stage) -> None:
    try:
        with stage.report.check("Prometheus scrapes every pod that is annotated, as the notes say", needed=True):
            start(stage)
            wait_for_targets(stage)
        with stage.report.check("every query of every dashboard and rule is answered"):
            ask(stage)
    finally:
        stage.cluster.kubectl("delete", "pod,configmap", "-l", f"app={NAME}", "--grace-period=1")


def start(stage: Stage) -> None:
    rules = {path.name: path.read_text() for path in (ROOT / "deploy/prometheus/rules").glob("*.yml")}
    config_map(stage, f"{NAME}-rules", rules)
    config_map(stage, NAME, {"prometheus.yml": json.dumps(configuration(stage))})
    arguments = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"]
    mounts = {"config": "/etc/prometheus", "rules": "/etc/prometheus-rules", "data": "/data"}
    container = {"volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()]}
    manifest = pod_manifest(NAME, stage.prometheus, arguments, [], container)
    manifest["spec"] |= {
        "securityContext": {"fsGroup": 1000},
        "volumes": [
            {"name": "config", "configMap": {"name": NAME}},
            {"name": "rules", "configMap": {"name": f"{NAME}-rules"}},
            {"name": "data", "emptyDir": {}},
        ],
    }
    stage.cluster.apply(manifest)
    wait(f"pod {NAME} runs", lambda: stage.cluster.is_ready(NAME), 180)


def config_map(stage: Stage, name: str, data: dict[str, str]) -> None:
    metadata = {"name": name, "labels": {"app": NAME}}
    stage.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def configuration(stage: Stage) -> dict:
    """What everybody's Prometheus does with these annotations, and the lines that the chart's notes ask for."""
    notes = stage.cluster.helm("get", "notes", RELEASE).stdout
    asked_for = [line.strip() for line in notes.splitlines() if line.strip().startswith("{source_labels")]
    expect(len(asked_for) == 2, f"the notes have no relabeling for job and instance:\n{notes}")
    usual = [
        {"source_labels": [f"{POD}_annotation_prometheus_io_scrape"], "regex": "true", "action": "keep"},
        {"source_labels": [f"{POD}_phase"], "regex": "Pending|Succeeded|Failed", "action": "drop"},
        {"source_labels": [f"{POD}_annotation_prometheus_io_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {
            "source_labels": ["__address__", f"{POD}_annotation_prometheus_io_port"],
            "regex": r"([^:]+)(?::\d+)?;(\d+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
        },
    ]
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": ["/etc/prometheus-rules/*.yml"],
        "scrape_configs": [
            {
                "job_name": "pods",
                "static_configs": discovered(stage),
                "relabel_configs": [*usual, *map(relabeling, asked_for)],
            }
        ],
    }


def discovered(stage: Stage) -> list[dict]:
    """What Prometheus' own discovery finds, one target for each port of a container; Debian's build is without it."""
    targets = []
    for pod in stage.cluster.items("pods"):
        metadata, status = pod["metadata"], pod["status"]
        labels = {f"{POD}_name": metadata["name"], f"{POD}_phase": status["phase"]}
        for kind in ("label", "annotation"):
            values = metadata.get(f"{kind}s", {})
            labels |= {f"{POD}_{kind}_{re.sub('[^a-zA-Z0-9_]', '_', key)}": value for key, value in values.items()}
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                address = f"{status.get('podIP', '')}:{port['containerPort']}"
                targets.append({"targets": [address], "labels": labels})
    return targets


def relabeling(line: str) -> dict:
    """`{source_labels: [LABEL], target_label: LABEL}`, without a parser of YAML."""
    source, _, target = line.strip("{}").partition("], target_label: ")
    return {"source_labels": [source.removeprefix("source_labels: [")], "target_label": target}


def wait_for_targets(stage: Stage) -> None:
    """Each container port that a pod names is tried by the service discovery: one target for each pod must be left."""
    wanted = {(part, name) for part in PARTS for name in stage.cluster.pods(part)}

    def missing() -> set:
        up = {(s["metric"]["job"], s["metric"]["instance"]) for s in query(stage, "up == 1")}
        return wanted - up

    wait(f"targets {sorted(wanted)}", lambda: not missing(), 120)
    twice = [s["metric"] for s in query(stage, "count by (job, instance) (up) > 1")]
    expect(not twice, f"scraped more than once: {twice}")


def query(stage: Stage, text: str) -> list[dict]:
    command = ["exec", NAME, "--", "wget", "-qO-", f"http://127.0.0.1:9090/api/v1/query?query={quote(text)}"]
    return json.loads(stage.cluster.kubectl(*command).stdout)["data"]["result"]


def ask(stage: Stage) -> None:
    secret = stage.cluster.get("secret", SECRET)["data"]["postgres-password"]
    password = base64.b64decode(secret).decode()
    with ExitStack() as forwards:

        def address(pod: str, port: int) -> str:
            return forwards.enter_context(stage.cluster.forward(pod, port))

        environment = {
            **os.environ,
            "PROMETHEUS_URL": f"http://{address(NAME, 9090)}",
            "OPENSEARCH_URL": f"http://{address(f'{RELEASE}-opensearch-0', 9200)}",
            "DATABASE_URL": f"postgresql://millrace:{password}@{address(f'{RELEASE}-postgres-0', 5432)}/millrace",
        }
        environment.pop("GRAFANA_URL", None)
        command = [sys.executable, str(QUERIES), "--wait", str(PATIENCE_S)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    expect(done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}")
    stage.report.figure(done.stdout.splitlines()[-1])
