"""The scripts of the topics job and of `helm test`, run against a `millrace` that only takes notes."""

import os
import subprocess
import tempfile
from pathlib import Path

from rendering import pods, rendered

# web-logs has three partitions already; the first creation of web-logs fails, as if no broker were there yet.
FAKE = """#!/bin/sh
echo "$*" >> "$NOTES"
case "$*" in
  "topics list"*) echo "TOPIC PARTITIONS REPLICAS"; echo "web-logs 3 3"; echo "bk-orders 12 3"; echo "audit 1 3" ;;
  "topics create web-logs"*) [ -e "$NOTES.up" ] || { touch "$NOTES.up"; exit 1; } ;;
  "produce"*) cat > "$NOTES.records" ;;
  "consume"*) sed 's/.*|//' "$NOTES.records" ;;
esac
"""


def run(variant, owner, lose=""):
    """What the script called of millrace, and how it ended."""
    (spec,) = [spec for name, _, spec in pods(rendered(variant)) if name == owner]
    container = spec["containers"][0]
    with tempfile.TemporaryDirectory() as directory:
        fake = Path(directory, "millrace")
        fake.write_text(FAKE.replace("sed 's", f"{lose} sed 's"))
        fake.chmod(0o755)
        # No second is spent on waiting.
        Path(directory, "sleep").write_text("#!/bin/sh\n")
        Path(directory, "sleep").chmod(0o755)
        variables = {"PATH": f"{directory}:{os.environ['PATH']}", "NOTES": f"{directory}/notes"}
        script = container["args"][0].replace("/tmp/", f"{directory}/")
        command = [*container["command"], script]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        notes = Path(directory, "notes")
        return (notes.read_text().splitlines() if notes.exists() else []), done


def topics_are_created_and_raised():
    calls, done = run("five-brokers", "Job/millrace-topics")
    if done.returncode:
        return [done.stderr]
    create = "topics create web-logs --if-not-exists --partitions 12 --replication-factor 3"
    problems = [] if calls[:2] == [create, create] else [f"a failed creation is not tried again: {calls[:2]}"]
    wanted = {
        "topics create bk-orders --if-not-exists --partitions 12",
        "topics alter web-logs --partitions 12",
        "configs alter topic web-logs --set retention.ms=604800000",
        "configs alter topic audit --set cleanup.policy=compact,delete --set min.insync.replicas=3",
    }
    problems += [f"not called: {call}" for call in wanted - set(calls)]
    lowered = [call for call in calls if call.startswith("topics alter") and "web-logs" not in call]
    return problems + [f"called without need: {call}" for call in lowered]


def topics_of_a_secured_kafka_are_only_created():
    """Over TLS the command line cannot change a topic."""
    calls, done = run("external-kafka", "Job/millrace-topics")
    create = "topics create web-logs --if-not-exists --partitions 12 --config retention.ms=86400000"
    wanted = [create, create, "topics create bk-orders --if-not-exists"]
    return [] if (done.returncode, calls) == (0, wanted) else [f"{calls}{done.stderr}"]


def a_test_reads_what_it_wrote():
    """Ten records go out and ten come back; where one is lost, the pod fails."""
    loses_one = 'head -n 9 "$NOTES.records" > "$NOTES.less"; mv "$NOTES.less" "$NOTES.records";'
    problems = []
    for lose, expected in (("", 0), (loses_one, 1)):
        _, done = run("default", "Pod/millrace-test-records", lose)
        if done.returncode != expected:
            problems.append(f"ends with {done.returncode}, not {expected}: {done.stdout}{done.stderr}")
    return problems


def verify_covers_what_flows():
    calls, done = run("default", "Pod/millrace-test-verify")
    wanted = "verify --topic web-logs --topic bk-orders --sink postgres --sink opensearch --sink s3 --wait 120s"
    problems = [] if calls == [wanted] else [f"called {calls}"]
    names = [name for name, _, _ in pods(rendered("no-sinks"))]
    return problems + (["a verify without sinks"] if "Pod/millrace-test-verify" in names else [])


CHECKS = [
    topics_are_created_and_raised,
    topics_of_a_secured_kafka_are_only_created,
    a_test_reads_what_it_wrote,
    verify_covers_what_flows,
]
