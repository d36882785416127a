"""Prometheus, and Alertmanager and Grafana where the machine has them, on this repository's own configuration."""

import json
import shutil
from pathlib import Path

from . import parts, tools
from .program import Program, write
from .settings import ROOT, Settings

SOURCE = ROOT / "deploy/prometheus"


def targets(settings: Settings) -> str:
    """Everything that is scraped, under the job and instance that dashboards and alerts know it by."""
    jobs = {broker: ("broker", f"{broker}-http") for broker in parts.BROKERS}
    jobs |= {part: (part, part) for part in [*parts.SERVICES, *(n for n in settings.stores if n in ("prometheus", "alertmanager"))]}
    found = []
    for instance, (job, port) in jobs.items():
        found.append({"targets": [settings.address(port)], "labels": {"job": job, "instance": instance}})
    return json.dumps(found, indent=2) + "\n"


def prometheus(settings: Settings) -> Program:
    home = settings.data / "config/prometheus"
    write(home / "targets.yml", targets(settings))  # JSON is YAML, too
    shutil.copy(SOURCE / "prometheus.yml", home)
    shutil.rmtree(home / "rules", ignore_errors=True)
    shutil.copytree(SOURCE / "rules", home / "rules")
    command = [
        str(tools.prometheus()),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={settings.data / 'prometheus'}",
        "--storage.tsdb.retention.time=15d",
        "--storage.tsdb.retention.size=1GB",
        "--enable-feature=exemplar-storage",
        f"--web.listen-address={settings.address('prometheus')}",
        "--log.level=warn",
    ]
    return Program("prometheus", command)


def alertmanager(settings: Settings) -> Program:
    command = [
        parts.ALERTMANAGER,
        f"--config.file={SOURCE / 'alertmanager.yml'}",
        f"--storage.path={settings.data / 'alertmanager'}",
        f"--web.listen-address={settings.address('alertmanager')}",
        "--cluster.listen-address=",  # there is one; it has no peers to listen to
        "--log.level=warn",
    ]
    return Program("alertmanager", command)


def grafana(settings: Settings) -> Program:
    """Everything by environment variables, so that the machine's own Grafana and its data are left alone."""
    home = settings.data / "grafana"
    home.mkdir(parents=True, exist_ok=True)
    address = settings.environment()
    environment = {
        "GF_PATHS_DATA": str(home),
        "GF_PATHS_LOGS": str(home),
        "GF_PATHS_PLUGINS": str(home / "plugins"),
        "GF_PATHS_PROVISIONING": str(ROOT / "grafana/provisioning"),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(settings.port("grafana")),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL": "grafana-opensearch-datasource",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(ROOT / "grafana/dashboards/mesh.json"),
        "MILLRACE_DASHBOARDS_DIR": str(ROOT / "grafana/dashboards"),
        "PROMETHEUS_URL": address["PROMETHEUS_URL"],
        "ALERTMANAGER_URL": f"http://{settings.address('alertmanager')}",
        "OPENSEARCH_URL": address["OPENSEARCH_URL"],
        "POSTGRES_ADDRESS": settings.address("postgres"),
        "POSTGRES_USER": "millrace",
        "POSTGRES_PASSWORD": settings.pg_password,
        "POSTGRES_DB": "millrace",
        "JAEGER_URL": settings.get("JAEGER_URL", "http://127.0.0.1:16686"),
    }
    program = Path(parts.GRAFANA)
    command = [str(program), *(["server"] if program.name == "grafana" else [])]
    return Program("grafana", [*command, "--homepath=/usr/share/grafana"], environment)


PROGRAMS = {"prometheus": prometheus, "alertmanager": alertmanager, "grafana": grafana}
