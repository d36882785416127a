"""Kubernetes, etcd and CoreDNS, built from their Go modules: once, into `.cache/kubernetes-<version>`.

Kubernetes is made to be built from its own tree, where `staging/` holds the modules that it publishes besides. As a
module it needs a go.mod that replaces each of them by what was published (programs/kubernetes/go.mod). etcd comes from
the same module graph, so that the server is of the version that the API server's client was made for.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from stack import golang, lock
from stack.settings import CACHE, Stop, say

KUBERNETES = "1.36.3"  # as in programs/kubernetes/go.mod
PROGRAMS = Path(__file__).parents[1] / "programs"
HOME = CACHE / f"kubernetes-{KUBERNETES}"
# The compiler's cache, 6 GB: it survives an interrupted build, and is removed after a complete one.
SCRATCH = CACHE / f"kubernetes-{KUBERNETES}.build"

SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    **{name: f"k8s.io/kubernetes/cmd/{name}" for name in (*SERVERS, "kubectl")},
}
HELM = "helm.sh/helm/v3/cmd/helm"


def version_flags() -> str:
    """Without these every program says that it is 0.0.0, and charts that name a Kubernetes refuse it."""
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean", "gitCommit": "module"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())])


def environment(which: str) -> dict[str, str]:
    own = {"GOPATH": SCRATCH / "path", "GOMODCACHE": SCRATCH / "modules", "GOCACHE": SCRATCH / "go-build"}
    return {**golang.environment(which), **{key: str(value) for key, value in own.items()}}


def ensure() -> Path:
    """The directory of the programs, built first where that has not been done."""
    if HOME.exists():
        return HOME
    with lock.held(CACHE / f"kubernetes-{KUBERNETES}.lock", "the build of Kubernetes"):
        if not HOME.exists():
            build()
    return HOME


def build() -> None:
    say(f"build     Kubernetes {KUBERNETES}, etcd and CoreDNS from their Go modules: 15 to 30 minutes on two cores, 6 GB while it lasts")
    if golang.suitable() is None:
        if not shutil.which("go"):
            raise Stop("Go is missing: install Debian's golang-go (it fetches a newer one), or any Go from 1.21.")
        golang.fetch_toolchain()
    go, which = golang.suitable()
    fresh = SCRATCH / "bin"
    fresh.mkdir(parents=True, exist_ok=True)
    flags = ["-trimpath", "-buildvcs=false"]
    for name in ("pause", "coredns"):
        compile_(name, [go, "build", *flags, "-ldflags", "-s -w", "-v", "-o", fresh / name, "."], PROGRAMS / name, which)
    for name, package in PACKAGES.items():
        command = [go, "build", *flags, "-ldflags", version_flags(), "-v", "-o", fresh / name, package]
        compile_(name, command, PROGRAMS / "kubernetes", which)
    fresh.rename(HOME)
    shutil.rmtree(SCRATCH)


def compile_(name: str, command: list, directory: Path, which: str) -> None:
    """Runs one build, and says every half minute how many packages it is through."""
    began = said = time.monotonic()
    packages, tail = 0, []
    with subprocess.Popen(
        ["nice", "-n", "10", *command], cwd=directory, env=environment(which), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            packages, tail = packages + 1, [*tail[-30:], line]
            if time.monotonic() - said > 30:
                said = time.monotonic()
                say(f"          {name}: {packages} packages, {said - began:.0f} s")
    if process.returncode:
        raise Stop(f"{name} could not be built:\n{''.join(tail)}")
    say(f"          {name} ({time.monotonic() - began:.0f} s)")


def main() -> None:
    """Builds, for whoever wants to have that behind them: `scripts/k8s build`."""
    print(ensure(), *sorted(file.name for file in HOME.iterdir()))


if __name__ == "__main__":
    sys.exit(main())
