"""The certificate authority of one throwaway cluster, and a kubeconfig for each of those who talk to its API server."""

import json
import subprocess
from pathlib import Path

from stack.settings import Stop

DAYS = "30"
# name -> (user, groups) as the API server reads them from a certificate.
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "apiserver-kubelet": ("kube-apiserver", "system:masters"),
}


def openssl(*arguments, directory: Path) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        raise Stop(f"openssl {' '.join(arguments)} failed:\n{done.stderr}")


def new_key(directory: Path, name: str) -> None:
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key", directory=directory)


def make_authority(directory: Path) -> None:
    new_key(directory, "ca")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=millrace-test", "-days", DAYS, "-out", "ca.crt", directory=directory)
    # Service account tokens are signed with this one; RSA, as kubeadm does.
    openssl("genrsa", "-out", "service-accounts.key", "2048", directory=directory)
    openssl("rsa", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub", directory=directory)


def issue(directory: Path, name: str, user: str, group: str = "", hosts: tuple[str, ...] = ()) -> None:
    new_key(directory, name)
    subject = (f"/O={group}" if group else "") + f"/CN={user}"
    openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr", directory=directory)
    lines = ["keyUsage=critical,digitalSignature,keyEncipherment", "extendedKeyUsage=clientAuth,serverAuth"]
    if hosts:
        lines.append("subjectAltName=" + ",".join(f"{'IP' if host[-1].isdigit() else 'DNS'}:{host}" for host in hosts))
    (directory / f"{name}.ext").write_text("\n".join(lines) + "\n")
    authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS, "-extfile", f"{name}.ext"]
    openssl("x509", "-req", "-in", f"{name}.csr", *authority, "-out", f"{name}.crt", directory=directory)


def kubeconfig(directory: Path, name: str, server: str) -> Path:
    """JSON, which is YAML too."""
    file = directory / f"{name}.kubeconfig"
    cluster = {"server": server, "certificate-authority": str(directory / "ca.crt")}
    user = {"client-certificate": str(directory / f"{name}.crt"), "client-key": str(directory / f"{name}.key")}
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "millrace-test", "cluster": cluster}],
                "users": [{"name": name, "user": user}],
                "contexts": [{"name": "millrace-test", "context": {"cluster": "millrace-test", "user": name}}],
                "current-context": "millrace-test",
            },
            indent=1,
        )
    )
    file.chmod(0o600)
    return file


def make_all(directory: Path, node: str, address: str, service_address: str, server: str) -> None:
    """Everything for one cluster whose API server is at `address`, and in the cluster at `service_address`."""
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    make_authority(directory)
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
    issue(directory, "apiserver", "kube-apiserver", hosts=(*names, address, service_address, "127.0.0.1"))
    for name, (user, group) in CLIENTS.items():
        issue(directory, name, user, group)
    issue(directory, "kubelet", f"system:node:{node}", "system:nodes", hosts=(node, address))
    for name in (*CLIENTS, "kubelet"):
        kubeconfig(directory, name, server)
