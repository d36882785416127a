"""The command, environment and configuration files of every supervised part."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from . import monitoring, parts, privilege, tools
from .program import Program, write
from .settings import ROOT, Settings, Stop, say

DEPLOY = ROOT / "deploy"


# ---- stores ----------------------------------------------------------------------------------


def postgres_environment() -> dict[str, str]:
    libraries = tools.libraries_for(tools.postgres_bin())
    return {"LD_LIBRARY_PATH": libraries} if libraries else {}


def initialise_postgres(settings: Settings) -> None:
    """initdb into a directory that gets its name only when it is complete."""
    home = settings.data / "postgres"
    privilege.own(home)
    if (home / "data").exists():
        return
    say("start     initdb: a new PostgreSQL database")
    fresh = home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    password = write(home / "password", settings.pg_password + "\n")
    command = [tools.postgres_bin() / "initdb", "-D", fresh, "-U", "millrace", "-E", "UTF8", "--no-locale"]
    command += ["--auth=scram-sha-256", f"--pwfile={password}", "--no-instructions"]
    done = subprocess.run(
        [*privilege.prefix(settings), *command],
        env={**os.environ, **postgres_environment()},
        capture_output=True,
        text=True,
    )
    password.unlink()
    if done.returncode:
        raise Stop(f"initdb failed:\n{done.stdout}{done.stderr}")
    fresh.rename(home / "data")


def postgres(settings: Settings) -> Program:
    initialise_postgres(settings)
    options = {
        "port": settings.port("postgres"),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 100,
        "log_line_prefix": "%m [%p] ",
    }
    command = [*privilege.prefix(settings), str(tools.postgres_bin() / "postgres")]
    command += ["-D", str(settings.data / "postgres/data")]
    for key, value in options.items():
        command += ["-c", f"{key}={value}"]
    # INT is PostgreSQL's fast shutdown: open sessions are ended, the data is checkpointed.
    return Program("postgres", command, postgres_environment(), stop_signal="INT", stop_s=60)


def opensearch(settings: Settings) -> Program:
    java = tools.java_home(parts.OPENSEARCH_MIN_JAVA)
    home = settings.data / "opensearch"
    config = home / "config"
    shutil.copytree(tools.OPENSEARCH_HOME / "config", config, dirs_exist_ok=True)
    text = (DEPLOY / "opensearch/opensearch.yml").read_text()
    text += f"http.port: {settings.port('opensearch')}\n"
    text += f"transport.port: {settings.port('opensearch-transport')}\n"
    text += f"path.data: {home / 'data'}\npath.logs: {home / 'logs'}\n"
    write(config / "opensearch.yml", text)
    write(config / "jvm.options", jvm_options(tools.OPENSEARCH_HOME / "config/jvm.options", home, java))
    privilege.give(config)
    for directory in ("data", "logs", "tmp"):
        privilege.own(home / directory)
    heap = settings.get("OPENSEARCH_HEAP", "512m")
    environment = {
        "OPENSEARCH_JAVA_HOME": str(java),
        "OPENSEARCH_PATH_CONF": str(config),
        "OPENSEARCH_TMPDIR": str(home / "tmp"),
        "OPENSEARCH_JAVA_OPTS": f"-Xms{heap} -Xmx{heap}",
    }
    command = [*privilege.prefix(settings), str(opensearch_home(java) / "bin/opensearch")]
    return Program("opensearch", command, environment, stop_s=60)


def opensearch_home(java: Path) -> Path:
    """OpenSearch itself. For PyPI's trimmed runtime: a copy without the one module it cannot run."""
    if not tools.is_trimmed(java):
        return tools.OPENSEARCH_HOME
    trimmed = tools.OPENSEARCH_HOME.with_name(tools.OPENSEARCH_HOME.name + "-trimmed")
    if not trimmed.exists():
        fresh = trimmed.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(tools.OPENSEARCH_HOME, fresh, copy_function=os.link)
        # Its Thai analyzer needs a locale that the runtime lacks; every index creation would fail.
        shutil.rmtree(fresh / "modules/analysis-common")
        fresh.rename(trimmed)
    return trimmed


def jvm_options(template: Path, home: Path, java: Path) -> str:
    """OpenSearch's own options with absolute paths, as it does not run in its own directory."""
    lines = []
    for line in template.read_text().splitlines():
        if "jdk.incubator.vector" in line and tools.is_trimmed(java):
            continue
        line = line.replace("logs/", f"{home}/logs/").replace("HeapDumpPath=data", f"HeapDumpPath={home}/data")
        lines.append(line)
    return "\n".join(lines) + "\n"


def s3(settings: Settings) -> Program:
    home = settings.data / "s3"
    home.mkdir(parents=True, exist_ok=True)
    try:
        os.setxattr(home, "user.millrace", b"1")
    except OSError as error:
        raise Stop(
            f"{settings.data} is on a file system without extended attributes ({error.strerror}); the S3 "
            "store keeps objects' metadata there. Set DATA_DIR to a directory on ext4, xfs or btrfs."
        ) from error
    properties = write(
        settings.data / "config/s3proxy.properties",
        f"s3proxy.endpoint=http://{settings.address('s3')}\n"
        "s3proxy.authorization=aws-v2-or-v4\n"
        f"s3proxy.identity={settings.s3_key}\n"
        f"s3proxy.credential={settings.s3_secret}\n"
        "jclouds.provider=filesystem-nio2\n"
        f"jclouds.filesystem.basedir={home}\n",
    )
    java = tools.java_home(parts.S3PROXY_MIN_JAVA)
    command = [str(java / "bin/java"), "-Xmx256m", "-XX:+UseSerialGC", "-jar", str(tools.S3PROXY_JAR)]
    return Program("s3", [*command, "--properties", str(properties)], {"LOG_LEVEL": "warn"})


# ---- brokers and services --------------------------------------------------------------------


def broker(settings: Settings, name: str) -> Program:
    number = name.split("-")[1]
    voters = ",".join(f"{n}@{settings.address(f'controller-{n}')}" for n in (1, 2, 3))
    text = (DEPLOY / "stack/broker.properties").read_text()
    text += f"node.id={number}\n"
    text += f"controller.quorum.voters={voters}\n"
    text += (
        f"listeners=PLAINTEXT://{settings.address(name)},"
        f"CONTROLLER://{settings.address(f'controller-{number}')}\n"
    )
    text += f"http.listen={settings.address(f'{name}-http')}\n"
    text += f"log.dirs={settings.data / name}\n"
    text += "\n".join(settings.get("BROKER_PROPERTIES", "").split()) + "\n"
    config = write(settings.data / f"config/{name}.properties", text)
    command = [str(settings.bin_dir() / "millrace-broker"), str(config)]
    return Program(name, command, settings.telemetry(), stop_s=45)


def service(settings: Settings, name: str) -> Program:
    arguments = shlex.split(settings.get(name.upper().replace("-", "_") + "_ARGS", ""))
    if name == "archiver":
        connector = json.loads((DEPLOY / "s3_conn_config.json").read_text())
        connector["config"]["store.url"] = f"http://{settings.address('s3')}"
        connector["config"]["s3.bucket.name"] = settings.bucket
        config = write(settings.data / "config/s3_conn_config.json", json.dumps(connector, indent=2) + "\n")
        arguments = ["--config", str(config), *arguments]
    # A name that stays lets a service that was killed have its partitions back at once.
    environment = {**settings.environment(), **settings.telemetry(), "METRICS_ADDR": settings.address(name), "INSTANCE_ID": name}
    return Program(name, [str(settings.bin_dir() / name), *arguments], environment)


def define(settings: Settings, wanted: list[str]) -> list[Program]:
    """Writes the configuration of the `wanted` parts and says how each is run."""
    single = {"postgres": postgres, "opensearch": opensearch, "s3": s3, **monitoring.PROGRAMS}
    programs = []
    for name in wanted:
        if name in single:
            programs.append(single[name](settings))
        elif name in parts.BROKERS:
            programs.append(broker(settings, name))
        else:
            programs.append(service(settings, name))
    return programs
