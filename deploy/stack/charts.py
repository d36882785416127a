"""What the chart is tested with: helm, built from its Go module, and the schemas of Kubernetes."""

import os
import shutil

from . import golang, parts
from .steps import Step, run
from .tools import VENV

HELM = golang.HOME / f"bin/helm-{parts.HELM_VERSION}"
# Helm's own build says so too: which Kubernetes it takes a cluster for that it does not see.
KUBERNETES_MINOR = 37
VALIDATOR = VENV / "bin/kubernetes-validate"


def plan() -> list[Step]:
    """What is missing of both. The schemas come with a YAML reader, which the chart's own scripts use too."""
    steps = []
    if not HELM.exists():
        if golang.suitable() is None:
            steps.append(golang.toolchain_step())
        steps.append(Step(f"for the chart, built: helm {parts.HELM_VERSION}", "4 min, 60 MB", build_helm))
    if not VALIDATOR.exists():
        steps.append(Step(f"for the chart, from PyPI: {parts.KUBERNETES_VALIDATE}", "20 s, 140 MB", fetch_schemas))
    return steps


def build_helm() -> None:
    """Go checks the module against its checksum database; the program gets its name only when it is complete."""
    go, which = golang.suitable()
    fresh = golang.HOME / f"bin.{os.getpid()}"
    fresh.mkdir(parents=True)
    environment = {**golang.environment(which), "GOBIN": str(fresh)}
    module = f"helm.sh/helm/v3/cmd/helm@{parts.HELM_VERSION}"
    packages = ("pkg/chartutil", "pkg/lint/rules")
    versions = {"Major": 1, "Minor": KUBERNETES_MINOR}
    named = [f"-X helm.sh/helm/v3/{p}.k8sVersion{key}={value}" for p in packages for key, value in versions.items()]
    named.append(f"-X helm.sh/helm/v3/internal/version.version={parts.HELM_VERSION}")
    run([go, "install", "-trimpath", f"-ldflags=-s -w {' '.join(named)}", module], cwd=golang.HOME, env=environment)
    HELM.parent.mkdir(exist_ok=True)
    (fresh / "helm").rename(HELM)
    shutil.rmtree(fresh)


def fetch_schemas() -> None:
    run([VENV / "bin/python", "-m", "pip", "install", "-q", parts.KUBERNETES_VALIDATE])
