"""The rules of deploy/prometheus as the tests see them: names, expressions, and the metrics that those select."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RUNBOOKS = ROOT / "docs/runbooks.md"

# Words of PromQL that are neither metrics nor functions.
KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end"}
LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
SELECTOR = re.compile(r'(?<![\w:."$])([a-zA-Z_:][\w:]*)\s*(\{(?:[^"}]|"(?:\\.|[^"\\])*")*\})?(\s*\()?')


@dataclass(frozen=True)
class Rule:
    """A rule of a file: `name` is that of the alert or of the recorded series."""

    file: str
    name: str
    is_alert: bool
    expression: str
    body: str

    def annotation(self, name: str) -> str:
        found = re.search(rf'^ *{name}: "?(.*?)"?$', self.body, re.M)
        return found.group(1) if found else ""


def rules() -> list[Rule]:
    """Read by shape, as Python brings no YAML: promtool checks that the files are well-formed."""
    found = []
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        for kind, name, body in re.findall(
            r"^      - (alert|record): (\S+)\n(.*?)(?=^      - |^  - name|^      #|\Z)", path.read_text(), re.M | re.S
        ):
            expression = re.search(r"expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", body)
            text = " ".join((expression.group(1) or expression.group(2)).split())
            found.append(Rule(path.name, name, kind == "alert", text, body))
    return found


def selectors(expression: str) -> list[str]:
    """Each metric of a PromQL expression with its matchers, without ranges, offsets and functions."""
    found = []
    for name, matchers, call in SELECTOR.findall(LABEL_LISTS.sub(" ", expression)):
        if not call and name.lower() not in KEYWORDS and not is_duration(name):
            found.append(name + matchers)
    return list(dict.fromkeys(found))


def is_duration(word: str) -> bool:
    return re.fullmatch(r"(\d+(ms|[smhdwy]))+", word) is not None


def cases() -> dict[str, set[bool]]:
    """For each alert that promtool's tests name, whether there are cases that expect it, and cases that do not."""
    found: dict[str, set[bool]] = {}
    for path in sorted((PROMETHEUS / "tests").glob("*.yml")):
        for name, rest in re.findall(r"alertname: (\w+)\n +exp_alerts:(.*)", path.read_text()):
            found.setdefault(name, set()).add(rest.strip() != "[]")
    return found


def anchors(markdown: str) -> set[str]:
    """The anchors of a Markdown file's headings, by GitHub's rule."""
    headings = re.findall(r"^#+ (.*)$", markdown, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
