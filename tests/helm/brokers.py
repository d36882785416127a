"""The brokers: what each would be started with, how long it may take to stop, how many may be away."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from rendering import ROOT, called, containers, environment, kind, pods

# Stands for the broker: prints what it was started with.
FAKE = '#!/bin/sh\necho "$@"\nenv\n'
KEYS = "".join(file.read_text() for file in (ROOT / "services/broker/src/config").rglob("*.rs"))
SOURCES = "".join(file.read_text() for part in ("crates", "services") for file in (ROOT / part).rglob("*.rs"))
# Agreed upon, and not there yet.
ANNOUNCED = {"OPENSEARCH_CA_FILE"}
# Put into KAFKA_PROPERTIES by the kubelet.
EXPANDED = {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}


def statefulset(objects):
    found = [one for one in kind(objects, "StatefulSet") if one["metadata"]["name"].endswith("-broker")]
    return found[0] if found else None


def started(objects, ordinal, **more):
    """The variables that the broker of this ordinal has when it starts: its script is run."""
    one = statefulset(objects)
    container = one["spec"]["template"]["spec"]["containers"][0]
    with tempfile.TemporaryDirectory() as directory:
        fake = Path(directory, "millrace-broker")
        fake.write_text(FAKE)
        fake.chmod(0o755)
        rack = Path(directory, "rack")
        rack.write_text(f"zone-{ordinal}")
        script = container["args"][0].replace("/run/millrace/rack", str(rack))
        variables = {**environment(container), "POD_NAME": f"{one['metadata']['name']}-{ordinal}", "HOST_IP": "192.0.2.7"}
        variables |= {"PATH": f"{directory}:{os.environ['PATH']}", **more}
        command = [*container["command"], script]
        done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=30)
    if done.returncode:
        raise AssertionError(f"broker {ordinal} does not start: {done.stderr}")
    lines = done.stdout.splitlines()
    assert lines[0] == "/etc/millrace/server.properties", lines[0]
    return dict(line.split("=", 1) for line in lines[1:] if "=" in line)


def brokers_know_who_they_are(objects):
    one = statefulset(objects)
    if not one:
        return
    names, replicas = set(), one["spec"]["replicas"]
    for ordinal in range(replicas):
        broker = started(objects, ordinal)
        if broker["KAFKA_NODE_ID"] != str(ordinal):
            yield f"broker {ordinal} is node {broker['KAFKA_NODE_ID']}"
        voters = dict(v.split("@") for v in broker["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(","))
        votes = "controller" in broker["KAFKA_PROCESS_ROLES"]
        if votes != (str(ordinal) in voters) or votes != ("CONTROLLER://:9093" in broker["KAFKA_LISTENERS"]):
            yield f"broker {ordinal}: roles {broker['KAFKA_PROCESS_ROLES']}, voters {sorted(voters)}"
        if len(voters) != (3 if replicas >= 3 else 1):
            yield f"{len(voters)} voters of {replicas} brokers"
        names |= set(broker["KAFKA_ADVERTISED_LISTENERS"].split(","))
        own = f"{one['metadata']['name']}-{ordinal}.{one['spec']['serviceName']}."
        if votes and not voters[str(ordinal)].startswith(own):
            yield f"broker {ordinal} votes as {voters[str(ordinal)]}"
        if not broker["KAFKA_ADVERTISED_LISTENERS"].startswith(f"PLAINTEXT://{own}"):
            yield f"broker {ordinal} advertises {broker['KAFKA_ADVERTISED_LISTENERS']}"
    listeners = len(names) // replicas
    external = any(one["metadata"]["name"].endswith("-external") for one in kind(objects, "Service"))
    if len(names) % replicas or listeners != 1 + external:
        yield f"{replicas} brokers advertise {sorted(names)}"


def brokers_advertise_their_own_services(objects):
    """A client outside is sent to the very port that leads to the broker it asked for."""
    services = {s["metadata"]["name"]: s["spec"] for s in kind(objects, "Service")}
    one = statefulset(objects)
    for ordinal in range(one["spec"]["replicas"] if one else 0):
        service = services.get(f"{one['metadata']['name']}-{ordinal}-external")
        if not service:
            continue
        advertised = started(objects, ordinal)["KAFKA_ADVERTISED_LISTENERS"].split("EXTERNAL://")[1]
        host, _, port = advertised.rpartition(":")
        wanted = service["ports"][0]["nodePort" if service["type"] == "NodePort" else "port"]
        if port != str(wanted) or not host:
            yield f"broker {ordinal} advertises {advertised}, its Service has port {wanted}"
        if host == "192.0.2.7" and service.get("externalTrafficPolicy") != "Local":
            yield f"broker {ordinal}: its node's address leads to any node's pod"


def brokers_have_time_to_stop(objects):
    one = statefulset(objects)
    if not one:
        return
    spec = one["spec"]["template"]["spec"]
    shutdown_ms = int(environment(spec["containers"][0])["KAFKA_CONTROLLED_SHUTDOWN_TIMEOUT_MS"])
    if spec["terminationGracePeriodSeconds"] * 1000 < shutdown_ms + 5000:
        yield f"{spec['terminationGracePeriodSeconds']} s to stop, {shutdown_ms} ms of them to hand over"


def budget_fits_replication(objects):
    one = statefulset(objects)
    budgets = kind(objects, "PodDisruptionBudget")
    if not one:
        if budgets:
            yield "a budget without brokers"
        return
    broker = environment(one["spec"]["template"]["spec"]["containers"][0])
    copies, needed = int(broker["KAFKA_DEFAULT_REPLICATION_FACTOR"]), int(broker["KAFKA_MIN_INSYNC_REPLICAS"])
    voters = broker["KAFKA_CONTROLLER_QUORUM_VOTERS"].count("@")
    allowed = [min(copies - needed, (voters - 1) // 2)] if one["spec"]["replicas"] > 1 else []
    if [budget["spec"]["maxUnavailable"] for budget in budgets] != allowed:
        yield f"maxUnavailable {[b['spec']['maxUnavailable'] for b in budgets]}, replication allows {allowed}"


def probes_ask_the_right_questions(objects):
    for owner, labels, spec in pods(objects):
        for container in spec["containers"]:
            if {9644, 9645}.isdisjoint(port["containerPort"] for port in container.get("ports", [])):
                continue
            for probe, path in (("startup", "/healthz"), ("readiness", "/readyz"), ("liveness", "/healthz")):
                asked = container.get(f"{probe}Probe", {}).get("httpGet", {})
                if asked != {"path": path, "port": "http"}:
                    yield f"{owner}: the {probe} probe asks {asked}"


def configuration_keys_are_known(objects):
    """What the broker does not know it would only warn of."""
    one = statefulset(objects)
    if not one:
        return
    for variable in started(objects, 0):
        if not variable.startswith("KAFKA_"):
            continue
        key = variable.removeprefix("KAFKA_").replace("_", ".").lower()
        if f'"{key}"' not in KEYS:
            yield f"{variable}: the broker does not know {key}"


def variables_are_known(objects):
    """Each variable of a service is one that a program reads."""
    # Read by libraries: sqlx, the AWS SDK, OpenTelemetry.
    theirs = ANNOUNCED | EXPANDED | {"PGPASSWORD", "PGSSLROOTCERT", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POD_NAME"}
    for owner, labels, spec in pods(objects):
        if labels["app.kubernetes.io/component"] in ("broker", "postgres", "opensearch", "s3"):
            continue
        for container in containers(spec):
            for variable in container.get("env", []):
                name = variable["name"]
                if name not in theirs and not name.startswith("OTEL_") and f'"{name}"' not in SOURCES:
                    yield f"{owner} {container['name']}: nobody reads {name}"


def references_come_after_what_they_name(objects):
    """$(NAME) is replaced only where NAME stands before it, and stays as it is otherwise."""
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            known = set()
            for variable in container.get("env", []):
                for name in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
                    if name not in known:
                        yield f"{owner} {container['name']}: {variable['name']} refers to {name}, which is not there yet"
                if variable["name"] in known:
                    yield f"{owner} {container['name']}: {variable['name']} is there twice"
                known.add(variable["name"])


def scripts_are_shell(objects):
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            if container.get("command", [""])[0] != "/bin/sh":
                continue
            script = (container.get("args") or container["command"][-1:])[0]
            done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, timeout=30)
            if done.returncode:
                yield f"{owner} {container['name']}: {done.stderr}"


CHECKS = [
    brokers_know_who_they_are,
    brokers_advertise_their_own_services,
    brokers_have_time_to_stop,
    budget_fits_replication,
    probes_ask_the_right_questions,
    configuration_keys_are_known,
    variables_are_known,
    references_come_after_what_they_name,
    scripts_are_shell,
]
