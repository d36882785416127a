"""One command at a time changes a stack, and one at a time brings things into .cache/."""

import fcntl
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from .settings import say


@contextmanager
def held(path: Path, subject: str):
    """Holds the lock file `path`; says who holds it while it waits. It ends with its process, however that ends."""
    file = acquire(path, subject)
    file.truncate(0)
    file.write(f"`{' '.join(sys.argv[1:])}` (pid {os.getpid()})")
    file.flush()
    try:
        yield
    finally:
        file.close()


def acquire(path: Path, subject: str):
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"wait      for {file.read() or 'another command'}, which is at work on {subject}")
            fcntl.flock(file, fcntl.LOCK_EX)
        # `make clean-data` may have removed the file meanwhile: a lock on it would exclude nobody.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()
