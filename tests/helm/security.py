"""What every pod must keep to: the restricted Pod Security Standard, no tokens, no secrets in the open."""

import base64
import json

from rendering import called, containers, kind, pods

ALLOWED_VOLUMES = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim"}


def pods_are_restricted(objects):
    for owner, _, spec in pods(objects):
        context = spec.get("securityContext", {})
        if not (context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0):
            yield f"{owner}: may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{owner}: seccompProfile is {context.get('seccompProfile')}"
        if {"hostNetwork", "hostPID", "hostIPC"} & set(spec):
            yield f"{owner}: shares a namespace with the host"
        for volume in spec.get("volumes", []):
            if set(volume) - {"name"} - ALLOWED_VOLUMES:
                yield f"{owner}: volume {volume['name']} is of a kind that the standard forbids"
        for container in containers(spec):
            yield from container_is_restricted(f"{owner} {container['name']}", container)


def container_is_restricted(name, container):
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: may escalate its privileges"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: writes to its root file system"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield f"{name}: keeps capabilities"
    if set(context) - {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}:
        yield f"{name}: has more in its securityContext: {sorted(context)}"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name}: takes a port of the host"


def tokens_are_not_mounted(objects):
    """Only the reader of the rack has one, projected into its own container."""
    for account in kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{called(account)}: mounts its token"
    for owner, _, spec in pods(objects):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{owner}: mounts a token"
        tokens = {
            volume["name"]
            for volume in spec.get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            if "serviceAccountToken" in source
        }
        for container in containers(spec):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])} & tokens
            if mounted and container["name"] != "rack":
                yield f"{owner} {container['name']}: has the token {mounted}"


def secrets_stay_in_secrets(objects):
    values = [
        base64.b64decode(value).decode()
        for secret in kind(objects, "Secret")
        for key, value in secret.get("data", {}).items()
        if key != "cluster-id"
    ]
    for one in objects:
        if one["kind"] == "Secret":
            continue
        text = json.dumps(one)
        if any(value in text for value in values):
            yield f"{called(one)}: holds a value of the Secret"
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            for variable in container.get("env", []):
                secret = any(word in variable["name"] for word in ("PASSWORD", "SECRET", "ACCESS_KEY"))
                if secret and "value" in variable and not variable["name"].endswith("_FILE"):
                    yield f"{owner} {container['name']}: {variable['name']} stands in the open"


def rights_are_those_of_the_rack_reader(objects):
    for role in kind(objects, "Role", "ClusterRole"):
        if role["rules"] != [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]:
            yield f"{called(role)}: {role['rules']}"
    reads = any(c["name"] == "rack" for _, _, spec in pods(objects) for c in containers(spec))
    bound = bool(kind(objects, "RoleBinding", "ClusterRoleBinding"))
    if bound != reads:
        yield f"a role is bound: {bound}; a container reads the rack: {reads}"


CHECKS = [pods_are_restricted, tokens_are_not_mounted, secrets_stay_in_secrets, rights_are_those_of_the_rack_reader]
