"""Panels of each kind. Every one has a description, a unit and, where a value is good or bad, thresholds."""

from dataclasses import dataclass, field

# A panel's width and height in Grafana's grid of 24 columns.
GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass
class Panel:
    """One panel without its place; `options` and `defaults` are Grafana's own."""

    kind: str
    title: str
    description: str
    unit: str
    targets: list[dict]
    width: int
    height: int
    defaults: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    transformations: list[dict] = field(default_factory=list)
    overrides: list[dict] = field(default_factory=list)


def steps(*bounds: tuple[float | None, str]) -> dict:
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in bounds]}


def bad_above(worst: float, worse: float | None = None) -> dict:
    """Green below, red from `worst` on, yellow from `worse` on."""
    middle = [(worse, YELLOW)] if worse is not None else []
    return steps((None, GREEN), *middle, (worst, RED))


def good_above(best: float, better: float) -> dict:
    """Red below `better`, yellow below `best`, then green."""
    return steps((None, RED), (better, YELLOW), (best, GREEN))


NEUTRAL = steps((None, "blue"))


def stat(title, description, unit, targets, thresholds=None, width=4, height=4, links=(), decimals=None, text=False, none=""):
    """One number for each series, in the colour of its threshold; `none` is shown where there is no series."""
    defaults = {"thresholds": thresholds or NEUTRAL, "color": {"mode": "thresholds"}, "links": list(links)}
    if decimals is not None:
        defaults["decimals"] = decimals
    if none:
        defaults["noValue"] = none
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "/.*/" if text else "", "values": False},
        "colorMode": "background" if thresholds else "value",
        "graphMode": "none" if text or any(target.get("instant") for target in targets) else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name" if len(targets) > 1 or targets[0].get("legendFormat", "").startswith("{{") else "auto",
        "wideLayout": True,
    }
    return Panel("stat", title, description, unit, targets, width, height, defaults, options)


def lines(title, description, unit, targets, thresholds=None, width=12, height=8, links=(), stacked=False, least=0, most=None):
    """Lines over time; thresholds are drawn where there are any."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}, "links": list(links), "thresholds": thresholds or NEUTRAL}
    if least is not None:
        defaults["min"] = least
    if most is not None:
        defaults["max"] = most
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, unit, targets, width, height, defaults, options)


def bars(title, description, unit, targets, thresholds=None, width=8, height=8, links=()):
    """A horizontal bar for each series or row."""
    defaults = {"thresholds": thresholds or NEUTRAL, "color": {"mode": "thresholds"}, "links": list(links), "min": 0}
    rows = any(target.get("format") == "table" or "bucketAggs" in target for target in targets)
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": rows},
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "auto",
        "sizing": "auto",
    }
    return Panel("bargauge", title, description, unit, targets, width, height, defaults, options)


def states(title, description, targets, mappings, width=12, height=8, unit="none", links=()):
    """One strip per series that shows when it was in which state. `mappings`: value -> (text, colour)."""
    listed = {str(value): {"text": text, "color": color, "index": index} for index, (value, (text, color)) in enumerate(mappings.items())}
    defaults = {
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "color": {"mode": "thresholds"},
        "thresholds": NEUTRAL,
        "mappings": [{"type": "value", "options": listed}] if listed else [],
        "links": list(links),
    }
    options = {
        "mergeValues": True,
        "showValue": "never" if listed else "auto",
        "rowHeight": 0.85,
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": bool(listed)},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel("state-timeline", title, description, unit, targets, width, height, defaults, options)


def heatmap(title, description, unit, targets, width=12, height=8):
    """How a histogram's values spread over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64, "reverse": True, "exponent": 0.5, "scale": "exponential"},
        "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False},
        "legend": {"show": True},
    }
    return Panel("heatmap", title, description, unit, targets, width, height, {}, options)


def table(title, description, targets, columns=None, units=None, unit="none", width=24, height=9, links=None, thresholds=None, sort=""):
    """Rows; `columns` renames and orders them (what it does not name is left out), `units` says what each counts."""
    transformations = []
    if len(targets) > 1:
        transformations.append({"id": "merge", "options": {}})
    if columns:
        names = list(columns)
        transformations.append({"id": "filterFieldsByName", "options": {"include": {"names": names}}})
        order = {"indexByName": {name: place for place, name in enumerate(names)}, "renameByName": columns, "excludeByName": {}}
        transformations.append({"id": "organize", "options": order})
    overrides = []
    for name, which in (units or {}).items():
        overrides.append({"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": which}]})
    for name, link in (links or {}).items():
        overrides.append({"matcher": {"id": "byName", "options": name}, "properties": [{"id": "links", "value": [link]}]})
    for name, bounds in (thresholds or {}).items():
        coloured = [{"id": "thresholds", "value": bounds}, {"id": "custom.cellOptions", "value": {"type": "color-background"}}]
        overrides.append({"matcher": {"id": "byName", "options": name}, "properties": coloured})
    options = {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": sort, "desc": True}] if sort else []}
    defaults = {"custom": {"align": "auto", "filterable": True}, "thresholds": NEUTRAL}
    return Panel("table", title, description, unit, targets, width, height, defaults, options, transformations, overrides)


def pie(title, description, unit, targets, width=8, height=8):
    """Shares of a whole."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True},
        "pieType": "donut",
        "legend": {"displayMode": "table", "placement": "right", "showLegend": True, "values": ["value", "percent"]},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel("piechart", title, description, unit, targets, width, height, {"color": {"mode": "palette-classic"}}, options)
