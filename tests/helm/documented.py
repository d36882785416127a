"""Reads the chart's values.yaml as a document: every value with its description, its default and its JSON Schema.

`# --` begins a description, which goes on over the comment lines that follow; `# @` holds a JSON Schema; other comments
before a key describe a group. Whatever a documented value holds is its default and no further value.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

KEY = re.compile(r"^( *)([A-Za-z0-9_.]+):(?:\s|$)")


class Undocumented(Exception):
    """A value without a description, or a comment that cannot be read."""


@dataclass
class Value:
    path: tuple[str, ...]
    description: str
    default: object
    schema: dict


@dataclass
class Group:
    path: tuple[str, ...]
    description: str = ""
    members: dict[str, "Group | Value"] = field(default_factory=dict)

    def values(self) -> list[Value]:
        """All values below, in the order of the file."""
        found = []
        for member in self.members.values():
            found += member.values() if isinstance(member, Group) else [member]
        return found


@dataclass
class Comment:
    """What has been read above a key."""

    lines: list[str] = field(default_factory=list)
    schema: dict | None = None
    is_value: bool = False

    def add(self, number: int, text: str) -> None:
        if text.startswith("@ "):
            try:
                self.schema = json.loads(text[2:])
            except ValueError as error:
                raise Undocumented(f"values.yaml:{number}: not a JSON Schema: {error}") from None
            return
        if text.startswith("-- "):
            self.is_value, self.lines, text = True, [], text[3:]
        self.lines.append(text)

    @property
    def text(self) -> str:
        return " ".join(self.lines)


def read(path: Path) -> Group:
    """The whole file as a tree of groups."""
    text = path.read_text()
    defaults = yaml.safe_load(text)
    root = Group(())
    open_groups: list[tuple[int, Group]] = [(-1, root)]
    skip_below: int | None = None
    comment = Comment()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped:
            comment = Comment()
            continue
        indent = len(line) - len(line.lstrip())
        if skip_below is not None and indent > skip_below:
            continue
        skip_below = None
        if stripped.startswith("#"):
            comment.add(number, stripped[1:].strip())
            continue
        key = KEY.match(line)
        if not key:
            raise Undocumented(f"values.yaml:{number}: neither a key nor a comment")
        while open_groups[-1][0] >= indent:
            open_groups.pop()
        parent = open_groups[-1][1]
        member = make(number, (*parent.path, key.group(2)), comment, defaults)
        parent.members[key.group(2)] = member
        if isinstance(member, Group):
            open_groups.append((indent, member))
        else:
            skip_below = indent
        comment = Comment()
    return root


def make(number: int, path: tuple[str, ...], comment: Comment, defaults: dict) -> Group | Value:
    default = defaults
    for key in path:
        default = default[key]
    if not comment.is_value:
        if not isinstance(default, dict) or not default:
            raise Undocumented(f"values.yaml:{number}: {'.'.join(path)} has no description (# -- ...)")
        return Group(path, comment.text)
    schema = {"description": comment.text, **inferred(default), **(comment.schema or {})}
    if "enum" in schema and comment.schema and "type" not in comment.schema:
        schema.pop("type", None)
    return Value(path, comment.text, default, schema)


def inferred(default: object) -> dict:
    """The type that a default has."""
    types = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return {"type": types[type(default)]} if type(default) in types else {}


def schema(group: Group) -> dict:
    """A group's JSON Schema: what is not described is refused."""
    properties = {
        name: schema(member) if isinstance(member, Group) else member.schema for name, member in group.members.items()
    }
    described = {"description": group.description} if group.description else {}
    return {**described, "type": "object", "additionalProperties": False, "properties": properties}
