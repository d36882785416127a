"""What the operators' documents tell to type exists: make targets, our own commands, the chart's values, links."""

import re
import unittest

from dashboards.rules import ROOT, anchors

DOCUMENTS = [ROOT / "README.md", ROOT / "docs/operations.md", ROOT / "docs/runbooks.md"]
CODE = re.compile(r"```sh\n(.*?)```|(?<!`)`([^`\n]+)`(?!`)", re.S)


def commands() -> list[str]:
    """Every line of the code in the documents."""
    found = []
    for path in DOCUMENTS:
        for block, inline in CODE.findall(path.read_text()):
            found += [line.split("#")[0].strip() for line in (block or inline).splitlines()]
    return [line for line in found if line]


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


def subcommands(path: str) -> set[str]:
    """The variants of a file's `enum Command`, as clap names them."""
    body = re.search(r"enum Command \{\n(.*?)^\}", (ROOT / path).read_text(), re.M | re.S).group(1)
    return {kebab(name) for name in re.findall(r"^    (\w+)[ ,({]", body, re.M)}


def values() -> set[str]:
    """Dotted names of every value of the chart."""
    found, path = set(), []
    for line in (ROOT / "helm/millrace/values.yaml").read_text().splitlines():
        if key := re.match(r"^( *)([A-Za-z]\w*):", line):
            path = [*path[: len(key.group(1)) // 2], key.group(2)]
            found.add(".".join(path))
    return found


class Documents(unittest.TestCase):
    def test_make_targets_exist(self):
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([a-z0-9-]+):.*##", makefile, re.M))
        used = {name for line in commands() for name in re.findall(r"\bmake (?:-s )?([a-z][a-z0-9-]*)\b", line)}
        self.assertIn("verify", used)
        self.assertLessEqual(used, targets)

    def test_our_commands_exist(self):
        top = subcommands("services/cli/src/main.rs")
        seen = 0
        for line in commands():
            for first, second in re.findall(r"(?:^|\brm |[ -]-- |stack )millrace ([a-z]+)(?: ([a-z]+))?\b", line):
                seen += 1
                with self.subTest(line):
                    self.assertIn(first, top)
                    for path in ROOT.glob(f"services/cli/src/**/{first}*"):
                        file = path / "mod.rs" if path.is_dir() else path
                        # Prose may name a whole family: `millrace topics`.
                        if second and file.exists() and "enum Command {" in file.read_text():
                            self.assertIn(second, subcommands(str(file.relative_to(ROOT))))
        self.assertGreater(seen, 10)

    def test_stack_commands_exist(self):
        source = (ROOT / "deploy/stack/__main__.py").read_text()
        for line in commands():
            for name in re.findall(r"scripts/stack ([a-z-]+)", line):
                with self.subTest(line):
                    self.assertIn(f'"{name}"', source)

    def test_values_of_the_chart_exist(self):
        known = values()
        text = "\n".join(commands())
        used = set(re.findall(r"\b((?:brokers|kafka|etl|postgres|opensearch|s3|monitoring|networkPolicy|tracing|image)\.[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)\b", text))
        self.assertGreater(len(used), 5)
        self.assertLessEqual({name for name in used if not name.endswith(("properties", "yml"))}, known)

    def test_links_lead_somewhere(self):
        for path in [*DOCUMENTS, *(ROOT / "docs").glob("*.md")]:
            text = path.read_text()
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if target.startswith("http"):
                    continue
                file, _, anchor = target.partition("#")
                with self.subTest(f"{path.name}: {target}"):
                    found = (path.parent / file) if file else path
                    self.assertTrue(found.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(found.read_text()))


if __name__ == "__main__":
    unittest.main()
