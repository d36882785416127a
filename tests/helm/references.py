"""Objects that name one another: selectors, ports, accounts, volumes, keys."""

import re

from rendering import called, containers, kind, pods, selects

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")


def ports_of(spec):
    return {port["name"]: port["containerPort"] for c in spec["containers"] for port in c.get("ports", [])}


def services_reach_pods(objects):
    for service in kind(objects, "Service"):
        selector = dict(service["spec"]["selector"])
        # Given to each pod by its StatefulSet.
        pod_name = selector.pop("statefulset.kubernetes.io/pod-name", None)
        reached = [(owner, spec) for owner, labels, spec in pods(objects) if selects(selector, labels)]
        if len(reached) != 1:
            yield f"{called(service)}: reaches {[owner for owner, _ in reached]}, not one kind of pod"
            continue
        owner, spec = reached[0]
        if pod_name and not pod_name.startswith(owner.removeprefix("StatefulSet/") + "-"):
            yield f"{called(service)}: selects pod {pod_name}, which {owner} does not make"
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports_of(spec):
                yield f"{called(service)}: {owner} has no port {port['targetPort']}"


def owners_select_their_own_pods(objects):
    everything = pods(objects)
    for one in kind(objects, "StatefulSet", "Deployment", "PodDisruptionBudget"):
        taken = [owner for owner, labels, _ in everything if selects(one["spec"]["selector"], labels)]
        own = called(one) if one["kind"] != "PodDisruptionBudget" else f"StatefulSet/{one['metadata']['name']}"
        if taken != [own]:
            yield f"{called(one)}: selects {taken}"
        if any(key.endswith(("/version", "/chart")) for key in str(one["spec"]["selector"])):
            yield f"{called(one)}: its selector changes with the version"


def every_pod_has_its_policies(objects):
    policies = kind(objects, "NetworkPolicy")
    if not policies:
        return
    for owner, labels, spec in pods(objects):
        own = [p for p in policies if selects(p["spec"]["podSelector"], labels)]
        if len(own) != 1:
            yield f"{owner}: {len(own)} policies apply"
            continue
        for rule in own[0]["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                if isinstance(port["port"], str) and port["port"] not in ports_of(spec) and ports_of(spec):
                    yield f"{called(own[0])}: {owner} has no port {port['port']}"


def monitors_reach_every_part(objects):
    monitors = kind(objects, "PodMonitor", "ServiceMonitor")
    for monitor in monitors:
        ours = [(o, l, s) for o, l, s in pods(objects) if {9644, 9645} & set(ports_of(s).values())]
        if monitor["kind"] == "PodMonitor":
            missed = [owner for owner, labels, _ in ours if not selects(monitor["spec"]["selector"], labels)]
            endpoints = monitor["spec"]["podMetricsEndpoints"]
        else:
            services = kind(objects, "Service")
            taken = [s for s in services if selects(monitor["spec"]["selector"], s["metadata"]["labels"])]
            missed = [o for o, l, _ in ours if sum(selects(s["spec"]["selector"], l) for s in taken) != 1]
            endpoints = monitor["spec"]["endpoints"]
        if missed:
            yield f"{called(monitor)}: does not scrape {missed} exactly once"
        if monitor["spec"]["jobLabel"] != "app.kubernetes.io/component" or len(endpoints) != 1:
            yield f"{called(monitor)}: job would not be the part's name"
        relabelling = endpoints[0]["relabelings"][0]
        if (relabelling["sourceLabels"], relabelling["targetLabel"]) != (["__meta_kubernetes_pod_name"], "instance"):
            yield f"{called(monitor)}: instance would not be the pod's name"


def what_is_named_exists(objects):
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    keys = {s["metadata"]["name"]: set(s["data"]) for s in kind(objects, "Secret")}
    for owner, _, spec in pods(objects):
        if ("ServiceAccount", spec["serviceAccountName"]) not in there:
            yield f"{owner}: no ServiceAccount {spec['serviceAccountName']}"
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for name, volume in volumes.items():
            if "configMap" in volume and ("ConfigMap", volume["configMap"]["name"]) not in there:
                yield f"{owner}: no ConfigMap {volume['configMap']['name']}"
        claims = {"data"} if owner.startswith("StatefulSet/") else set()
        mounted = {mount["name"] for c in containers(spec) for mount in c.get("volumeMounts", [])}
        if unknown := mounted - set(volumes) - claims:
            yield f"{owner}: mounts {unknown}, which it has no volume for"
        if unused := set(volumes) - mounted:
            yield f"{owner}: has volumes {unused} that nothing mounts"
        for container in containers(spec):
            for variable in container.get("env", []):
                wanted = variable.get("valueFrom", {}).get("secretKeyRef")
                if wanted and wanted["key"] not in keys.get(wanted["name"], {wanted["key"]}):
                    yield f"{owner}: Secret {wanted['name']} has no key {wanted['key']}"
    for one in kind(objects, "StatefulSet"):
        if ("Service", one["spec"]["serviceName"]) not in there:
            yield f"{called(one)}: no Service {one['spec']['serviceName']}"


def nothing_is_left_empty(objects):
    """A key without a value is a piece of template that rendered to nothing."""
    for one in objects:
        yield from (f"{called(one)}: {path} is empty" for path in nulls(one, ""))


def nulls(value, path):
    if value is None:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from nulls(inner, f"{path}.{key}")


def names_are_legal(objects):
    seen = set()
    for one in objects:
        name = one["metadata"]["name"]
        if not DNS_LABEL.match(name):
            yield f"{called(one)}: not a DNS label"
        if (one["apiVersion"], called(one)) in seen:
            yield f"{called(one)}: is there twice"
        seen.add((one["apiVersion"], called(one)))
        if "namespace" in one["metadata"]:
            yield f"{called(one)}: has a namespace of its own"
        for key, value in one["metadata"]["labels"].items():
            if not isinstance(value, str) or not LABEL_VALUE.match(value):
                yield f"{called(one)}: label {key} is {value!r}"
        if "annotations" in one["metadata"] and not one["metadata"]["annotations"]:
            yield f"{called(one)}: has empty annotations"


CHECKS = [
    services_reach_pods,
    owners_select_their_own_pods,
    every_pod_has_its_policies,
    monitors_reach_every_part,
    what_is_named_exists,
    nothing_is_left_empty,
    names_are_legal,
]
