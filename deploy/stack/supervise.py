"""One supervisord per stack: starts, watches, restarts and stops the parts."""

import http.client
import os
import signal
import socket
import subprocess
import time
import xmlrpc.client
from pathlib import Path

from . import parts, tools
from .programs import Program
from .settings import Settings, Stop

PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over supervisord's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = str(path)

    def make_connection(self, host):
        return UnixConnection(self.path)


def rpc(settings: Settings):
    return xmlrpc.client.ServerProxy("http://localhost", UnixTransport(settings.socket)).supervisor


def alive(settings: Settings) -> bool:
    try:
        rpc(settings).getState()
    except PermissionError:
        raise Stop(f"The stack in {settings.data} belongs to another user: run this as that user, or set DATA_DIR.") from None
    except (OSError, http.client.HTTPException):
        return False
    return True


def infos(settings: Settings) -> dict[str, dict]:
    """supervisord's view of each part it knows; empty where no supervisord runs."""
    if not alive(settings):
        return {}
    return {info["name"]: info for info in rpc(settings).getAllProcessInfo()}


def quoted(value: str) -> str:
    return value.replace("%", "%%")


def section(settings: Settings, program: Program) -> str:
    environment = ",".join(f'{key}="{quoted(value)}"' for key, value in program.environment.items())
    command = " ".join(f"'{word}'" if " " in word else word for word in program.command)
    return f"""
[program:{program.name}]
command={quoted(command)}
environment={environment}
directory={settings.data}
autostart=false
autorestart=true
startsecs=1
startretries=1000
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_s}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={settings.log(program.name)}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def configure(settings: Settings, programs: list[Program]) -> Path:
    for directory in ("run", "logs", "config"):
        (settings.data / directory).mkdir(parents=True, exist_ok=True)
    user = "user=root\n" if os.geteuid() == 0 else ""
    text = f"""[supervisord]
{user}logfile={settings.data}/logs/supervisor.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={settings.data}/run/supervisor.pid
childlogdir={settings.data}/logs
minfds=4096

[unix_http_server]
file={settings.socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    text += "".join(section(settings, program) for program in programs)
    config = settings.data / "run" / "supervisor.conf"
    config.write_text(text)
    config.chmod(0o600)  # it holds the demo's passwords
    return config


def launch(settings: Settings, programs: list[Program]) -> None:
    """Starts supervisord with no part running yet, or gives the running one new definitions."""
    config = configure(settings, programs)
    if alive(settings):
        reload_definitions(settings)
        return
    key, value = settings.marker.split("=", 1)
    # Nothing else of the caller's environment: a KAFKA_* or RATE of theirs would configure our parts.
    environment = {k: os.environ[k] for k in PASSED_ON if k in os.environ}
    done = subprocess.run(
        [tools.VENV / "bin/python", "-m", "supervisor.supervisord", "-c", config],
        env={**environment, key: value},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Stop(f"supervisord did not start:\n{done.stdout}{done.stderr}")
    wait_until(lambda: alive(settings), 20, "supervisord does not answer on its socket")


def reload_definitions(settings: Settings) -> None:
    """Takes over new and changed definitions; parts whose definition is the same run on."""
    supervisor = rpc(settings)
    ((added, changed, _removed),) = supervisor.reloadConfig()
    stop(settings, changed)
    for name in changed:
        supervisor.removeProcessGroup(name)
    for name in [*added, *changed]:
        supervisor.addProcessGroup(name)


def start(settings: Settings, names: list[str]) -> None:
    known = infos(settings)
    for name in names:
        if known[name]["statename"] not in ("RUNNING", "STARTING", "BACKOFF"):
            rpc(settings).startProcess(name, False)


def stop(settings: Settings, names: list[str]) -> None:
    """Stops the parts together and waits until the last of them has ended."""
    known = infos(settings)
    going = [n for n in names if n in known and known[n]["statename"] in ("RUNNING", "STARTING", "BACKOFF")]
    for name in going:
        rpc(settings).stopProcess(name, False)

    def stopped() -> bool:
        now = infos(settings)
        return all(now[name]["statename"] in ("STOPPED", "EXITED", "FATAL") for name in going)

    if going:
        wait_until(stopped, 90, f"{', '.join(going)} did not stop")


def shut_down(settings: Settings) -> None:
    """Services first, then the brokers, then the stores; at last supervisord and anything left over."""
    if alive(settings):
        for group in (parts.SERVICES, parts.BROKERS, settings.stores):
            stop(settings, group)
        rpc(settings).shutdown()
        wait_until(lambda: not alive(settings), 30, "supervisord did not end")
    end_leftovers(settings)


def end_leftovers(settings: Settings) -> None:
    """Ends processes of this stack that outlived their supervisor (which somebody killed), in the order of a stop."""
    for group in (parts.SERVICES, parts.BROKERS, settings.stores):
        end(settings, lambda name: name in group)
    end(settings, lambda name: True)


def end(settings: Settings, chosen) -> None:
    def pids() -> list[int]:
        return [pid for pid, name in leftovers(settings).items() if chosen(name)]

    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 20
        while pids() and time.monotonic() < deadline:
            time.sleep(0.2)


def leftovers(settings: Settings) -> dict[int, str]:
    """Every process of this stack, and the part it belongs to (supervisord itself to none)."""
    marker = settings.marker.encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker in environment:
            names = [entry.split(b"=", 1)[1] for entry in environment if entry.startswith(b"SUPERVISOR_PROCESS_NAME=")]
            found[int(process.name)] = names[0].decode() if names else ""
    return found


def unsupervised(settings: Settings) -> dict[str, int]:
    """The first process of each part that has outlived its supervisor."""
    found = sorted(leftovers(settings).items(), reverse=True)
    return {name: pid for pid, name in found if name}


def wait_until(condition, seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Stop(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.2)
