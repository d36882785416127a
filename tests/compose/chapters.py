"""What must be true of the mesh in containers, chapter after chapter."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import rules
from engine import docker
from mesh import DEADLINE_S, Mesh, wait
from stack import docker as stack_docker
from stack import parts, tools
from stack.settings import ROOT, Settings

VERIFY = ("make", "-s", "verify")
# Asks with kafka-python, from outside of the network, as a person's program would.
CLIENT = """
import sys
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
address, topic = sys.argv[1:]
producer = KafkaProducer(bootstrap_servers=address, acks="all", retries=20)
sent = [producer.send(topic, key=b"k", value=b"from the host %d" % n).get(timeout=60) for n in range(20)]
consumer = KafkaConsumer(bootstrap_servers=address, consumer_timeout_ms=60000, auto_offset_reset="earliest")
where = {TopicPartition(topic, one.partition) for one in sent}
consumer.assign(list(where))
wanted = {(one.partition, one.offset) for one in sent}
for record in consumer:
    wanted.discard((record.partition, record.offset))
    if not wanted:
        sys.exit()
sys.exit(f"not read: {wanted}")
"""


def the_file_keeps_the_rules(mesh: Mesh) -> None:
    rules.check(json.loads(mesh.compose("--profile", "*", "config", "--format", "json"))["services"])


def compose_up_alone_is_enough(mesh: Mesh) -> None:
    """No make, no generated file: what a fresh clone has."""
    mesh.compose("up", "--detach", "--no-build", *mesh.services)
    mesh.wait_healthy(*mesh.services)
    for service in mesh.services:
        mounts = mesh.inspect(service)["Mounts"]
        unnamed = [m["Destination"] for m in mounts if m["Type"] == "volume" and not m["Name"].startswith(mesh.project)]
        assert not unnamed, f"{service} has volumes without a name, which nobody would remove: {unnamed}"


def make_up_takes_it_over_and_waits_for_records(mesh: Mesh) -> None:
    before = {name: mesh.inspect(name)["Id"] for name in mesh.services}
    mesh.make("up")
    after = {name: mesh.inspect(name)["Id"] for name in mesh.services}
    assert before == after, "the same file and the same settings, and yet containers were made anew"
    rows = mesh.status()
    assert set(rows) == set(mesh.services), rows
    for name, row in rows.items():
        assert row["state"] == "running" and row["pid"] and row["container"] == mesh.container(name), row
        assert row["address"] == f"127.0.0.1:{mesh.ports[name]}", row
    values = dict(line.split("=", 1) for line in mesh.make("env").splitlines())
    assert values["KAFKA_BOOTSTRAP_SERVERS"] == ",".join(f"127.0.0.1:{mesh.ports[b]}" for b in parts.BROKERS), values
    assert '"service":"etl"' in mesh.make("logs", "SERVICE=etl"), "no log of the etl"


def prometheus_sees_every_part(mesh: Mesh) -> None:
    def seen() -> bool:
        up = {(s["metric"]["job"], s["metric"]["instance"]) for s in mesh.prometheus("up") if s["value"][1] == "1"}
        return up >= {("broker", b) for b in parts.BROKERS} | {(s, s) for s in [*parts.SERVICES, "alertmanager"]}

    wait(seen, "every target is up", lambda: mesh.prometheus("up"))


def programs_on_the_host_reach_each_broker(mesh: Mesh) -> None:
    topic = "from-the-host"
    create = ["/usr/local/bin/millrace", "topics", "create", topic, "--partitions", "3"]
    docker("exec", mesh.container("broker-1"), *create, check=False)
    for broker in parts.BROKERS:
        address = f"localhost:{mesh.ports[broker]}"
        command = [tools.VENV / "bin/python", "-c", CLIENT, address, topic]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{address}: {done.stderr[-2000:]}"


def every_record_arrives(mesh: Mesh) -> None:
    mesh.must(*VERIFY)


def every_dashboard_has_its_answers(mesh: Mesh) -> None:
    """With the addresses that `make env` prints; rates and recorded rules need a while."""
    values = dict(word.split("=", 1) for word in shlex.split(mesh.make("env")))
    done = subprocess.run(
        [sys.executable, ROOT / "tests/dashboards/queries.py", "--wait", "300"],
        env={**os.environ, **values},
        capture_output=True,
        text=True,
    )
    print(done.stdout.splitlines()[-1] if done.stdout else done.stderr)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def a_killed_broker_is_started_again(mesh: Mesh) -> None:
    """The process dies as by the machine's own hand, so that the restart policy acts; and then by Docker's, so that it stays away."""
    before = mesh.inspect("broker-1")
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    wait(lambda: mesh.inspect("broker-1")["RestartCount"] > before["RestartCount"], "the engine starts it again")
    mesh.wait_healthy("broker-1")
    docker("kill", mesh.container("broker-1"))
    mesh.must(*VERIFY)
    docker("start", mesh.container("broker-1"))
    mesh.wait_healthy(*parts.BROKERS)
    mesh.must(*VERIFY)


def a_paused_broker_does_no_harm(mesh: Mesh) -> None:
    docker("pause", mesh.container("broker-2"))
    assert mesh.status()["broker-2"]["state"] == "paused"
    mesh.must(*VERIFY)
    docker("unpause", mesh.container("broker-2"))
    mesh.wait_healthy(*parts.BROKERS)
    mesh.must(*VERIFY)


def a_broker_cut_off_the_network_does_no_harm(mesh: Mesh) -> None:
    network = f"{mesh.project}_mesh"
    docker("network", "disconnect", network, mesh.container("broker-3"))
    mesh.must(*VERIFY)
    docker("network", "connect", "--alias", "broker-3", network, mesh.container("broker-3"))
    mesh.wait_healthy(*parts.BROKERS)
    mesh.must(*VERIFY)


def chaos_hurts_it_and_verifies(mesh: Mesh) -> None:
    """`millrace chaos` as a program of this machine, which ends, holds and cuts off containers."""
    faults = ["kill-broker", "stop-broker", "pause-broker", "storm-broker", "partition-broker", "kill-etl", "crash-postgres"]
    chaos = ["scripts/stack", "millrace", "chaos", "--within", f"{DEADLINE_S}s", "--wait", f"{DEADLINE_S}s"]
    refused = mesh.run(*chaos, "--only", "full-disk", "--yes")
    assert refused.returncode == 1 and "full-disk cannot be done here" in refused.stdout, refused.stdout
    before = {name: mesh.inspect(name)["State"]["StartedAt"] for name in mesh.services}
    shown = mesh.must(*chaos, "--dry-run")
    assert "Left out: full-disk" in shown and "kill -9" in shown, shown
    assert before == {name: mesh.inspect(name)["State"]["StartedAt"] for name in mesh.services}, "something was hurt"
    mesh.must(*chaos, "--only", ",".join(faults), "--seed", "1", "--yes", seconds=3 * DEADLINE_S)
    after = {name: mesh.inspect(name)["State"]["StartedAt"] for name in mesh.services}
    ended = {name for name in mesh.services if before[name] != after[name]}
    assert {"etl", "postgres"} < ended and ended <= {"etl", "postgres", *parts.BROKERS}, ended
    mesh.wait_healthy(*mesh.services)


def spans_reach_the_collector(mesh: Mesh) -> None:
    """Profile tracing without Jaeger, which cannot be had here: the collector counts what comes in, in its log."""
    traced = {**mesh.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector:4317"}
    command = ["docker", "compose", "up", "--detach", "--no-build", "--no-deps", "otel-collector", "weblog-generator", "etl"]
    subprocess.run(command, cwd=ROOT, env=traced, check=True, capture_output=True)

    def log() -> str:
        words = ["docker", "logs", mesh.container("otel-collector")]
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    wait(lambda: re.search(r'"spans": [1-9]', log()), "the collector counts spans", log)
    # And back to what the other chapters run, while no collector is there.
    docker("rm", "--force", mesh.container("otel-collector"))
    mesh.must(*VERIFY)
    mesh.make("up")


def the_choice_of_a_stack_says_why(mesh: Mesh) -> None:
    """In this process, whose environment is the mesh's for a moment."""
    kept = dict(os.environ)
    try:
        os.environ.update(mesh.variables)
        assert stack_docker.unusable(Settings()) == "", stack_docker.unusable(Settings())
        os.environ["S3_IMAGE"] = "127.0.0.1:1/nowhere/s3:1"
        why = stack_docker.unusable(Settings())
        assert "127.0.0.1:1/nowhere/s3:1" in why, why
    finally:
        os.environ.clear()
        os.environ.update(kept)


def down_keeps_the_data(mesh: Mesh) -> None:
    volumes = mesh.volumes()
    mesh.make("down")
    assert not mesh.leftovers(), mesh.leftovers()
    assert mesh.volumes() == volumes and volumes, "down removed data"
    assert all(row["state"] == "stopped" for row in mesh.status().values())
    mesh.make("cluster")
    mesh.wait_healthy(*parts.BROKERS)
    listed = docker("exec", mesh.container("broker-1"), "/usr/local/bin/millrace", "topics", "list")
    assert all(topic in listed for topic in parts.TOPICS), listed
    mesh.make("cluster-down")


def clean_data_leaves_nothing(mesh: Mesh) -> None:
    mesh.make("clean-data")
    assert not mesh.leftovers() and not mesh.volumes(), (mesh.leftovers(), mesh.volumes())
    assert not mesh.data.exists()
    assert mesh.run("docker", "compose", "ps", "-aq").stdout.strip() == ""


SETUP = {"compose_up_alone_is_enough"}
ALL = [
    the_file_keeps_the_rules,
    compose_up_alone_is_enough,
    make_up_takes_it_over_and_waits_for_records,
    prometheus_sees_every_part,
    programs_on_the_host_reach_each_broker,
    every_record_arrives,
    every_dashboard_has_its_answers,
    a_killed_broker_is_started_again,
    a_paused_broker_does_no_harm,
    a_broker_cut_off_the_network_does_no_harm,
    chaos_hurts_it_and_verifies,
    spans_reach_the_collector,
    the_choice_of_a_stack_says_why,
    down_keeps_the_data,
    clean_data_leaves_nothing,
]
