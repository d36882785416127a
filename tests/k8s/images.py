"""The images under test: built from this tree and brought to the throwaway node, or those that a registry has."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stack.settings import CACHE, ROOT, Stop, say

# Names that no registry has: what is not on the node must not come from somewhere else.
PREFIX = "millrace-k8s.test"
VERSION = "0.1.0"
# Part of the chart -> the image's name in its repository.
STORES = {"postgres": "postgres", "opensearch": "opensearchproject/opensearch", "s3": "versity/versitygw"}
PROMETHEUS = re.search(r"^PROMETHEUS_IMAGE=(.+)$", (ROOT / ".env").read_text(), re.M).group(1)
OWN = ("broker", "weblog-generator", "bakery-producer", "etl", "archiver", "cli")


@dataclass(frozen=True)
class Names:
    """What helm is told about images, and the images that the test itself runs."""

    values: list[str]
    cli: str
    load: str
    prometheus: str


def helm() -> str:
    """The chart's tests bring one."""
    own = CACHE / "go/bin/helm"
    found = str(own) if own.exists() else shutil.which("helm")
    if not found:
        raise Stop("helm is missing: `make test-helm` brings it")
    return found


def profile() -> str:
    return os.environ.get("PROFILE") or "dev"


def programs() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return target / ("release" if profile() == "release" else "debug")


def run(*command: str, **options) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **options)
    if done.returncode:
        raise Stop(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")


def bring(node) -> Names:
    registry = os.environ.get("K8S_REGISTRY")
    if node is None:
        return given(registry)
    return local(node)


def given(registry: str | None) -> Names:
    """A cluster of somebody's own pulls its images: push them first, and say where by K8S_REGISTRY."""
    if not registry:
        raise Stop("KUBECONFIG names a cluster: push the images (docs/testing-on-kubernetes.md) and set K8S_REGISTRY to where they are.")
    changes = ["--set", f"image.registry={registry}"]
    if further := os.environ.get("K8S_VALUES"):
        changes += ["--values", further]
    return named(registry, changes, PROMETHEUS)


def named(registry: str, changes: list[str], prometheus: str) -> Names:
    return Names(changes, f"{registry}/millrace/cli:{VERSION}", f"{registry}/millrace/k8s-load:{VERSION}", prometheus)


def make_load(registry: str) -> str:
    """For a cluster of somebody's own: the one image that `scripts/images` does not make. Gives its name."""
    compile_programs()
    names = named(registry, [], PROMETHEUS)
    pack_load(names)
    return names.load


def compile_programs() -> None:
    say(f"build     the programs ({profile()})")
    run("cargo", "build", "--locked", "--workspace", "--bins", *(["--release"] if profile() == "release" else []))


def local(node) -> Names:
    """Compiles, packs and imports; what has not changed is quick."""
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True).returncode:
        raise Stop("The images are packed by a Docker engine, and none answers: install docker.io, or start it.")
    compile_programs()
    say("pack      their images, and those of the stores and Prometheus")
    run("scripts/images", "--from-binaries", str(programs()), "--registry", f"{PREFIX}/", "--version", VERSION)
    names = named(PREFIX, values(), f"{PREFIX}/{PROMETHEUS}")
    pack_load(names)
    others = third_party(names.prometheus)
    say("import    the images into the node")
    images = [*(f"{PREFIX}/millrace/{name}:{VERSION}" for name in OWN), names.load, *others]
    transfer(node, images)
    return names


def pack_load(names: Names) -> None:
    with tempfile.TemporaryDirectory(prefix="millrace-k8s-") as directory:
        run("strip", "-o", f"{directory}/k8s-load", str(programs() / "k8s-load"))
        dockerfile = str(Path(__file__).with_name("Dockerfile"))
        run("docker", "build", "-q", "-t", names.load, "-f", dockerfile, "--build-arg", f"CLI={names.cli}", directory)


def values() -> list[str]:
    """What the chart is told about images."""
    changes = {"image.registry": PREFIX, **{f"{part}.image.repository": f"{PREFIX}/{name}" for part, name in STORES.items()}}
    return [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]


def third_party(prometheus: str) -> list[str]:
    """The same real programs as in the native stack, since their own images cannot be pulled everywhere."""
    chart = (ROOT / "helm/millrace/values.yaml").read_text()
    images = {"prometheus": prometheus}
    for part, name in STORES.items():
        tag = re.search(rf"repository: {name}\n.*\n\s+tag: \"?([^\s\"]+)", chart).group(1)
        images[part] = f"{PREFIX}/{name}:{tag}"
    path = f"{ROOT}/deploy:{ROOT}/tests/compose"
    arguments = [f"{part}={image}" for part, image in images.items()]
    run(sys.executable, "tests/compose/images.py", *arguments, env={**os.environ, "PYTHONPATH": path})
    return list(images.values())


def transfer(node, images: list[str]) -> None:
    """One archive for all, as they share layers; through a pipe, as it is large. What the node has already is left out."""
    record = node.root / "imported.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    inspected = subprocess.run(["docker", "image", "inspect", "-f", "{{.Id}}", *images], capture_output=True, text=True, check=True)
    wanted = dict(zip(images, inspected.stdout.split(), strict=True))
    missing = [image for image, identity in wanted.items() if known.get(image) != identity]
    if not missing:
        return
    importing = [node.tools["ctr"], "--address", str(node.containerd_socket), "--namespace", "k8s.io", "images", "import", "-"]
    with subprocess.Popen(["docker", "save", *missing], stdout=subprocess.PIPE) as saving:
        done = subprocess.run(importing, stdin=saving.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        saving.stdout.close()
    if saving.returncode or done.returncode:
        raise Stop(f"images could not be imported:\n{done.stdout[-2000:]}")
    record.write_text(json.dumps(wanted))
