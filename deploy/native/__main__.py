"""The commands of the native stack: up, down, status, env, logs, clean-data, install."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

from . import install, parts, ports, privilege, programs, ready, supervise
from .settings import ROOT, Settings, Stop, say

STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "restarting",
    "STOPPING": "stopping",
    "FATAL": "failed",
    "UNKNOWN": "failed",
}


def selected(only: str | None) -> list[str]:
    """The parts of one group, of one name, or all of them."""
    if not only:
        return parts.ALL
    names = [name for word in only.split(",") for name in parts.GROUPS.get(word, [word])]
    if unknown := set(names) - set(parts.ALL):
        raise Stop(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(parts.ALL)}")
    return names


def build(settings: Settings) -> None:
    """Builds every program at once: a part of the workspace has other features, and is built twice."""
    say(f"build     the broker and the services ({settings.profile}); the first time takes minutes")
    command = ["cargo", "build", "--locked", "--workspace", "--bins"]
    command += ["--release"] if settings.profile == "release" else []
    if subprocess.run(command, cwd=ROOT).returncode:
        raise Stop("cargo build failed; its messages are above")


def up(settings: Settings, only: str | None) -> None:
    wanted = selected(only)
    own = [name for name in wanted if name not in parts.STORES]
    stores = any(name in parts.STORES for name in wanted)
    running = supervise.alive(settings)
    need = install.Need(build=bool(own), stores=stores)
    install.check_tools(need)
    if not running:
        supervise.end_leftovers(settings)
        ports.check(settings, parts.ALL)
    install.announce(need)
    install.install(need)
    if own:
        build(settings)
    settings.data.mkdir(parents=True, exist_ok=True)
    privilege.check(settings)
    if running:
        settings.record()
    else:
        ports.settle(settings)
    supervise.launch(settings, programs.define(settings, wanted))
    deadline = time.monotonic() + settings.deadline_s
    ground = [name for name in wanted if name not in parts.SERVICES]
    say(f"start     {', '.join(ground)}")
    supervise.start(settings, ground)
    ready.wait_for(settings, ground, deadline)
    services = [name for name in wanted if name in parts.SERVICES]
    if services:
        before = ready.next_offsets(settings) if stores else {}
        say(f"start     {', '.join(services)}")
        supervise.start(settings, services)
        ready.wait_for(settings, services, deadline)
        if wanted == parts.ALL:
            ready.wait_for_records(settings, before, deadline)
    summary(settings, wanted)


def install_only(words: str) -> None:
    """Brings what the tests need, and starts nothing."""
    wanted = set(words.split(","))
    if unknown := wanted - {"build", "stores", "clients"}:
        raise Stop(f"cannot install {', '.join(unknown)}: build, stores and clients exist")
    need = install.Need(**{word: True for word in wanted})
    install.check_tools(need)
    install.announce(need)
    install.install(need)


def summary(settings: Settings, wanted: list[str]) -> None:
    environment = settings.environment()
    lines = ["", f"The stack runs under {settings.data}"]
    if set(parts.BROKERS) & set(wanted):
        lines.append(f"  Kafka        {environment['KAFKA_BOOTSTRAP_SERVERS']}")
    if set(parts.STORES) & set(wanted):
        lines.append(f"  PostgreSQL   {environment['DATABASE_URL']}")
        lines.append(f"  OpenSearch   {environment['OPENSEARCH_URL']} (no login)")
        lines.append(f"  S3           {environment['S3_ENDPOINT_URL']}  bucket {settings.bucket}")
        lines.append(f"               access key {settings.s3_key}  secret key {settings.s3_secret}")
        lines.append(f"  Prometheus   {environment['PROMETHEUS_URL']}")
    if wanted == parts.ALL:
        lines += ["", "Worth pasting, more than once:", ""]
        lines.append(f'psql "{environment["DATABASE_URL"]}" -c "select (select count(*) from web_logs) as web_logs, (select count(*) from orders) as orders"')
        lines.append(f"curl -s '{environment['OPENSEARCH_URL']}/web-logs-*/_search?q=method:GET&sort=timestamp:desc&size=1&track_total_hits=true&pretty'")
        lines.append(
            f"curl -s --aws-sigv4 aws:amz:{settings.region}:s3 --user {settings.s3_key}:{settings.s3_secret}"
            f" -H '{ready.UNSIGNED}'"
            f" '{environment['S3_ENDPOINT_URL']}/{settings.bucket}?list-type=2&prefix=topics%2Fbk-orders%2F'"
        )
    print("\n".join(lines), flush=True)


def down(settings: Settings, only: str | None) -> None:
    if not only:
        supervise.shut_down(settings)
        say("stopped; the data stays (make clean-data removes it)")
        return
    names = selected(only)
    supervise.stop(settings, names)
    known = supervise.infos(settings)
    if not any(info["pid"] for info in known.values()):
        supervise.shut_down(settings)
    say(f"stopped {', '.join(names)}")


def status(settings: Settings, as_json: bool) -> None:
    known = supervise.infos(settings)
    rows = []
    for name in parts.ALL:
        info = known.get(name, {})
        rows.append(
            {
                "name": name,
                "state": STATES.get(info.get("statename"), "stopped"),
                "pid": info.get("pid") or None,
                "container": None,
                "address": settings.address(name),
            }
        )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['name']:<18} {row['state']:<11} {row['pid'] or '-':<8} {row['address']}")


def environment(settings: Settings) -> None:
    for key, value in settings.environment().items():
        print(f"{key}={value}")


def logs(settings: Settings, name: str | None) -> None:
    names = selected(name)
    files = [str(settings.log(part)) for part in names if settings.log(part).exists()]
    if not files:
        raise Stop(f"no logs under {settings.data}/logs yet")
    os.execvp("tail", ["tail", "-n", "50", "-F", *files] if sys.stdout.isatty() else ["tail", "-n", "200", *files])


def run_millrace(settings: Settings, arguments: list[str]) -> None:
    """Runs the command line against this stack, with the addresses of `make env`."""
    build(settings)
    os.environ.update(settings.environment())
    binary = settings.bin_dir() / "millrace"
    os.execv(binary, [str(binary), *arguments])


def clean_data(settings: Settings) -> None:
    if supervise.alive(settings) or supervise.leftovers(settings):
        raise Stop("The stack runs: `make down` first.")
    if settings.data.exists() and not settings.state_file.exists():
        raise Stop(f"{settings.data} holds no stack of ours (no stack.json): not removed.")
    shutil.rmtree(settings.data, ignore_errors=True)
    say(f"removed {settings.data}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down"):
        commands.add_parser(name).add_argument("--only", help="stores, brokers, services or names, comma-separated")
    commands.add_parser("status").add_argument("--format", default="", help="json, or a table")
    commands.add_parser("env")
    commands.add_parser("install").add_argument("what", help="build, stores, clients, comma-separated")
    commands.add_parser("logs").add_argument("part", nargs="?")
    commands.add_parser("clean-data")
    commands.add_parser("millrace").add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    settings = Settings()
    if settings.stack != "native":
        raise Stop(f"STACK={settings.stack}: only the native stack exists so far; leave STACK unset or set STACK=native.")
    match chosen.command:
        case "up":
            up(settings, chosen.only)
        case "down":
            down(settings, chosen.only)
        case "status":
            status(settings, chosen.format == "json")
        case "install":
            install_only(chosen.what)
        case "env":
            environment(settings)
        case "logs":
            logs(settings, chosen.part)
        case "clean-data":
            clean_data(settings)
        case "millrace":
            run_millrace(settings, chosen.arguments)


if __name__ == "__main__":
    try:
        main()
    except Stop as reason:
        sys.exit(f"\nstack: {reason}")
    except KeyboardInterrupt:
        sys.exit(130)
