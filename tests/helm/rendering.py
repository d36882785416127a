"""Runs helm on the chart: what a variant renders to, and what helm says when it refuses."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

import yaml
from stack.charts import HELM

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/millrace"
CI = CHART / "ci"
# The oldest that the chart promises, one between, and the newest that there are schemas of.
VERSIONS = ("1.28", "1.33", "1.37")
RELEASE = "millrace"
# Nothing of the user's own helm configuration, and no cluster.
HOME = tempfile.TemporaryDirectory(prefix="millrace-helm-")


def helm(*arguments: str | Path, timeout_s: float = 120) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": HOME.name, "KUBECONFIG": os.devnull}
    command = [HELM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s)


def template(*arguments: str | Path, chart: Path = CHART, version: str = VERSIONS[0]) -> subprocess.CompletedProcess:
    return helm("template", RELEASE, chart, "--namespace", "data", "--kube-version", version, *arguments)


def parsed(text: str) -> list[dict]:
    """The objects of a rendering. A duplicate key would be two pieces of a template in conflict."""
    return [document for document in yaml.load_all(text, Loader=Strict) if document]


class Strict(yaml.SafeLoader):
    """YAML, with a key given twice refused."""


def mapping(loader: Strict, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise yaml.constructor.ConstructorError(None, None, f"keys given twice: {twice}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def variants() -> list[str]:
    return sorted(path.name.removesuffix("-values.yaml") for path in CI.glob("*-values.yaml"))


def values_file(variant: str) -> Path:
    return CI / f"{variant}-values.yaml"


@functools.cache
def rendered(variant: str, version: str = VERSIONS[0]) -> tuple[dict, ...]:
    """The objects of a variant; each is rendered once for a version."""
    done = template("-f", values_file(variant), version=version)
    if done.returncode:
        raise AssertionError(done.stderr.strip())
    return tuple(parsed(done.stdout))


def kind(objects: tuple[dict, ...], *kinds: str) -> list[dict]:
    return [one for one in objects if one["kind"] in kinds]


def called(one: dict) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def pods(objects: tuple[dict, ...]) -> list[tuple[str, dict, dict]]:
    """Every pod that would run: its owner's name, its labels and its spec."""
    found = []
    for one in objects:
        if one["kind"] in ("StatefulSet", "Deployment", "Job"):
            pod = one["spec"]["template"]
        elif one["kind"] == "Pod":
            pod = one
        else:
            continue
        found.append((called(one), pod["metadata"]["labels"], pod["spec"]))
    return found


def containers(spec: dict) -> list[dict]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def selects(selector: dict, labels: dict) -> bool:
    """Whether a label selector, or a Service's plain map, takes a pod with these labels."""
    plain = selector if not {"matchLabels", "matchExpressions"} & set(selector) else selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in plain.items()):
        return False
    return all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def environment(container: dict) -> dict[str, str]:
    """The variables that are given as they are."""
    return {v["name"]: v["value"] for v in container.get("env", []) if "value" in v}
