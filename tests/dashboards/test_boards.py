"""What must hold of every dashboard, whatever it shows."""

import json
import re
import subprocess
import sys
import unittest
from urllib.parse import unquote

from dashboards.boards import BUILT_IN, DIRECTORY, ROOT, boards, links, panels, texts, variables, variables_in
from dashboards.rules import rules, selectors

BOARDS = boards()
EACH = [(f"{uid}: {panel['title']}", board, panel) for uid, board in BOARDS.items() for panel in panels(board)]
METRICS = ROOT / "docs/metrics.md"
# Metrics of Prometheus itself.
FOREIGN = {"up", "ALERTS"}


class Boards(unittest.TestCase):
    def test_they_are_what_their_source_makes_of_them(self):
        done = subprocess.run([sys.executable, "-m", "source", "--check"], cwd=ROOT / "grafana", capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_all_are_there_under_names_of_their_own(self):
        wanted = {"mesh", "brokers", "topics", "groups", "etl", "archiver", "business"}
        self.assertEqual({path.stem for path in DIRECTORY.glob("*.json")}, wanted)
        self.assertEqual(set(BOARDS), {f"millrace-{name}" for name in wanted})
        self.assertEqual(len({board["title"] for board in BOARDS.values()}), len(wanted))

    def test_each_leads_to_the_others_and_marks_what_explains_a_bend(self):
        for uid, board in BOARDS.items():
            with self.subTest(uid):
                self.assertEqual([link["tags"] for link in board["links"]], [["millrace"]])
                self.assertIn("millrace", board["tags"])
                self.assertTrue(board["description"])
                names = {annotation["name"] for annotation in board["annotations"]["list"]}
                self.assertEqual(names, {"Leader changes", "Deployments and restarts"})

    def test_every_panel_explains_itself(self):
        for place, _, panel in EACH:
            with self.subTest(place):
                self.assertTrue(panel["title"])
                self.assertRegex(panel["description"], r"\S.*\.$")
                self.assertTrue(panel["fieldConfig"]["defaults"].get("unit"), "no unit")
                if panel["type"] in ("stat", "bargauge", "timeseries", "state-timeline", "table"):
                    self.assertTrue(panel["fieldConfig"]["defaults"]["thresholds"]["steps"])

    def test_ids_and_letters_stand_once(self):
        for uid, board in BOARDS.items():
            with self.subTest(uid):
                rows = [panel for panel in board["panels"] if panel["type"] == "row"]
                ids = [panel["id"] for panel in [*rows, *panels(board)]]
                self.assertEqual(len(ids), len(set(ids)))
        for place, _, panel in EACH:
            with self.subTest(place):
                letters = [target["refId"] for target in panel["targets"]]
                self.assertTrue(letters)
                self.assertEqual(len(letters), len(set(letters)))

    def test_data_sources_are_chosen_by_variables(self):
        for place, board, panel in EACH:
            known = variables(board)
            for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
                with self.subTest(place):
                    name = re.fullmatch(r"\$\{(\w+)\}", source["uid"]).group(1)
                    self.assertEqual((known[name]["type"], known[name]["query"]), ("datasource", source["type"]))

    def test_data_sources_that_are_provisioned_are_the_ones_that_are_chosen_first(self):
        text = (ROOT / "grafana/provisioning/datasources/millrace.yml").read_text()
        provisioned = dict(re.findall(r"uid: (\S+)\n    type: (\S+)", text))
        for board in BOARDS.values():
            for variable in board["templating"]["list"]:
                if variable["type"] == "datasource":
                    self.assertEqual(provisioned[variable["current"]["value"]], variable["query"])

    def test_every_stack_gives_grafana_what_its_provisioning_reads(self):
        files = (ROOT / "grafana/provisioning").rglob("*.yml")
        wanted = {name for file in files for name in re.findall(r": \$([A-Z_]+)", file.read_text())}
        self.assertIn("MILLRACE_DASHBOARDS_DIR", wanted)
        for path in ("docker-compose.yaml", "deploy/stack/monitoring.py"):
            self.assertLessEqual(wanted, set(re.findall(r"[A-Z][A-Z_]+", (ROOT / path).read_text())), path)

    def test_variables_that_are_used_exist_and_those_that_exist_are_used(self):
        for uid, board in BOARDS.items():
            with self.subTest(uid):
                used = set().union(*(variables_in(text) for text in texts(board)))
                self.assertEqual(used - BUILT_IN, set(variables(board)))

    def test_panels_do_not_overlap(self):
        for uid, board in BOARDS.items():
            taken = {}
            for panel in [*board["panels"], *panels(board)]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24)
                for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
                    self.assertEqual(taken.setdefault(cell, panel["id"]), panel["id"], f"{uid}: {panel['title']}")

    def test_links_lead_somewhere(self):
        count = 0
        for uid, board in BOARDS.items():
            for url in links(board):
                count += 1
                with self.subTest(f"{uid}: {url}"):
                    path, _, query = url.partition("?")
                    if path.startswith("/d/"):
                        target = BOARDS[path.removeprefix("/d/")]
                        self.assertLessEqual(set(re.findall(r"&var-(\w+)=", query)), set(variables(target)))
                        self.assertIn("${__url_time_range}", query)
                    elif path == "/explore":
                        panes = json.loads(unquote(query.partition("panes=")[2]))
                        self.assertEqual(panes["t"]["datasource"], "${jaeger}")
                    else:
                        self.assertEqual(path, "/alerting/list")
        self.assertGreater(count, 30)

    def test_every_dashboard_of_services_leads_to_traces(self):
        for uid in ("millrace-mesh", "millrace-brokers", "millrace-etl", "millrace-archiver"):
            self.assertTrue(any(url.startswith("/explore") for url in links(BOARDS[uid])), uid)

    def test_metrics_are_known_ones(self):
        known = set(re.findall(r"`([a-z]\w+)`", METRICS.read_text()))
        recorded = {rule.name for rule in rules() if not rule.is_alert}
        for place, expression in self.expressions():
            for selector in selectors(expression):
                name = selector.partition("{")[0]
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                with self.subTest(f"{place}: {name}"):
                    self.assertTrue(name in known | recorded | FOREIGN or base in known, f"{name} is not in docs/metrics.md")

    def expressions(self):
        for rule in rules():
            yield rule.name, rule.expression
        for uid, board in BOARDS.items():
            for panel in panels(board):
                for target in panel["targets"]:
                    if "expr" in target:
                        yield f"{uid}: {panel['title']}", target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h")
            for annotation in board["annotations"]["list"]:
                yield f"{uid}: {annotation['name']}", annotation["expr"]


if __name__ == "__main__":
    unittest.main()
