"""The configuration of every server of the node, and the command line that it is started with."""

import json

from .layout import API_PORT, DNS_SERVICE, NODE, PODS, SERVICES, ZONE, Layout

PAUSE_IMAGE = "millrace.test/pause:1"


def containerd(layout: Layout) -> str:
    """A containerd of its own. Images come by import, so the pause image is one of our own too."""
    tools = layout.tools
    return f"""version = 2
root = "{layout.root}/containerd"
state = "/run/containerd-node"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  netns_mounts_under_state_dir = true
  # Root of a container or a small virtual machine may not lower it below its own.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{tools["cni"]}"
    conf_dir = "{layout.root}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{tools["runc"]}"
        SystemdCgroup = false
"""


def network() -> dict:
    """Each pod has a pair of interfaces of its own, and the node routes between them: no bridge, and no enforcement
    of NetworkPolicies."""
    ipam = {"type": "host-local", "dataDir": "/var/lib/cni/networks", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [{"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"cniVersion": "0.4.0", "name": "millrace", "plugins": plugins}


def kubelet(layout: Layout) -> dict:
    certificates = layout.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificates / "kubelet.crt"),
        "tlsPrivateKeyFile": str(certificates / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.root / "resolv.conf"),
        # The machine's disk is not the node's to tidy up, and images that were imported cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        "serializeImagePulls": False,
        "kubeAPIQPS": 50,
        "kubeAPIBurst": 100,
    }


def kube_proxy(layout: Layout) -> dict:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.certificates / "proxy.kubeconfig")},
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE,
        # The machine's limits are not the node's to change: zero leaves each as it is.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def write(layout: Layout) -> None:
    """Every file that the servers read."""
    (layout.root / "cni").mkdir()
    (layout.root / "cni" / "10-millrace.conflist").write_text(json.dumps(network(), indent=1))
    (layout.root / "containerd.toml").write_text(containerd(layout))
    (layout.root / "kubelet.json").write_text(json.dumps(kubelet(layout), indent=1))
    (layout.root / "kube-proxy.json").write_text(json.dumps(kube_proxy(layout), indent=1))
    (layout.root / "resolv.conf").write_text("nameserver 127.0.0.1\n")


def commands(layout: Layout) -> dict[str, list[str]]:
    """The servers in the order of their start."""
    certificates, program = layout.certificates, layout.program
    return {
        "etcd": [
            program("etcd"),
            f"--data-dir={layout.root}/etcd",
            "--unsafe-no-fsync",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            program("kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={layout.address}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICES}",
            f"--tls-cert-file={certificates}/apiserver.crt",
            f"--tls-private-key-file={certificates}/apiserver.key",
            f"--client-ca-file={certificates}/ca.crt",
            f"--kubelet-client-certificate={certificates}/apiserver-kubelet.crt",
            f"--kubelet-client-key={certificates}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={certificates}/service-accounts.pub",
            f"--service-account-signing-key-file={certificates}/service-accounts.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--profiling=false",
        ],
        "kube-controller-manager": [
            program("kube-controller-manager"),
            f"--kubeconfig={certificates}/controller-manager.kubeconfig",
            f"--root-ca-file={certificates}/ca.crt",
            f"--service-account-private-key-file={certificates}/service-accounts.key",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
        "kube-scheduler": [
            program("kube-scheduler"),
            f"--kubeconfig={certificates}/scheduler.kubeconfig",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
        "containerd": [layout.tools["containerd"], f"--config={layout.root}/containerd.toml"],
        "kubelet": [
            program("kubelet"),
            f"--config={layout.root}/kubelet.json",
            f"--kubeconfig={certificates}/kubelet.kubeconfig",
            f"--hostname-override={NODE}",
            f"--node-ip={layout.address}",
            f"--node-labels=topology.kubernetes.io/zone={ZONE}",
        ],
        "kube-proxy": [program("kube-proxy"), f"--config={layout.root}/kube-proxy.json"],
    }
