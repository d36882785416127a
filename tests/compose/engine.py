"""A Docker engine: the one that answers, or one of the test's own with all its data in one directory."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


def docker(*words: str, check: bool = True, **options) -> str:
    """What a docker command prints."""
    done = subprocess.run(["docker", *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if check and done.returncode:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def answers() -> bool:
    return subprocess.run(["docker", "version"], capture_output=True).returncode == 0


@contextmanager
def running(cache: Path):
    """Sees to it that an engine answers; one that had to be started is stopped afterwards, its images are kept."""
    if answers():
        yield
        return
    if os.geteuid():
        raise SystemExit("test-compose: no Docker engine answers, and only root can start one")
    # A socket's path is short, so it is not below the data.
    run = Path(tempfile.mkdtemp(prefix="millrace-engine-"))
    socket = f"unix://{run}/docker.sock"
    command = ["dockerd", "--host", socket, "--data-root", (cache / "engine").resolve(), "--exec-root", run / "exec"]
    command += ["--pidfile", run / "pid", "--log-level", "warn"]
    log = (run / "log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    os.environ["DOCKER_HOST"] = socket
    try:
        deadline = time.monotonic() + 120
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"test-compose: dockerd does not start:\n{(run / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        print("== a Docker engine of the test's own", flush=True)
        yield
    finally:
        process.terminate()
        process.wait(120)
        log.close()
        shutil.rmtree(run, ignore_errors=True)
