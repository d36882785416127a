"""Runs suites of tests and closes with the counts of each; fails if any test did.

Everything is built once for the whole workspace: cargo would build most of it anew for each selection of
packages, as each has other features.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Suites of real processes, which run their tests one at a time.
PROCESSES = {"cluster", "compat", "e2e"}
# Packages that are a suite of their own. All others are the suite "unit".
OWN = PROCESSES | {"fuzz"}
# Its simulated lives have one thread each and take longest: they begin first, and other programs run beside them.
LONGEST = "sim"
# Suites that are Python packages under tests/, run by unittest.
PYTHON = {"dashboards"}
# Suites that are a program of their own, in the environment that scripts/stack has installed where it was needed.
PROGRAMS = {"helm": ["tests/helm/run.py"], "bugs": ["tests/sim/bugs/run.py", "--check"]}
VENV_PYTHON = ROOT / f".cache/venv-{sys.version_info.major}.{sys.version_info.minor}/bin/python"
RAN = re.compile(r"^Ran (\d+) tests? in .*\n\n(?:OK|FAILED)(?: \((.*)\))?", re.M)
RESULT = re.compile(r"^test result: .* (\d+) passed; (\d+) failed; (\d+) ignored", re.M)


def cargo(*arguments: str) -> str:
    done = subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"cargo {' '.join(arguments)} failed")
    return done.stdout


def executables() -> list[tuple[str, str, Path]]:
    """Package, executable and directory of every test program."""
    found = []
    for line in cargo("test", "--workspace", "--no-run", "--message-format=json-render-diagnostics").splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            package = Path(message["manifest_path"]).parent
            found.append((package.name, message["executable"], package))
    return found


def captured(command: list[str], directory: Path, variables: dict[str, str]) -> tuple[str, int]:
    """Runs a test program beside others, and gives its output and its status."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    return done.stdout, done.returncode


def shown(command: list[str], directory: Path, variables: dict[str, str]) -> tuple[str, int]:
    """Runs a test program, showing its output, and gives that output and its status."""
    text = []
    environment = {**os.environ, **variables}
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            text.append(line)
    return "".join(text), process.returncode


def run_python_suite(suite: str) -> tuple[str, bool]:
    began = time.monotonic()
    print(f"== {suite}: tests/{suite}", flush=True)
    command = [sys.executable, "-m", "unittest", "discover", "-v", "-s", f"tests/{suite}", "-t", "tests"]
    text, status = shown(command, ROOT, {"PYTHONDONTWRITEBYTECODE": "1"})
    ran = RAN.search(text)
    counts = dict(re.findall(r"(\w+)=(\d+)", ran.group(2) or "")) if ran else {}
    failed, ignored = (sum(int(counts.get(word, 0)) for word in words) for words in (("failures", "errors"), ("skipped",)))
    passed = max(int(ran.group(1)) - failed - ignored, 0) if ran else 0
    return closing(suite, [passed, failed, ignored], began, status != 0), status != 0


def run_program_suite(suite: str) -> tuple[str, bool]:
    began = time.monotonic()
    python = VENV_PYTHON if VENV_PYTHON.exists() else sys.executable
    command = [str(python), *PROGRAMS[suite]]
    print(f"== {suite}: {PROGRAMS[suite][0]}", flush=True)
    text, status = shown(command, ROOT, {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "deploy"})
    result = RESULT.search(text)
    counts = [int(count) for count in result.groups()] if result else [0, 0, 0]
    return closing(suite, counts, began, status != 0), status != 0


def closing(suite: str, counts: list[int], began: float, failed: bool) -> str:
    line = "{}: {} passed, {} failed, {} ignored ({:.0f} s)".format(suite, *counts, time.monotonic() - began)
    return line + (" FAILED" if failed else "")


def run_suite(suite: str, programs: list[tuple[str, str, Path]]) -> tuple[str, bool]:
    began, counts, failed = time.monotonic(), [0, 0, 0], False
    mine = [program for program in programs if suite == (program[0] if program[0] in OWN else "unit")]
    for text, status in outputs(suite, mine):
        result = RESULT.search(text)
        if result:
            counts = [count + int(found) for count, found in zip(counts, result.groups())]
        failed |= status != 0
    return closing(suite, counts, began, failed), failed


def outputs(suite: str, programs: list[tuple[str, str, Path]]) -> Iterator[tuple[str, int]]:
    """Runs the programs of a suite, several at a time where they are no real processes, and shows what each says."""
    title = "== {}: {} ({})".format
    if suite in PROCESSES:
        for package, program, directory in programs:
            print(title(suite, package, Path(program).name), flush=True)
            command = [program, "--test-threads=1"]
            yield shown(command, directory, {"CARGO_MANIFEST_DIR": str(directory)})
        return
    programs = sorted(programs, key=lambda program: program[0] != LONGEST)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = {}
        for package, program, directory in programs:
            work = pool.submit(captured, [program], directory, {"CARGO_MANIFEST_DIR": str(directory)})
            begun[work] = (package, program)
        for work in concurrent.futures.as_completed(begun):
            package, program = begun[work]
            text, status = work.result()
            print(title(suite, package, Path(program).name), text, sep="\n", flush=True)
            yield text, status


def compiled(suites: list[str]) -> list[tuple[str, str, Path]]:
    """Compiles what the suites run, and gives their test programs."""
    programs = []
    if set(suites) - PYTHON - set(PROGRAMS):
        print("== building the tests; the first time takes minutes", flush=True)
        programs = executables()
    if PROCESSES & set(suites):
        cargo("build", "--workspace", "--bins")
    return programs


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--needs", required=True, help="what scripts/stack brings meanwhile")
    arguments.add_argument("suites", nargs="+")
    given = arguments.parse_args()
    suites = given.suites
    os.environ["PROFILE"] = "dev"
    # Downloads take minutes, and so does the compiler, which downloads nothing of theirs.
    with subprocess.Popen(["scripts/stack", "install", given.needs], cwd=ROOT) as install:
        try:
            programs = compiled(suites)
        except BaseException:
            install.terminate()
            raise
    if install.returncode:
        sys.exit("what the tests need could not be installed; the reason is above")
    results = []
    for suite in suites:
        if suite in PYTHON:
            results.append(run_python_suite(suite))
        elif suite in PROGRAMS:
            results.append(run_program_suite(suite))
        else:
            results.append(run_suite(suite, programs))
    print("\n" + "\n".join(line for line, _ in results))
    sys.exit(any(failed for _, failed in results))


if __name__ == "__main__":
    main()
