"""Services without brokers of their own, against a Kafka that is there already: here, the first release's."""

from ..cluster import wait
from ..load import BOOTSTRAP
from ..release import CHART, DEADLINE, DEADLINE_S
from ..report import expect
from .stage import Stage

RELEASE = "services"
CHANGES = {
    "brokers.enabled": "false",
    "kafka.bootstrapServers": BOOTSTRAP,
    "etl.enabled": "false",
    "archiver.enabled": "false",
    "postgres.enabled": "false",
    "opensearch.enabled": "false",
    "s3.enabled": "false",
}


def play(stage: Stage) -> None:
    helm = stage.cluster.helm
    with stage.report.check("a release without brokers works against an existing Kafka, and goes without a trace"):
        changes = [word for key, value in CHANGES.items() for word in ("--set", f"{key}={value}")]
        helm("install", RELEASE, str(CHART), *stage.release.values, *changes, "--wait", "--timeout", DEADLINE, timeout_s=DEADLINE_S)
        try:
            done = helm("test", RELEASE, "--timeout", DEADLINE, check=False, timeout_s=DEADLINE_S)
            expect(done.returncode == 0, f"helm test: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        finally:
            stage.cluster.kubectl("delete", "pods", "-l", f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=test")
            helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
            # Kept on purpose, so that a release that comes back has its passwords.
            stage.cluster.kubectl("delete", "secret", f"{RELEASE}-millrace-secrets")
        wait("none of its objects is left", lambda: not stage.cluster.items("all", f"app.kubernetes.io/instance={RELEASE}"), 120)
