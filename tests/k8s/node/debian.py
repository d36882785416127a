"""What the node takes from Debian: containerd, runc and the CNI plugins.

Installed ones are used. What is missing is unpacked under `.cache/`, never installed: the package of containerd would
start a service. The small tools beside them (iptables and the like) bring none, and are installed.
"""

import os
import re
import shutil
from pathlib import Path

from stack import golang, install
from stack.settings import CACHE, Stop, say
from stack.tools import output

from . import build

UNPACKED = CACHE / "debian-containerd"
SERVERS = ("containerd", "runc", "containernetworking-plugins")
PLUGINS = ("/opt/cni/bin", "/usr/lib/cni")
TOOLS = {
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "mount": "mount",
}


def find() -> dict[str, str] | None:
    """Where each is, or None if one is missing."""
    places = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", str(UNPACKED / "usr/sbin"), str(UNPACKED / "usr/bin")]
    found = {name: shutil.which(name, path=os.pathsep.join(places)) for name in ("containerd", "containerd-shim-runc-v2", "ctr", "runc")}
    found["cni"] = next((path for path in (*PLUGINS, str(UNPACKED / "usr/lib/cni")) if Path(path, "ptp").exists()), None)
    return found if all(found.values()) else None


def ensure() -> dict[str, str]:
    """Brings what is missing. Only root comes here."""
    wanted = dict(TOOLS)
    if not build.HOME.exists() and golang.suitable() is None:
        wanted["go"] = "golang-go"
    missing = [package for tool, package in wanted.items() if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")]
    tools = find()
    if (missing or tools is None) and not shutil.which("apt-get"):
        raise Stop(f"This system has no apt-get. Install these first (Debian's names): {' '.join([*SERVERS, *wanted.values()])}")
    if missing or tools is None:
        install.refresh_lists([])
    if missing:
        say(f"get       Debian packages: {' '.join(missing)}")
        install.install_packages(missing)
    if tools is None:
        unpack()
        tools = find()
    if tools is None:
        raise Stop(f"containerd, runc or the CNI plugins are missing, and Debian's packages ({' '.join(SERVERS)}) did not bring them")
    return tools


def unpack() -> None:
    say(f"get       Debian packages, unpacked under .cache/, no service: {' '.join(SERVERS)}")
    simulated = output(["apt-get", "install", "--simulate", "--no-install-recommends", *SERVERS])
    wanted = [name for name in re.findall(r"^Inst (\S+) ", simulated, re.M)] or list(SERVERS)
    install.unpack_archives(sorted({*wanted, *SERVERS}), UNPACKED)
