"""The chart as a package: its documents are current, its copies are copies, its versions those of the project."""

import base64
import re
import shutil
import tempfile
from pathlib import Path

import docs
import rendering
import yaml
from rendering import CHART, ROOT, kind, parsed, pods, rendered, template


def documents_are_current():
    return [f"{name}: run scripts/chart-docs" for name in docs.stale()]


def app_version_is_the_workspaces():
    manifest = (ROOT / "Cargo.toml").read_text().partition("[workspace.package]")[2]
    version = re.search(r'^version = "(.*)"', manifest, re.M).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return [] if chart["appVersion"] == version else [f"appVersion {chart['appVersion']}, Cargo.toml {version}"]


def images_are_pinned():
    """Ours by the version; the stores' as docker compose has them."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    images = {c["image"] for _, _, spec in pods(rendered("default")) for c in rendering.containers(spec)}
    ours = {f"millrace/{name}:{version}" for name in ("broker", "weblog-generator", "bakery-producer", "etl", "archiver", "cli")}
    theirs = images - ours
    dotenv = ROOT / ".env"
    pinned = set(re.findall(r"^\w+_IMAGE=(\S+)$", dotenv.read_text(), re.M)) if dotenv.exists() else theirs
    problems = [f"{image} is not used" for image in ours - images]
    problems += [f"{image} is not the one in .env" for image in theirs - pinned]
    return problems + [f"{image} has no version" for image in images if not re.search(r":v?\d", image)]


def shipped(objects, manifest_kind, source, ending):
    """Problems where the objects of a kind are not the files of a directory."""
    files = {path.name: path.read_text() for path in (ROOT / source).glob(f"*{ending}")}
    if manifest_kind == "PrometheusRule":
        found = {one["metadata"]["name"].removeprefix("millrace-") + ending: one["spec"] for one in kind(objects, manifest_kind)}
        files = {name: yaml.safe_load(text) for name, text in files.items()}
    else:
        dashboards = [one for one in kind(objects, "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]
        found = {name: text.strip() for one in dashboards for name, text in one["data"].items()}
        files = {name: text.strip() for name, text in files.items()}
    if not files:
        return [f"{source} has no *{ending}"]
    if set(found) != set(files):
        return [f"{manifest_kind}: {sorted(found)}, in {source}: {sorted(files)}"]
    return [f"{name} differs from {source}" for name in files if found[name] != files[name]]


def rules_are_the_projects():
    return shipped(rendered("monitoring-operator"), "PrometheusRule", "deploy/prometheus/rules", ".yml")


def dashboards_are_the_projects():
    return shipped(rendered("monitoring-operator"), "ConfigMap", "grafana/dashboards", ".json")


def packaged(directory, *arguments):
    done = rendering.helm("package", CHART, "--destination", directory, *arguments)
    if done.returncode:
        raise AssertionError(done.stderr)
    (archive,) = Path(directory).glob("*.tgz")
    return archive


def the_package_holds_everything():
    with tempfile.TemporaryDirectory() as directory:
        values = rendering.values_file("monitoring-operator")
        done = template("-f", values, chart=packaged(directory))
    if done.returncode:
        return [done.stderr]
    names = [rendering.called(one) for one in parsed(done.stdout)]
    wanted = [rendering.called(one) for one in rendered("monitoring-operator")]
    return [] if names == wanted else [f"packaged: {sorted(set(wanted) ^ set(names))} differ"]


def immutable(objects):
    """What an upgrade could not change, and what would roll pods if it did."""
    for one in kind(objects, "StatefulSet", "Deployment"):
        spec = one["spec"]
        yield rendering.called(one), spec["selector"], spec.get("volumeClaimTemplates"), spec["template"]["metadata"]["labels"]


def a_new_version_keeps_what_cannot_change():
    with tempfile.TemporaryDirectory() as directory:
        done = template(chart=packaged(directory, "--version", "9.9.9", "--app-version", "9.9.9"))
    later, now = list(immutable(parsed(done.stdout))), list(immutable(rendered("default")))
    return [f"{new[0]} differs" for new, old in zip(later, now, strict=True) if new != old]


def an_existing_secret_makes_rendering_repeatable():
    values = rendering.values_file("existing-secret")
    first, second = template("-f", values).stdout, template("-f", values).stdout
    return [] if first and first == second else ["two renderings differ"]


def generated_secrets_are_usable():
    """The cluster id is one of Kafka's form, passwords are long, and the next rendering has others."""
    (one,) = kind(rendered("default"), "Secret")
    (other,) = kind(tuple(parsed(template().stdout)), "Secret")
    problems = [] if one["data"] != other["data"] else ["the same secrets twice"]
    values = {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
    if not re.fullmatch(r"[A-Za-z0-9]{22}", values["cluster-id"]):
        problems.append(f"cluster id {values['cluster-id']!r}")
    for key in ("postgres-password", "s3-secret-key"):
        if not re.fullmatch(r"[A-Za-z0-9]{32}", values[key]):
            problems.append(f"{key} has {len(values[key])} characters")
    if one["metadata"]["annotations"].get("helm.sh/resource-policy") != "keep":
        problems.append("uninstalling would remove the Secret")
    return problems


def every_variant_is_lint_free(variant):
    done = rendering.helm(
        "lint", "--strict", CHART, "--kube-version", rendering.VERSIONS[0], "-f", rendering.values_file(variant)
    )
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def notes_say_where_to_look():
    """Helm shows notes only where there is a cluster, so a copy of the chart has them as an object."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "millrace")
        shutil.copytree(CHART, copy)
        notes = (copy / "templates/NOTES.txt").read_text()
        wrapped = f'{{{{- define "notes" }}}}{notes}{{{{ end -}}}}\nkind: ConfigMap\nmetadata: {{name: notes}}\ndata: {{notes: {{{{ include "notes" . | quote }}}}}}\n'
        (copy / "templates/notes.yaml").write_text(wrapped)
        problems = []
        for variant in rendering.variants():
            done = template("-f", rendering.values_file(variant), "--show-only", "templates/notes.yaml", chart=copy)
            if done.returncode:
                problems.append(f"{variant}: {done.stderr}")
                continue
            (shown,) = parsed(done.stdout)
            wanted = {"default": ["helm test", "psql", "_search", "millrace produce", "Grafana"], "nodeport": ["31102"]}
            wanted |= {"loadbalancer": ["broker-2.example.com:9094"], "external-kafka": ["b-1.kafka.example.com:9096"]}
            text = shown["data"]["notes"]
            problems += [f"{variant}: the notes do not name {w}" for w in wanted.get(variant, []) if w not in text]
    return problems


CHECKS = [
    documents_are_current,
    app_version_is_the_workspaces,
    images_are_pinned,
    rules_are_the_projects,
    dashboards_are_the_projects,
    the_package_holds_everything,
    a_new_version_keeps_what_cannot_change,
    an_existing_secret_makes_rendering_repeatable,
    notes_say_where_to_look,
    generated_secrets_are_usable,
]
