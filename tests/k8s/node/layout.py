"""Where the throwaway node lives, and what it is called."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.settings import ROOT, Stop

NODE = "millrace-node"
ZONE = "zone-a"
STORAGE_CLASS = "millrace-local"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
PODS = "10.244.0.0/24"
API_PORT = 6443


@dataclass(frozen=True)
class Layout:
    """One node. `link` numbers the /30 that joins the node's network namespace to this machine."""

    data: str
    programs: str
    tools: dict[str, str]
    link: int

    @property
    def root(self) -> Path:
        return Path(self.data)

    @property
    def identity(self) -> str:
        return hashlib.sha256(self.data.encode()).hexdigest()[:8]

    @property
    def host_address(self) -> str:
        return f"10.213.{self.link}.1"

    @property
    def address(self) -> str:
        return f"10.213.{self.link}.2"

    @property
    def server(self) -> str:
        return f"https://{self.address}:{API_PORT}"

    @property
    def interface(self) -> str:
        return f"mrk8s{self.link}"

    @property
    def cgroup(self) -> str:
        return f"millrace-k8s-{self.identity}"

    @property
    def containerd_socket(self) -> Path:
        """A socket's path may have 107 bytes, a data directory's more."""
        return Path(f"/tmp/{self.cgroup}") / "containerd.sock"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def kubeconfig(self) -> Path:
        return self.certificates / "admin.kubeconfig"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    def program(self, name: str) -> str:
        return str(Path(self.programs) / name)

    def record(self) -> None:
        (self.root / "node.json").write_text(json.dumps(asdict(self), indent=1))


def data_directory() -> Path:
    return (ROOT / (os.environ.get("K8S_DATA_DIR") or ".data-k8s")).resolve()


def recorded(data: Path) -> Layout | None:
    """What the node that lives or lived in this directory wrote down."""
    try:
        return Layout(**json.loads((data / "node.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as reason:
        raise Stop(f"{data}/node.json cannot be read ({reason}): remove the directory") from None
