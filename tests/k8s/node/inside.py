"""The node's first process, inside of its namespaces: starts the servers, and starts again what ends.

It is process 1 of its own PID namespace. When it ends the kernel ends every other one, pods included, and with the last
of them the mounts, the network and its rules are gone. So there is nothing to tidy up in here.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import configuration
from .layout import API_PORT, Layout, recorded

# What the servers take for granted to be their own on a node.
OWN_DIRECTORIES = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers")
# Who must answer before the next one is started; without this they only fail and try again.
WAITED_FOR = {"etcd": 2379, "kube-apiserver": API_PORT}
RESTART_DELAY_S = 1.0


def take_own_mounts(layout: Layout) -> None:
    # Shared among the node and its pods, as kubelet wants it, and not with the machine, which `unshare` has cut off.
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    for directory in OWN_DIRECTORIES:
        own = layout.root / "node" / directory.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        subprocess.run(["mount", "--bind", own, directory], check=True)


def wait_for_port(port: int, deadline_s: float = 120) -> None:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)


class Servers:
    """The running servers by pid."""

    def __init__(self, layout: Layout) -> None:
        self.logs = layout.root / "logs"
        self.commands = configuration.commands(layout)
        self.commands["provisioner"] = [sys.executable, "-m", "k8s.node.provisioner", layout.data]
        self.names: dict[int, str] = {}
        # Containers are started by containerd in cgroups of their own; the servers stay where the node was started.
        path = f"{Path(layout.tools['runc']).parent}:{Path(layout.tools['containerd']).parent}"
        self.environment = {**os.environ, "PATH": f"{path}:/usr/sbin:/usr/bin:/sbin:/bin"}

    def start(self, name: str) -> None:
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.commands[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        self.names[process.pid] = name

    def start_all(self) -> None:
        for name in self.commands:
            self.start(name)
            if port := WAITED_FOR.get(name):
                wait_for_port(port)

    def watch(self) -> None:
        """Reaps whatever ends, the orphans of containers too; a server that has ended is started again."""
        while True:
            pid, status = os.wait()
            if name := self.names.pop(pid, None):
                print(f"{name} (pid {pid}) ended with status {os.waitstatus_to_exitcode(status)}: started again", flush=True)
                time.sleep(RESTART_DELAY_S)
                self.start(name)


def main() -> None:
    # The kernel hands process 1 no signal that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    layout = recorded(Path(sys.argv[1]))
    take_own_mounts(layout)
    servers = Servers(layout)
    servers.start_all()
    servers.watch()


if __name__ == "__main__":
    main()
