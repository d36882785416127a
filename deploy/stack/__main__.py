"""The commands of a stack, native or docker: up, down, status, env, logs, clean-data, install."""

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from contextlib import contextmanager, suppress

from . import backend, install, lock, parts, ready
from .settings import Settings, Stop, say


def selected(settings: Settings, only: str | None) -> list[str]:
    """The parts of one group, of one name, or all of them."""
    if not only:
        return settings.all
    names = [name for word in only.split(",") for name in settings.groups.get(word, [word])]
    if unknown := set(names) - set(settings.all):
        raise Stop(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(settings.all)}")
    return names


def up(settings: Settings, only: str | None) -> None:
    backend.choose(settings)
    wanted = selected(settings, only)
    backend.of(settings).prepare(settings, wanted)
    deadline = time.monotonic() + settings.deadline_s
    try:
        start(settings, wanted, deadline)
    except Stop as reason:
        raise Stop(f"{reason}\nWhat has been started runs on: `make status` shows it, `make down` stops it.") from None
    summary(settings, wanted)


def start(settings: Settings, wanted: list[str], deadline: float) -> None:
    """The stores and brokers first, and the services on them; at last the records must arrive."""
    services = [name for name in wanted if name in parts.SERVICES]
    ground = [name for name in wanted if name not in services]
    before: dict = {}
    for names in (ground, services):
        if not names:
            continue
        if names == services and wanted == settings.all:
            before = ready.next_offsets(settings)
        say(f"start     {', '.join(names)}")
        backend.of(settings).start(settings, names)
        ready.wait_for(settings, names, deadline)
    if wanted == settings.all:
        ready.wait_for_records(settings, before, deadline)


def summary(settings: Settings, wanted: list[str]) -> None:
    environment = settings.environment()
    lines = ["", f"The stack runs under {settings.data}"]
    if set(parts.BROKERS) & set(wanted):
        lines.append(f"  Kafka        {environment['KAFKA_BOOTSTRAP_SERVERS']}")
    if set(settings.stores) & set(wanted):
        lines.append(f"  PostgreSQL   {environment['DATABASE_URL']}")
        lines.append(f"  OpenSearch   {environment['OPENSEARCH_URL']} (no login)")
        lines.append(f"  S3           {environment['S3_ENDPOINT_URL']}  bucket {settings.bucket}")
        lines.append(f"               access key {settings.s3_key}  secret key {settings.s3_secret}")
        lines.append(f"  Prometheus   {environment['PROMETHEUS_URL']}  (alerts: /alerts)")
        lines.append(f"  Dashboards   {environment.get('GRAFANA_URL', 'grafana/dashboards/ (no Grafana is installed here; import them into yours)')}")
    if wanted == settings.all:
        lines += ["", "Worth pasting, more than once:", ""]
        lines.append(f'psql "{environment["DATABASE_URL"]}" -c "select (select count(*) from web_logs) as web_logs, (select count(*) from orders) as orders"')
        lines.append(f"curl -s '{environment['OPENSEARCH_URL']}/web-logs-*/_search?q=method:GET&sort=timestamp:desc&size=1&track_total_hits=true&pretty'")
        user = shlex.quote(f"{settings.s3_key}:{settings.s3_secret}")
        listing = f"{environment['S3_ENDPOINT_URL']}/{settings.bucket}?list-type=2&prefix=topics%2Fbk-orders%2Fpartition%3D0%2F"
        lines.append(f"curl -s --aws-sigv4 aws:amz:{settings.region}:s3 --user {user} -H '{ready.UNSIGNED}' '{listing}'")
    show(lines)


def show(lines: list[str]) -> None:
    """What was asked for. Whoever reads it through a pipe may have had enough: `make status | head -3`."""
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def down(settings: Settings, only: str | None) -> None:
    if not only:
        backend.of(settings).shut_down(settings)
        say("stopped; the data stays (make clean-data removes it)")
        return
    names = selected(settings, only)
    backend.of(settings).stop(settings, names)
    say(f"stopped {', '.join(names)}")


def status(settings: Settings, as_json: bool) -> None:
    rows = []
    for name, part in backend.of(settings).states(settings).items():
        row = {"name": name, "state": part.state, "pid": part.pid, "container": part.container}
        rows.append({**row, "address": settings.address(name)})
    if as_json:
        show([json.dumps(rows, indent=2)])
        return
    show([f"{row['name']:<18} {row['state']:<13} {row['container'] or row['pid'] or '-':<28} {row['address']}" for row in rows])


def environment(settings: Settings) -> None:
    show([f"{key}={shlex.quote(value)}" for key, value in settings.environment().items()])


def run_millrace(settings: Settings, arguments: list[str]) -> None:
    """Runs the command line against this stack."""
    if not backend.of(settings).alive(settings):
        raise Stop("The stack does not run: `make up` first.")
    backend.of(settings).millrace(settings, arguments)


def clean_data(settings: Settings) -> None:
    if backend.of(settings).runs(settings):
        raise Stop("The stack runs: `make down` first.")
    backend.of(settings).remove_data(settings)
    try:
        shutil.rmtree(settings.data)
    except OSError as error:
        raise Stop(f"{settings.data} could not be removed: {error}") from None
    say(f"removed {settings.data}")


def install_only(words: str) -> None:
    """Brings what the tests need, and starts nothing."""
    wanted = set(words.split(","))
    if unknown := wanted - set(install.WORDS):
        raise Stop(f"cannot install {', '.join(unknown)}: there are {', '.join(install.WORDS)}")
    need = install.Need(**{word: True for word in wanted})
    install.check_tools(need)
    install.install(need)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (("up", "start parts, and wait until they work"), ("down", "stop parts; the data stays")):
        chosen = commands.add_parser(name, help=text)
        chosen.add_argument("--only", help="stores, brokers, services or names, comma-separated; otherwise all")
    chosen = commands.add_parser("status", help="every part: state, pid or container, address")
    chosen.add_argument("--format", default="", choices=["", "json"], help="json, or a table where it is left out")
    commands.add_parser("env", help="addresses and credentials as KEY=value lines")
    chosen = commands.add_parser("logs", help="the last lines of the logs, and what follows on a terminal")
    chosen.add_argument("part", nargs="?", help="one part; otherwise all")
    commands.add_parser("clean-data", help="remove the data of a stopped stack")
    chosen = commands.add_parser("millrace", help="run the command line against this stack")
    chosen.add_argument("arguments", nargs=argparse.REMAINDER, help="see `millrace --help`")
    chosen = commands.add_parser("install", help="only bring what is needed to build, and for the tests")
    chosen.add_argument("what", help=f"{', '.join(install.WORDS)}, comma-separated")
    # What follows `millrace` is its own, `--help` included.
    own = sys.argv[1:2] == ["millrace"]
    chosen = parser.parse_args(sys.argv[1:2] if own else None)
    if own:
        chosen.arguments = sys.argv[2:]
    run(chosen)


def run(chosen: argparse.Namespace) -> None:
    settings = Settings()
    if chosen.command == "install":
        install_only(chosen.what)
        return
    if chosen.command == "up":
        with alone(settings) as settings:
            up(settings, chosen.only)
        return
    backend.find(settings)
    match chosen.command:
        case "down":
            if not settings.data.exists() and not backend.of(settings).runs(settings):
                say("nothing to stop: this stack has never run")
                return
            with alone(settings) as settings:
                backend.find(settings)
                down(settings, chosen.only)
        case "clean-data":
            if not settings.data.exists():
                say(f"nothing to remove: {settings.data} does not exist")
                return
            with alone(settings) as settings:
                backend.find(settings)
                clean_data(settings)
        case "status":
            status(settings, chosen.format == "json")
        case "env":
            environment(settings)
        case "logs":
            backend.of(settings).logs(settings, selected(settings, chosen.part))
        case "millrace":
            run_millrace(settings, chosen.arguments)


@contextmanager
def alone(settings: Settings):
    """Settings for a command that changes the stack, read when no other such command is at work on it."""
    settings.check_ours()
    with lock.held(settings.lock_file, f"the stack in {settings.data}"):
        try:
            yield Settings()
        finally:
            if not settings.state_file.exists() and settings.data.exists():
                settings.lock_file.unlink()
                with suppress(OSError):  # something else is in it
                    settings.data.rmdir()


if __name__ == "__main__":
    try:
        main()
    except Stop as reason:
        sys.exit(f"\nstack: {reason}")
    except ConnectionError as reason:
        sys.exit(f"\nstack: the supervisor has gone away ({reason}): `make status` shows what runs")
    except KeyboardInterrupt:
        sys.exit("\nstack: interrupted. `make status` shows what runs, `make down` stops it.")
