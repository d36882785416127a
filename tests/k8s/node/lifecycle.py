"""Starts the throwaway node, and ends it with everything that it made."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from stack.settings import ROOT, Stop, say

from . import archive, build, certificates, configuration, debian, kernel
from .inside import OWN_DIRECTORIES
from .layout import API_SERVICE, NODE, Layout, data_directory, recorded

COREDNS_IMAGE = "millrace.test/coredns:1"
START_DEADLINE_S = 300


def kubectl(layout: Layout, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    command = [layout.program("kubectl"), f"--kubeconfig={layout.kubeconfig}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise Stop(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def up() -> Layout:
    """A running node; one that runs already is used as it is."""
    if os.geteuid() != 0:
        raise Stop("The throwaway Kubernetes needs root (namespaces, mounts, cgroups). Or name a cluster of your own by KUBECONFIG.")
    data = data_directory()
    known = recorded(data)
    if known and alive(known):
        say(f"node      runs already: KUBECONFIG={known.kubeconfig}")
        return known
    if known:
        down()
    if data.exists() and any(data.iterdir()):
        raise Stop(f"{data} holds something that is not a node of ours: set K8S_DATA_DIR")
    tools = debian.ensure()
    programs = build.ensure()
    layout = Layout(str(data), str(programs), tools, kernel.free_link())
    began = time.monotonic()
    prepare(layout)
    launch(layout)
    settle(layout)
    say(f"node      ready after {time.monotonic() - began:.0f} s: KUBECONFIG={layout.kubeconfig}")
    return layout


def prepare(layout: Layout) -> None:
    for directory in (layout.root, layout.root / "logs", layout.volumes, layout.containerd_socket.parent):
        directory.mkdir(parents=True, exist_ok=True)
    # Pods that are not root must reach their volumes, and the socket is root's alone.
    layout.root.chmod(0o711)
    layout.containerd_socket.parent.chmod(0o700)
    layout.record()
    missing = [directory for directory in OWN_DIRECTORIES if not Path(directory).exists()]
    (layout.root / "made.json").write_text(json.dumps(missing))
    for directory in missing:
        Path(directory).mkdir(parents=True)
    certificates.make_all(layout.certificates, NODE, layout.address, API_SERVICE, layout.server)
    configuration.write(layout)
    kernel.keep_settings(layout)
    kernel.make_cgroups(layout)
    kernel.make_network(layout)


def launch(layout: Layout) -> None:
    """The first process of the namespaces outlives this command; `--kill-child` ties it to the one whose pid is kept."""
    path = os.pathsep.join([str(ROOT / "deploy"), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["nsenter", f"--net=/run/netns/{layout.cgroup}", "unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
    command += ["--kill-child", "--mount-proc", sys.executable, "-m", "k8s.node.inside", layout.data]
    with (layout.root / "logs" / "node.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
    (layout.root / "pid").write_text(str(process.pid))


def settle(layout: Layout) -> None:
    """Waits for the API server, the node and its names."""
    deadline = time.monotonic() + START_DEADLINE_S
    wait(layout, deadline, "the API server", lambda: kubectl(layout, "get", "--raw=/readyz", check=False).returncode == 0)
    wait(layout, deadline, "containerd", lambda: ctr(layout, "version", check=False).returncode == 0)
    for name, image in (("pause", configuration.PAUSE_IMAGE), ("coredns", COREDNS_IMAGE)):
        file = layout.root / f"{name}.tar"
        archive.write(image, Path(layout.program(name)), file)
        load(layout, file)
        file.unlink()
    kubectl(layout, "apply", "-f", str(Path(__file__).with_name("manifests") / "cluster.yaml"))
    ready = '{.status.conditions[?(@.type=="Ready")].status}'
    wait(layout, deadline, "the node", lambda: kubectl(layout, "get", "node", NODE, f"-o=jsonpath={ready}", check=False).stdout == "True")
    names = ["-n", "kube-system", "get", "deployment", "coredns", "-o=jsonpath={.status.readyReplicas}"]
    wait(layout, deadline, "CoreDNS", lambda: kubectl(layout, *names, check=False).stdout == "1")


def wait(layout: Layout, deadline: float, what: str, condition) -> None:
    while not condition():
        if not alive(layout) or time.monotonic() > deadline:
            raise Stop(f"{what} did not come up; see {layout.root}/logs, and `scripts/k8s down` to remove the rest")
        time.sleep(0.5)


def ctr(layout: Layout, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    command = [layout.tools["ctr"], "--address", str(layout.containerd_socket), "--namespace", "k8s.io", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise Stop(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def load(layout: Layout, file: Path) -> None:
    """Imports what `docker save` wrote."""
    ctr(layout, "images", "import", str(file))


def pid(layout: Layout) -> int | None:
    """The process that holds the namespaces, if it is that one: pids come round again."""
    try:
        number = int((layout.root / "pid").read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return number if layout.data.encode() in command else None


def alive(layout: Layout) -> bool:
    return pid(layout) is not None


def down() -> None:
    """Ends the node and removes all that it made. It may be called again after having been interrupted."""
    data = data_directory()
    layout = recorded(data)
    if layout is None:
        say("node      there is none")
        return
    end(layout)
    kernel.remove_cgroups(layout)
    kernel.remove_network(layout)
    kernel.restore_settings(layout)
    shutil.rmtree(layout.containerd_socket.parent, ignore_errors=True)
    remove_mount_points(layout)
    shutil.rmtree(layout.root)
    say("node      ended; nothing of it is left")


def remove_mount_points(layout: Layout) -> None:
    """Outside of the node's namespaces they have always been empty; if not, somebody else has a use for them."""
    made = layout.root / "made.json"
    for directory in json.loads(made.read_text()) if made.exists() else []:
        with suppress(OSError):
            Path(directory).rmdir()


def end(layout: Layout, deadline_s: float = 60) -> None:
    """With the holder of the namespaces everything in them ends."""
    holder = pid(layout)
    if holder:
        os.kill(holder, signal.SIGKILL)
    deadline = time.monotonic() + deadline_s
    while pid(layout) or kernel.pids(layout):
        if time.monotonic() > deadline:
            raise Stop(f"these processes of the node do not end: {sorted(kernel.pids(layout))[:10]}")
        time.sleep(0.2)
