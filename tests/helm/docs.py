"""Makes helm/millrace/values.schema.json and the table in its README.md from the comments in values.yaml.

`scripts/chart-docs` writes both; with --check it only says whether they are current.
"""

import json
import sys
from pathlib import Path

import documented

CHART = Path(__file__).resolve().parents[2] / "helm/millrace"
MARKER = "<!-- Made from values.yaml by scripts/chart-docs; edit there. -->\n"


def schema_text(values: documented.Group) -> str:
    schema = documented.schema(values)
    # Helm itself gives `global` to every chart.
    schema["properties"]["global"] = {"type": "object"}
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Millrace chart", **schema}
    return json.dumps(schema, indent=2) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def allowed(schema: dict) -> str:
    """What a value may be, in a few words."""
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kinds = schema.get("type", "any")
    words = " or ".join(kinds) if isinstance(kinds, list) else kinds
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{words}, {low} to {high}"
    return f"{words}, {low} or more" if low is not None else words


def table(values: documented.Group) -> str:
    """One section for each top-level key that is a group; the others come first."""
    sections = {"General": [m for m in values.members.values() if isinstance(m, documented.Value)]}
    for name, member in values.members.items():
        if isinstance(member, documented.Group):
            sections[name] = member.values()
    lines = []
    for title, members in sections.items():
        lines += [f"### {title}", "", "| value | default | |", "|---|---|---|"]
        for value in members:
            default = json.dumps(value.default, separators=(", ", ": "))
            text = f"{value.description} ({allowed(value.schema)})"
            lines.append(f"| `{'.'.join(value.path)}` | `{cell(default)}` | {cell(text)} |")
        lines.append("")
    return "\n".join(lines)


def rendered() -> dict[Path, str]:
    """The files as they should be."""
    values = documented.read(CHART / "values.yaml")
    readme = CHART / "README.md"
    before, found, _ = readme.read_text().partition(MARKER)
    if not found:
        raise documented.Undocumented(f"{readme} has lost the line {MARKER.strip()}")
    return {CHART / "values.schema.json": schema_text(values), readme: before + MARKER + "\n" + table(values)}


def stale() -> list[str]:
    return [path.name for path, text in rendered().items() if not path.exists() or path.read_text() != text]


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        if names := stale():
            sys.exit(f"not current: {', '.join(names)}; run scripts/chart-docs")
        return
    for path, text in rendered().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
