"""A dashboard: rows of panels laid out in order, its variables, its annotations, and the links to the others."""

from dataclasses import dataclass, field

from .panels import Panel
from .targets import PROMETHEUS

COLUMNS = 24
TAG = "millrace"


@dataclass
class Row:
    """A heading and the panels below it. The panels of a collapsed row ask nothing until somebody opens it."""

    title: str
    panels: list[Panel]
    collapsed: bool = False


@dataclass
class Dashboard:
    uid: str
    title: str
    description: str
    variables: list[dict]
    rows: list[Row]
    since: str = "now-1h"
    extra_tags: list[str] = field(default_factory=list)

    def json(self) -> dict:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG, *self.extra_tags],
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": self.since, "to": "now"},
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "liveNow": False,
            "weekStart": "",
            "annotations": {"list": annotations()},
            "links": [others()],
            "templating": {"list": self.variables},
            "panels": laid_out(self.rows),
        }


def others() -> dict:
    """The other dashboards, in a row above the panels."""
    return {
        "title": "Millrace",
        "type": "dashboards",
        "tags": [TAG],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }


# ---- variables -------------------------------------------------------------------------------


def data_source(name: str, label: str, kind: str) -> dict:
    """Which data source of a kind is asked; the provisioned one has the variable's name as uid."""
    return {
        "name": name,
        "label": label,
        "type": "datasource",
        "query": kind,
        "current": {"selected": False, "text": label, "value": name},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


PROMETHEUS_VARIABLE = data_source("prometheus", "Prometheus", "prometheus")
JAEGER_VARIABLE = data_source("jaeger", "Jaeger", "jaeger")


def choice(name: str, label: str, query: str, several: bool = True) -> dict:
    """Values of a label, asked of Prometheus: several of them or all, or exactly one."""
    chosen = {"selected": True, "text": ["All"], "value": ["$__all"]} if several else {}
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "current": chosen,
        "includeAll": several,
        "allValue": ".*" if several else None,
        "multi": several,
        "hide": 0,
        "options": [],
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
    }


# ---- annotations -----------------------------------------------------------------------------


def annotations() -> list[dict]:
    """What often explains a bend in a line: partitions that got another leader, and processes that began anew."""
    leaders = "sum by (topic) (changes(max by (topic, partition) (kafka_topic_partition_leader)[1m:15s])) > 0"
    started = "millrace_build_info and on (namespace, job, instance) (time() - process_start_time_seconds < 60)"
    return [
        annotation("Leader changes", leaders, "orange", "{{topic}}: partitions have got another leader"),
        annotation("Deployments and restarts", started, "blue", "{{instance}} {{version}} has started"),
    ]


def annotation(name: str, expression: str, color: str, text: str) -> dict:
    return {
        "name": name,
        "datasource": PROMETHEUS,
        "enable": True,
        "hide": False,
        "expr": expression,
        "step": "30s",
        "titleFormat": name,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": False,
        "iconColor": color,
    }


# ---- layout ----------------------------------------------------------------------------------


def laid_out(rows: list[Row]) -> list[dict]:
    """Panels from left to right in the order they are listed, a new line where one does not fit any more."""
    placed, y, identity = [], 0, 1
    for row in rows:
        heading = {"id": identity, "type": "row", "title": row.title, "collapsed": row.collapsed, "panels": []}
        heading["gridPos"] = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        placed.append(heading)
        identity += 1
        y += 1
        inside = heading["panels"] if row.collapsed else placed
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            inside.append(panel_json(panel, identity, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
            identity += 1
            x += panel.width
            tallest = max(tallest, panel.height)
        y += tallest
    return placed


def panel_json(panel: Panel, identity: int, place: dict) -> dict:
    targets = [{**target, "refId": chr(ord("A") + index)} for index, target in enumerate(panel.targets)]
    return {
        "id": identity,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": panel.targets[0]["datasource"],
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "mappings": [], **panel.defaults}, "overrides": panel.overrides},
        "options": panel.options,
        "transformations": panel.transformations,
        "targets": targets,
    }
