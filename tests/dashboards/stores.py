"""Asks Prometheus, PostgreSQL and OpenSearch what Grafana would ask them for a panel."""

import json
import math
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

# What Grafana would fill in for a panel that shows the last minutes.
SHOWN_S = 300
STEP_S = 15
GRAFANA = {"$__rate_interval": "1m", "$__range": f"{SHOWN_S}s", "$__interval": f"{STEP_S}s"}


class Failed(Exception):
    """A store has refused a query; the text is the store's."""


def fetch(url: str, body: bytes | None = None, kind: str = "application/json") -> dict:
    """The JSON that an address answers."""
    request = urllib.request.Request(url, body, {"Content-Type": kind} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"{error.code}: {error.read().decode(errors='replace')[:500]}") from None
    except (OSError, ValueError) as error:
        raise Failed(f"{url}: {error}") from None


class Prometheus:
    def __init__(self) -> None:
        self.url = os.environ["PROMETHEUS_URL"].rstrip("/") + "/api/v1"

    def call(self, path: str, **parameters):
        form = urllib.parse.urlencode(parameters).encode()
        return fetch(f"{self.url}/{path}", form, "application/x-www-form-urlencoded")["data"]

    def ask(self, expression: str, instant: bool) -> list:
        """The series of an expression that have a number somewhere in the time shown."""
        if instant:
            found = [[series["value"]] if "value" in series else series["values"] for series in self.vector(expression)]
        else:
            now = time.time()
            data = self.call("query_range", query=expression, start=now - SHOWN_S, end=now, step=STEP_S)
            found = [series["values"] for series in data["result"]]
        return [values for values in found if any(not math.isnan(float(value)) for _, value in values)]

    def vector(self, expression: str) -> list:
        data = self.call("query", query=expression)
        return [{"value": data["result"]}] if data["resultType"] == "scalar" else data["result"]

    def label_values(self, selector: str, label: str) -> list[str]:
        return sorted({series["metric"][label] for series in self.vector(f"count by ({label}) ({selector})") if label in series["metric"]})

    def health(self) -> list[str]:
        """What ails its targets and rules, by their own account."""
        ill = [
            f"target {t['labels'].get('instance')}: {t['lastError'] or t['health']}"
            for t in fetch(f"{self.url}/targets?state=active")["data"]["activeTargets"]
            if t["health"] != "up"
        ]
        groups = fetch(f"{self.url}/rules")["data"]["groups"]
        ill += [f"rule {r['name']}: {r.get('lastError') or r['health']}" for g in groups for r in g["rules"] if r["health"] != "ok"]
        return ill if groups else [*ill, "there are no rules"]


class Postgres:
    def __init__(self) -> None:
        self.url = os.environ["DATABASE_URL"]

    def ask(self, statement: str) -> list[str]:
        """The rows of a statement, Grafana's macros filled in."""
        shown = f"BETWEEN now() - interval '{SHOWN_S} seconds' AND now()"
        statement = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 {shown}", statement)
        statement = re.sub(
            r"\$__timeGroupAlias\(([^,)]*), *[^)]*\)", rf'floor(extract(epoch from \1) / {STEP_S}) * {STEP_S} AS "time"', statement
        )
        for name, value in GRAFANA.items():
            statement = statement.replace(name, value)
        done = subprocess.run(
            ["psql", self.url, "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise Failed(done.stderr.strip())
        return [row for row in done.stdout.splitlines() if any(row.split("|"))]


class OpenSearch:
    def __init__(self, index: str) -> None:
        self.url = os.environ["OPENSEARCH_URL"].rstrip("/")
        self.index = index

    def ask(self, target: dict) -> list:
        """The innermost buckets of a query that hold something, or all of them where there is no aggregation."""
        shown = {"range": {target["timeField"]: {"gte": f"now-{SHOWN_S}s", "lte": "now"}}}
        query = {"bool": {"filter": [shown, query_string(target["query"] or "*")]}}
        aggregations = nested(target["bucketAggs"], target["metrics"])
        body = json.dumps({"size": 0, "track_total_hits": True, "query": query, "aggs": aggregations}).encode()
        answer = fetch(f"{self.url}/{self.index}/_search", body)
        if answer["_shards"]["failed"]:
            raise Failed(str(answer["_shards"]))
        return full_buckets(answer["aggregations"]) if aggregations else [answer["hits"]["total"]["value"]]


def query_string(text: str) -> dict:
    return {"query_string": {"query": text, "analyze_wildcard": True}}


def nested(buckets: list[dict], metrics: list[dict]) -> dict:
    """Grafana's list of buckets as OpenSearch's nested aggregations."""
    if not buckets:
        return {m["id"]: {m["type"]: {"field": m["field"]}} for m in metrics if m["type"] != "count"}
    first, rest = buckets[0], nested(buckets[1:], metrics)
    match first["type"]:
        case "terms":
            settings = first["settings"]
            kind = {"terms": {"field": first["field"], "size": int(settings["size"]), "order": {settings["orderBy"]: settings["order"]}}}
        case "date_histogram":
            kind = {"date_histogram": {"field": first["field"], "fixed_interval": f"{STEP_S}s"}}
        case "filters":
            kind = {"filters": {"filters": {f["label"]: query_string(f["query"]) for f in first["settings"]["filters"]}}}
        case other:
            raise Failed(f"unknown aggregation {other}")
    return {first["id"]: {**kind, **({"aggs": rest} if rest else {})}}


def full_buckets(aggregations: dict) -> list[dict]:
    found = []
    for aggregation in aggregations.values():
        buckets = aggregation.get("buckets", [])
        for bucket in buckets.values() if isinstance(buckets, dict) else buckets:
            inner = {key: value for key, value in bucket.items() if isinstance(value, dict) and "buckets" in value}
            found += full_buckets(inner) if inner else ([bucket] if bucket["doc_count"] else [])
    return found
