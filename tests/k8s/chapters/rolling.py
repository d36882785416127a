"""A changed value rolls all brokers while records with acks=all flow: nothing is lost, and no producer waits long."""

import time

from ..report import expect
from .stage import BAR_MS, Stage


def play(stage: Stage) -> None:
    report, release = stage.report, stage.release
    with report.check("helm upgrade rolls every broker under load", needed=True):
        before = uids(stage)
        stage.load.start("rolled")
        began = time.monotonic()
        release.upgrade(brokers__podAnnotations__rolled="yes")
        release.wait_for_brokers(3)
        report.figure(f"rolling upgrade: three brokers in {time.monotonic() - began:.0f} s")
        after = uids(stage)
        expect(len(after) == 3 and not set(before.values()) & set(after.values()), f"not every broker was replaced: {before} -> {after}")
        # Leaderships return to their preferred brokers afterwards; that is part of it.
        stage.load.wait_for_more(stage.load.rate * 15)
    with report.check(f"no producer waited longer than {BAR_MS} ms"):
        stage.end_load("rolling upgrade", BAR_MS)
    with report.check("every acknowledged record is there once and in order"):
        stage.check_load()
    with report.check("millrace verify at the end"):
        stage.verify()


def uids(stage: Stage) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in stage.cluster.pods("broker").items()}
