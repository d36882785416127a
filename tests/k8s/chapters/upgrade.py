"""An upgrade that changes nothing keeps what was generated, and restarts nobody."""

from ..release import SECRET
from ..report import expect
from .stage import Stage


def play(stage: Stage) -> None:
    with stage.report.check("helm upgrade keeps cluster id and passwords, and restarts no pod"):
        before = state(stage)
        stage.release.upgrade()
        after = state(stage)
        expect(before["secret"] == after["secret"], "the Secret has changed")
        expect(all(before["secret"].values()), f"the Secret has empty values: {sorted(before['secret'])}")
        expect(before["pods"] == after["pods"], f"pods were made anew: {before['pods']} -> {after['pods']}")


def state(stage: Stage) -> dict:
    components = ("broker", "etl", "archiver", "weblog-generator", "bakery-producer", "postgres", "opensearch", "s3")
    uids = {name: pod["metadata"]["uid"] for part in components for name, pod in stage.cluster.pods(part).items()}
    expect(len(uids) >= 10, f"fewer pods than parts: {sorted(uids)}")
    return {"secret": stage.cluster.get("secret", SECRET)["data"], "pods": uids}
