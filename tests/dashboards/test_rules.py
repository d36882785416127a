"""Recording rules, alerts, their tests, their runbooks, and Alertmanager's configuration."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from dashboards.rules import PROMETHEUS, ROOT, RUNBOOKS, anchors, cases, rules, selectors

ALERTS = [rule for rule in rules() if rule.is_alert]


def tool(name: str) -> str:
    """promtool or amtool: the machine's, or the one that `scripts/stack install stores` has unpacked."""
    own = ROOT / ".cache/debian/usr/bin" / name
    return shutil.which(name) or str(own)


def run(*command) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


class Rules(unittest.TestCase):
    def test_there_are_alerts_and_each_name_stands_once(self):
        names = [rule.name for rule in rules()]
        self.assertGreater(len(ALERTS), 20)
        self.assertEqual(len(names), len(set(names)))
        written = sum(len(re.findall("^ +- (?:alert|record):", p.read_text(), re.M)) for p in (PROMETHEUS / "rules").glob("*.yml"))
        self.assertEqual(len(names), written, "a rule was not understood")

    def test_the_configuration_of_prometheus_is_valid(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(PROMETHEUS, Path(folder, "p"))
            Path(folder, "p/targets.yml").write_text('[{"targets":["127.0.0.1:1"],"labels":{"job":"broker","instance":"broker-1"}}]')
            done = run(tool("promtool"), "check", "config", Path(folder, "p/prometheus.yml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("3 rule files found", done.stdout)

    def test_alerts_fire_and_do_not_fire_as_they_should(self):
        done = run(tool("promtool"), "test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml")))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_alert_has_a_case_that_fires_and_one_that_does_not(self):
        self.assertEqual(cases(), {rule.name: {True, False} for rule in ALERTS})

    def test_each_alert_says_how_bad_it_is_and_where_to_look(self):
        dashboards = {path.stem for path in (ROOT / "grafana/dashboards").glob("*.json")}
        for rule in ALERTS:
            with self.subTest(rule.name):
                self.assertRegex(rule.body, r"severity: (critical|warning)\n")
                self.assertTrue(rule.annotation("summary"))
                self.assertIn(rule.annotation("dashboard").removeprefix("millrace-"), dashboards)

    def test_each_alert_has_a_runbook_and_each_runbook_an_alert(self):
        text = RUNBOOKS.read_text()
        there = anchors(text)
        for rule in ALERTS:
            with self.subTest(rule.name):
                self.assertEqual(rule.annotation("runbook_url"), f"docs/runbooks.md#{rule.name.lower()}")
                self.assertIn(rule.name.lower(), there)
        written = re.findall(r"^### (\w+)$", text, re.M)
        self.assertEqual(sorted(written), sorted(rule.name for rule in ALERTS))

    def test_each_runbook_answers_every_question(self):
        for section in RUNBOOKS.read_text().split("\n### ")[1:]:
            with self.subTest(section.splitlines()[0]):
                for question in ("Means", "Affects", "Look", "Mend", "Verify"):
                    self.assertIn(f"**{question}.**", section)

    def test_alertmanager_understands_its_configuration(self):
        path = PROMETHEUS / "alertmanager.yml"
        done = run(tool("amtool"), "check-config", path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        alerts = {rule.name for rule in ALERTS}
        for names in re.findall(r'alertname=~?"([^"]*)"', path.read_text()):
            self.assertLessEqual(set(names.split("|")), alerts)

    def test_alertmanager_sends_critical_ones_to_be_paged(self):
        for severity, receiver in (("critical", "page"), ("warning", "ticket")):
            done = run(tool("amtool"), "config", "routes", "test", f"--config.file={PROMETHEUS / 'alertmanager.yml'}", f"severity={severity}")
            self.assertEqual(done.stdout.strip(), receiver, done.stderr)


class Selectors(unittest.TestCase):
    def test_metrics_are_found_and_nothing_else(self):
        expression = (
            'histogram_quantile(0.99, sum by (job, le) (rate(a_seconds_bucket{x="b{c}"}[5m]))) > 0.5 '
            "and on (job) group_left (name) max(b:c:ratio_rate1h offset 30m) or vector(0) unless bool_metric"
        )
        self.assertEqual(selectors(expression), ['a_seconds_bucket{x="b{c}"}', "b:c:ratio_rate1h", "bool_metric"])


if __name__ == "__main__":
    os.chdir(ROOT)
    unittest.main()
