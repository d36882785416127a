"""The dashboards as the tests see them: panels, queries, variables and links of every JSON file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "grafana/dashboards"
# What Grafana fills in by itself.
BUILT_IN = {"__rate_interval", "__interval", "__range", "__from", "__to", "__url_time_range", "__value", "__field", "__timeFilter", "__timeGroupAlias", "__all"}
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:[.:][^}]*)?\}|(\w+))")


def boards() -> dict[str, dict]:
    """Every dashboard by its uid."""
    found = [json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))]
    return {board["uid"]: board for board in found}


def panels(board: dict) -> Iterator[dict]:
    """Every panel that shows something, those of collapsed rows included."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def variables(board: dict) -> dict[str, dict]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def variables_in(text: str) -> set[str]:
    """The names of the variables that a text uses."""
    return {braced or plain for braced, plain in VARIABLE.findall(text)}


def texts(thing) -> Iterator[str]:
    """Every string within a JSON value."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from texts(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from texts(value)


def links(thing) -> Iterator[str]:
    """The URL of every link within a JSON value."""
    if isinstance(thing, dict):
        if "title" in thing and thing.get("url"):
            yield thing["url"]
        for value in thing.values():
            yield from links(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from links(value)
