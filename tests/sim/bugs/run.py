"""Seeded bugs: each patch here is put on a copy of the tree, and the simulator must find it.

What a patch changes depends on `wire::seeded("NAME")`, a switch that the copy gets: so bugs in different places are
compiled at once.

    run.py [NAME ...]     lives seeds on each bug until one fails, and prints the table
    run.py --write        does that with all of them and writes the table into docs/seeded-bugs.md
    run.py --check        what CI does: every patch applies and compiles, and a few are found
    run.py --copy         makes the copy what the tree is
    run.py --refresh NAME writes the patch from what was changed in the copy
"""

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATCHES = Path(__file__).resolve().parent
DOCS = ROOT / "docs/seeded-bugs.md"
WORK = ROOT / "target/sim-bugs"
TREE = WORK / "tree"
# How the copy is compiled, and where: soon, for what CI does, and so that many lives are lived, for the table.
SOON = ([], ROOT / "target", WORK / "target")
FAST = (["--config", str(ROOT / "tests/sim/long.toml")], ROOT / "target/sim-long", WORK / "target-long")
# Settings for cargo, the target directory that lends what it has compiled, and the one of the copy.
How = tuple[list[str], Path, Path]
# What the table of the docs stands between.
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
# A bug that says nothing else must be found within so many seeds.
SEEDS = int(os.environ.get("SEEDS") or 100)
# What the copy of the tree gets besides: which of the bugs that are in it is one.
SWITCH = '''
/// Whether this bug is wanted.
pub fn seeded(name: &str) -> bool {
    std::env::var("SEEDED").is_ok_and(|wanted| wanted == name)
}
'''
# Those that CI runs.
QUICK = ["commits-lost-at-load", "duplicates-taken", "elected-outside-isr"]


@dataclass
class Bug:
    name: str
    text: str

    def said(self, word: str) -> str | None:
        found = re.search(rf"^{word}: (.*)$", self.text.split("\n--- ")[0], re.M)
        return found and found.group(1)

    @property
    def patch(self) -> Path:
        return PATCHES / f"{self.name}.patch"

    @property
    def files(self) -> list[str]:
        return re.findall(r"^\+\+\+ b/(\S+)$", self.text, re.M)

    @property
    def seeds(self) -> int:
        return int(self.said("seeds") or SEEDS)

    @property
    def is_of_engine(self) -> bool:
        """Whether the engine's own lives find it, of one partition each and by the thousand."""
        return self.said("lives") == "engine"


@dataclass
class Found:
    bug: Bug
    seeds: int | None  # how many were lived until one failed
    what: str


def bugs() -> list[Bug]:
    return [Bug(path.stem, path.read_text()) for path in sorted(PATCHES.glob("*.patch"))]


def git(*arguments: str, at: Path = ROOT) -> subprocess.CompletedProcess:
    # The copy is no part of the repository that it lies in.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(WORK)} if at == TREE else os.environ
    return subprocess.run(["git", *arguments], cwd=at, env=environment, capture_output=True, text=True)


def copy_tree() -> None:
    """Makes the copy what the tree is. Files that are the same are left alone, so that they are not compiled again."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for name in wanted:
        restore(name)
    for path in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(path.relative_to(TREE)) not in wanted:
            path.unlink()


def restore(name: str) -> None:
    source, copy = ROOT / name, TREE / name
    if not copy.is_file() or copy.read_bytes() != source.read_bytes():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def apply(bug: Bug) -> str:
    """Puts a bug on the copy, and says why it cannot be."""
    done = git("apply", str(bug.patch), at=TREE)
    return done.stderr if done.returncode else ""


def lend_dependencies(source: Path, ours: Path) -> None:
    """Lends the copy the crates of others that the tree has compiled. It must not build in the tree's own target
    directory: to cargo the two are the same workspace, so the product would be made out of what the copy left there."""
    if ours.exists() or not (source / ".fingerprint").is_dir():
        return
    told = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    packages = json.loads(told)["packages"]
    own = {package["name"] for package in packages}
    own |= {target["name"] for package in packages for target in package["targets"]}
    own |= {name.replace("-", "_") for name in own}

    def is_own(path: Path) -> bool:
        name = re.sub(r"-[0-9a-f]{16}(\..*)?$", "", path.name)
        return name in own or name.removeprefix("lib") in own

    for folder in [".fingerprint", "build"]:
        for path in [path for path in (source / folder).iterdir() if not is_own(path)]:
            shutil.copytree(path, ours / folder / path.name, symlinks=True)
    (ours / "deps").mkdir(parents=True)
    for path in (source / "deps").iterdir():
        if path.suffix in {".rlib", ".rmeta", ".so", ".d"} and not is_own(path):
            os.link(path, ours / "deps" / path.name)


def cargo(how: How, *arguments: str) -> subprocess.CompletedProcess:
    """Compiles something of the copy."""
    settings, lender, target = how
    lend_dependencies(lender / "debug", target / "debug")
    command = ["cargo", *arguments, "--locked", "-q", *settings]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    return subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True)


def build(program: Path, how: How) -> str:
    """Compiles the copy, and says why it does not compile."""
    target = how[2]
    done = cargo(how, "build", "-p", "sim")
    if done.returncode:
        return done.stderr
    # Under a name of its own: the next build replaces it.
    shutil.copy(target / "debug/sim", program)
    return ""


@dataclass
class Build:
    bugs: list[Bug]
    program: Path
    why_not: str


def builds(wanted: list[Bug], how: How) -> Iterator[Build]:
    """Programs with all of the bugs, in each as many as there is room for side by side, one to be switched on."""
    copy_tree()
    switch = TREE / "crates/wire/src/lib.rs"
    plain = switch.read_text()
    switch.write_text(plain + SWITCH)
    while wanted:
        together = [bug for bug in wanted if not apply(bug)]
        if not together:
            yield Build(wanted, WORK / "none", "the patch does not apply")
            break
        program = WORK / "sim"
        yield Build(together, program, build(program, how))
        for name in {name for bug in together for name in bug.files}:
            restore(name)
        wanted = [bug for bug in wanted if bug not in together]
    switch.write_text(plain)


def live(bug: Bug, program: Path) -> Found:
    """Lives seeds until one fails that does not fail without the bug."""
    began = time.monotonic()
    results = WORK / f"{bug.name}.jsonl"
    found = Found(bug, None, f"not found in {bug.seeds} seeds")
    first = 1
    while first <= bug.seeds:
        results.unlink(missing_ok=True)
        environment = {**os.environ, "SEEDED": bug.name, "FIRST": str(first), "SEEDS": str(bug.seeds + 1 - first)}
        environment |= {"UNTIL_FAILURE": "1", "RESULTS": str(results)}
        environment.pop("SEED", None)
        subprocess.run([program], env=environment, capture_output=True)
        # The first line names the program.
        lines = results.read_text().splitlines()[1:] if results.is_file() else []
        outcomes = [json.loads(line) for line in lines]
        failed = min((o for o in outcomes if "failure" in o), key=lambda o: o["seed"], default=None)
        if not failed:
            break
        seed = failed["seed"]
        if is_sound(program, seed, 1):
            found = Found(bug, seed, verdict(failed["failure"]))
            break
        first = seed + 1
    took = time.monotonic() - began
    print(f"{bug.name}: {found.seeds or 'no'} seeds, {found.what} ({took:.0f} s)", flush=True)
    return found


def build_engine_lives(how: How) -> Path:
    done = cargo(how, "test", "--no-run", "-p", "engine", "--test", "replicas", "--message-format=json")
    artifacts = [json.loads(line) for line in done.stdout.splitlines()]
    programs = [Path(a["executable"]) for a in artifacts if a.get("executable")]
    if done.returncode or not programs:
        sys.exit(done.stderr)
    return programs[0]


def live_engine(bug: Bug, program: Path) -> Found:
    """Lives the engine's lives until one breaks an invariant."""
    said = []
    for seeded in (bug.name, ""):
        environment = {**os.environ, "SEEDED": seeded, "SEEDS": str(bug.seeds), "RUST_BACKTRACE": "0"}
        environment.pop("SEED", None)
        command = [program, "every_life", "--nocapture"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        said.append(done.stdout + done.stderr)
    with_it, without = (re.search(r"SEED=(\d+) breaks", text) for text in said)
    if not with_it or without:
        found = Found(bug, None, f"not found in {bug.seeds} seeds" if not with_it else "fails without it")
    else:
        why = re.search(r"panicked at .*:\n(.*)", said[0])
        found = Found(bug, int(with_it[1]) + 1, "engine: " + why[1].replace("|", "/")[:150])
    print(f"{bug.name}: {found.seeds or 'no'} seeds, {found.what}", flush=True)
    return found


def is_sound(program: Path, first: int = 1, seeds: int = 4) -> bool:
    """Where no bug is switched on, nothing fails: what is found with one is found because of it."""
    environment = {**os.environ, "SEEDED": "", "FIRST": str(first), "SEEDS": str(seeds)}
    for name in ("SEED", "RESULTS"):
        environment.pop(name, None)
    done = subprocess.run([program], env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"without any bug:\n{done.stdout}{done.stderr}")
    return not done.returncode


def verdict(failure: str) -> str:
    """The first anomaly, or why the life did not end well."""
    lines = failure.splitlines()
    anomalies = [line for line in lines if re.match(r"[A-Z]\w+ in \S+: |[A-Z]\w+: ", line)]
    text = anomalies[0] if anomalies else re.sub(r"^seed \d+: ", "", lines[0])
    # Where this machine keeps a crate is nobody's concern.
    return re.sub(r"\S*/registry/src/[^/]+/", "", text).replace("|", "/")[:160]


def table(all_found: list[Found]) -> str:
    lines = ["| bug | what is wrong | seeds | what was said |", "|---|---|---|---|"]
    for found in all_found:
        bug = found.bug
        lines.append(f"| `{bug.name}` | {bug.said('bug')} | {found.seeds or '–'} | {found.what} |")
    return "\n".join(lines) + "\n"


def run(names: list[str], write: bool) -> bool:
    if unknown := set(names) - {bug.name for bug in bugs()}:
        sys.exit(f"no such bug: {', '.join(sorted(unknown))}")
    all_found = []
    for built in builds([bug for bug in bugs() if not names or bug.name in names], FAST):
        if built.why_not:
            print(built.why_not)
            all_found += [Found(bug, None, "cannot be built") for bug in built.bugs]
        elif not is_sound(built.program):
            all_found += [Found(bug, None, "fails without it") for bug in built.bugs]
        else:
            of_engine = [bug for bug in built.bugs if bug.is_of_engine]
            lives = build_engine_lives(FAST) if of_engine else None
            all_found += [live_engine(bug, lives) for bug in of_engine]
            all_found += [live(bug, built.program) for bug in built.bugs if bug not in of_engine]
    all_found.sort(key=lambda found: found.bug.name)
    print("\n" + table(all_found))
    if write:
        before, rest = DOCS.read_text().split(BEGIN)
        DOCS.write_text(before + BEGIN + table(all_found) + END + rest.split(END)[1])
    missed = [found.bug.name for found in all_found if found.seeds is None]
    print(f"sim-bugs: {len(all_found) - len(missed)} found, {len(missed)} missed {' '.join(missed)}")
    return not missed


def check() -> bool:
    """Every patch applies and compiles; a few are found; where none is switched on, nothing is."""
    passed = failed = 0
    assert set(QUICK) <= {bug.name for bug in bugs()}, QUICK
    for built in builds(bugs(), SOON):
        print(f"{'do not compile' if built.why_not else 'compile'}: {' '.join(bug.name for bug in built.bugs)}", flush=True)
        print(built.why_not, end="")
        passed, failed = passed + (not built.why_not) * len(built.bugs), failed + bool(built.why_not) * len(built.bugs)
        if not built.why_not:
            sound = is_sound(built.program)
            passed, failed = passed + sound, failed + (not sound)
        for bug in built.bugs:
            if bug.name in QUICK and not built.why_not:
                missed = live(bug, built.program).seeds is None
                passed, failed = passed + (not missed), failed + missed
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed; 0 ignored")
    return not failed


def refresh(name: str) -> None:
    """The head stays; what was changed in the copy is the patch."""
    path = PATCHES / f"{name}.patch"
    head = path.read_text().split("\n--- ")[0] if path.is_file() else "bug: What is wrong.\n"
    changed = []
    for tracked in sorted(git("ls-files", "*.rs").stdout.split()):
        before, after = (ROOT / tracked).read_text(), (TREE / tracked).read_text()
        lines = [text.splitlines(keepends=True) for text in (before, after)]
        changed.append("".join(difflib.unified_diff(*lines, f"a/{tracked}", f"b/{tracked}", n=2)))
    path.write_text(head.rstrip("\n") + "\n\n" + "".join(changed))


def main() -> None:
    arguments = sys.argv[1:]
    WORK.mkdir(parents=True, exist_ok=True)
    if arguments == ["--copy"]:
        return copy_tree()
    if arguments[:1] == ["--refresh"]:
        return refresh(arguments[1])
    if arguments == ["--check"]:
        sys.exit(not check())
    sys.exit(not run([a for a in arguments if a != "--write"], "--write" in arguments))


if __name__ == "__main__":
    main()
