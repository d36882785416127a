"""Runs every query of every dashboard, and every selector of every rule, on a mesh that runs.

Reads PROMETHEUS_URL, DATABASE_URL, OPENSEARCH_URL and, where there is one, GRAFANA_URL, as `make env` prints them; fails where a
query is refused, has no answer, or names a metric that does not exist. `--wait 90` tries again for so many seconds, as rates and
recorded rules need some time after a start.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboards.boards import ROOT, boards, panels  # noqa: E402
from dashboards.exceptions import MAY_BE_ABSENT, MAY_BE_EMPTY, NOT_ASKED  # noqa: E402
from dashboards.rules import rules, selectors  # noqa: E402
from dashboards.stores import GRAFANA, Failed, OpenSearch, Postgres, Prometheus, fetch  # noqa: E402

# A question: where it stands, and what asks it. It raises Failed where the answer is not what it should be.
Question = tuple[str, Callable[[], None]]


class Asked:
    """The stores, and the variables of a dashboard filled in."""

    def __init__(self) -> None:
        self.prometheus = Prometheus()
        self.postgres = Postgres()
        provisioned = (ROOT / "grafana/provisioning/datasources/millrace.yml").read_text()
        self.opensearch = OpenSearch(re.search(r"database: (web-\S+)", provisioned).group(1))
        self.existing: set[str] = set()

    def filled(self, board: dict, text: str) -> str:
        """A query as Grafana would send it with everything selected."""
        for name, value in GRAFANA.items():
            text = text.replace(name, value)
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                text = re.sub(rf"\$\{{?{variable['name']}\b\}}?", lambda _: variable["allValue"], text)
        return text

    def variable(self, board: dict, variable: dict) -> None:
        query = self.filled(board, variable["query"]["query"])
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        if not self.prometheus.label_values(selector, label):
            raise Failed(f"no values: {query}")

    def metrics(self, expression: str) -> None:
        """Every metric of an expression exists with these labels."""
        for selector in selectors(expression):
            if selector.partition("{")[0] in MAY_BE_ABSENT or selector in self.existing:
                continue
            if not self.prometheus.vector(f"count({selector})"):
                raise Failed(f"no such series: {selector}")
            self.existing.add(selector)

    def expression(self, board: dict, target: dict, may_be_empty: bool) -> None:
        text = self.filled(board, target["expr"])
        found = self.prometheus.ask(text, target["instant"])
        if may_be_empty:
            self.metrics(text)
        elif not found:
            raise Failed(f"no answer: {text}")

    def target(self, board: dict, target: dict, may_be_empty: bool) -> None:
        if "expr" in target:
            self.expression(board, target, may_be_empty)
        elif "rawSql" in target:
            if not self.postgres.ask(target["rawSql"]) and not may_be_empty:
                raise Failed(f"no rows: {target['rawSql']}")
        elif not self.opensearch.ask(target) and not may_be_empty:
            raise Failed(f"no documents: {target['query']} {target['bucketAggs']}")


def of_boards(asked: Asked) -> Iterator[Question]:
    for uid, board in boards().items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{uid}: variable {variable['name']}", lambda b=board, v=variable: asked.variable(b, v)
        for annotation in board["annotations"]["list"]:
            yield f"{uid}: annotation {annotation['name']}", lambda e=annotation["expr"]: (asked.prometheus.ask(e, False), asked.metrics(e))
        for panel in panels(board):
            may_be_empty = (uid, panel["title"]) in MAY_BE_EMPTY
            for target in panel["targets"]:
                if target["datasource"]["type"] not in NOT_ASKED:
                    place = f"{uid}: {panel['title']} {target['refId']}"
                    yield place, lambda b=board, t=target, m=may_be_empty: asked.target(b, t, m)


def of_rules(asked: Asked) -> Iterator[Question]:
    for rule in rules():
        yield f"rule {rule.name}", lambda e=rule.expression: (asked.prometheus.vector(e), asked.metrics(e))


def healthy(prometheus: Prometheus) -> None:
    if ill := prometheus.health():
        raise Failed("; ".join(ill))


def in_grafana(uid: str) -> None:
    fetch(f"{os.environ['GRAFANA_URL'].rstrip('/')}/api/dashboards/uid/{uid}")


def questions(asked: Asked) -> dict[str, Callable[[], None]]:
    found = dict([*of_boards(asked), *of_rules(asked)])
    found["Prometheus' targets and rules"] = lambda: healthy(asked.prometheus)
    if os.environ.get("GRAFANA_URL"):
        found |= {f"{uid} in Grafana": lambda uid=uid: in_grafana(uid) for uid in boards()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="how long to try again")
    deadline = time.monotonic() + parser.parse_args().wait
    waiting = questions(Asked())
    count, reasons = len(waiting), {}
    while True:
        for place in list(waiting):
            try:
                waiting[place]()
                del waiting[place]
            except Failed as reason:
                reasons[place] = str(reason)
        if not waiting or time.monotonic() > deadline:
            break
        time.sleep(2)
    for place in waiting:
        print(f"FAILED  {place}\n        {reasons[place]}")
    for place, reason in {**MAY_BE_EMPTY, **NOT_ASKED}.items():
        print(f"may be empty or is not asked: {place if isinstance(place, str) else ': '.join(place)} ({reason})")
    print(f"queries: {count - len(waiting)} answered, {len(waiting)} failed")
    sys.exit(bool(waiting))


if __name__ == "__main__":
    main()
