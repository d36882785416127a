"""Waits until every part answers, and until records of both topics are in every store."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from . import backend, parts, sigv4
from .settings import Settings, Stop, say


class NotYet(Exception):
    """Why something is not ready, in words for the person who waits."""


def fetch(url: str, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None) -> str:
    request = urllib.request.Request(url, method=method, data=body.encode() if body else None, headers=headers or {})
    if body:
        request.add_header("content-type", "application/json")
    # No proxy: every address is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        raise NotYet(f"{url} answers {error.code}: {error.read().decode(errors='replace')[:300]}") from error
    except OSError as error:
        raise NotYet(f"{url}: {error}") from error


def psql(settings: Settings, query: str, database: str = "millrace") -> str:
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "5"}
    command = [*backend.of(settings).psql(settings, database), query]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise NotYet(done.stderr.strip())
    return done.stdout.strip()


# For the command to paste: older releases of curl do not send this header by themselves, and the store insists on it.
UNSIGNED = f"x-amz-content-sha256: {sigv4.UNSIGNED}"


def s3(settings: Settings, bucket_and_query: str, method: str = "GET") -> str:
    """One signed request about the bucket."""
    bucket, _, query = bucket_and_query.partition("?")
    host = settings.address("s3")
    headers = sigv4.headers(method, host, f"/{bucket}", query, settings.region, settings.s3_key, settings.s3_secret)
    return fetch(f"http://{host}/{bucket_and_query}", method, headers=headers)


# ---- parts -----------------------------------------------------------------------------------


def postgres(settings: Settings) -> None:
    exists = psql(settings, "select 1 from pg_database where datname = 'millrace'", "postgres")
    if not exists:
        psql(settings, "create database millrace", "postgres")


def opensearch(settings: Settings) -> None:
    url = settings.environment()["OPENSEARCH_URL"]
    health = json.loads(fetch(f"{url}/_cluster/health"))
    if health["status"] == "red":
        raise NotYet("cluster health is red")
    # Health alone can be green where no index can be made.
    try:
        fetch(f"{url}/millrace-readiness", "PUT", '{"settings":{"number_of_replicas":0}}')
    except NotYet as error:
        if "resource_already_exists" not in str(error):
            raise
    fetch(f"{url}/millrace-readiness", "DELETE")


def s3_store(settings: Settings) -> None:
    try:
        s3(settings, settings.bucket, "PUT")
    except NotYet as error:
        if "BucketAlreadyOwnedByYou" not in str(error):
            raise


def prometheus(settings: Settings) -> None:
    fetch(f"{settings.environment()['PROMETHEUS_URL']}/-/ready")


def alertmanager(settings: Settings) -> None:
    fetch(f"{settings.environment()['ALERTMANAGER_URL']}/-/ready")


def grafana(settings: Settings) -> None:
    fetch(f"{settings.environment()['GRAFANA_URL']}/api/health")


SINGLE = {
    "postgres": postgres,
    "opensearch": opensearch,
    "s3": s3_store,
    "prometheus": prometheus,
    "alertmanager": alertmanager,
    "grafana": grafana,
    "jaeger": lambda settings: fetch(f"http://{settings.address('jaeger')}/"),
    "otel-collector": lambda settings: None,  # it has no way to be asked
    "kafka-ui": lambda settings: fetch(f"http://{settings.address('kafka-ui')}/actuator/health"),
}


def check(settings: Settings, name: str) -> None:
    """Raises NotYet unless the part can do its work, and has not only just begun to try."""
    state = backend.of(settings).states(settings)[name].state
    if state not in ("running", "unhealthy"):  # what a container's own check finds wrong is found, and said, below
        raise NotYet(f"it is {state}")
    if name in SINGLE:
        SINGLE[name](settings)
    elif name in parts.BROKERS:
        fetch(f"http://{settings.address(f'{name}-http')}/readyz")
    else:
        fetch(f"http://{settings.address(name)}/readyz")


def ask_until(questions: dict, deadline: float) -> tuple | None:
    """Asks each question until it raises NotYet no more, and says so; gives one that is open at the deadline."""
    waiting = {key: "not asked yet" for key in questions}
    spoken = time.monotonic()
    while waiting and time.monotonic() < deadline:
        for key in list(waiting):
            answer, question = questions[key]
            try:
                question()
                del waiting[key]
                say(answer)
                spoken = time.monotonic()
            except NotYet as reason:
                waiting[key] = str(reason)
        if waiting and time.monotonic() - spoken > 15:
            key, reason = next(iter(waiting.items()))
            say(f"wait      for \"{' '.join(questions[key][0].split())}\": {reason.partition(chr(10))[0][:150]}")
            spoken = time.monotonic()
        time.sleep(0.3 if waiting else 0)
    return next(iter(waiting.items()), None)


def wait_for(settings: Settings, names: list[str], deadline: float) -> None:
    """Waits for all of `names`; the first that is not ready in time is blamed."""
    questions = {name: (f"ready     {name}", lambda name=name: check(settings, name)) for name in names}
    if late := ask_until(questions, deadline):
        name, reason = late
        raise Stop(f"{name} is not ready: {reason}\n{backend.of(settings).log_tail(settings, name)}")


# ---- records ---------------------------------------------------------------------------------

TABLES = {"web-logs": "web_logs", "bk-orders": "orders"}
GENERATORS = {"web-logs": "weblog-generator", "bk-orders": "bakery-producer"}


def next_offsets(settings: Settings) -> dict[tuple[str, int], int]:
    """What PostgreSQL has taken of each partition; empty before the ETL's first run."""
    if psql(settings, "select to_regclass('ingest_offsets')") == "":
        return {}
    rows = psql(settings, "select topic, partition, next_offset from ingest_offsets").split()
    fields = (row.split("|") for row in rows)
    return {(topic, int(partition)): int(offset) for topic, partition, offset in fields}


def in_postgres(settings: Settings, topic: str, before: dict) -> None:
    now = next_offsets(settings)
    if not any(now[key] > before.get(key, 0) for key in now if key[0] == topic):
        raise NotYet(f"no new row in table {TABLES[topic]}")


def in_opensearch(settings: Settings, topic: str, before: dict) -> None:
    url = settings.environment()["OPENSEARCH_URL"]
    floors = [floor for (name, _), floor in before.items() if name == topic]
    query = {"query": {"range": {"offset": {"gte": min(floors)}}}} if floors else {"query": {"match_all": {}}}
    answer = json.loads(fetch(f"{url}/{topic}-*/_count", "POST", json.dumps(query)))
    if not answer["count"]:
        raise NotYet(f"no new document in the indexes {topic}-*")


def in_s3(settings: Settings, topic: str, before: dict) -> None:
    """Looks for an object that begins at or behind what PostgreSQL already had at the start."""
    keys = [key for key in before if key[0] == topic] or [(topic, n) for n in range(6)]
    for key in keys:
        query = objects_from(topic, key[1], before.get(key, 0))
        if "<Key>" in s3(settings, f"{settings.bucket}?{query}"):
            return
    raise NotYet(f"no new object under topics/{topic}/")


def objects_from(topic: str, partition: int, offset: int) -> str:
    """A query that lists the objects of a partition which begin at `offset` or behind it."""
    chain = f"topics/{topic}/partition={partition}/{topic}+{partition}+"
    after = f"{chain}{offset - 1:010d}.json.gz" if offset else chain
    # In alphabetical order, as AWS signs them.
    return f"list-type=2&{urllib.parse.urlencode({'prefix': chain, 'start-after': after}, quote_via=urllib.parse.quote, safe='')}"


ARRIVALS = {
    "PostgreSQL": (in_postgres, "etl"),
    "OpenSearch": (in_opensearch, "etl"),
    "S3": (in_s3, "archiver"),
}


def wait_for_records(settings: Settings, before: dict, deadline: float) -> None:
    """Waits until new records of each topic have reached each store."""
    questions = {}
    for topic in parts.TOPICS:
        for store, (arrived, _) in ARRIVALS.items():
            question = lambda topic=topic, arrived=arrived: arrived(settings, topic, before)
            questions[topic, store] = (f"arrived   records of {topic} in {store}", question)
    if late := ask_until(questions, deadline):
        (topic, store), reason = late
        raise Stop(f"Records of {topic} have not reached {store}: {reason}\n{blame(settings, topic, store)}")


def blame(settings: Settings, topic: str, store: str) -> str:
    """The log of the part that is down, or else of the last one on the way that took nothing in."""
    known = backend.of(settings).states(settings)
    down = [name for name, part in known.items() if part.state != "running"]
    suspects = down or [GENERATORS[topic], ARRIVALS[store][1]]
    return "\n".join(backend.of(settings).log_tail(settings, name) for name in suspects[:3])
