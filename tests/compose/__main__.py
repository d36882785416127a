"""The mesh in containers, for real: docker-compose.yaml on an engine, with brokers killed, paused and cut off.

Run by `make test-compose`, which brings what it needs. Closes with the counts.
"""

import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
sys.dont_write_bytecode = True

import chapters  # noqa: E402
import engine  # noqa: E402
import images  # noqa: E402
from mesh import Mesh  # noqa: E402
from stack.settings import CACHE  # noqa: E402


def main() -> None:
    began = time.monotonic()
    wanted = sys.argv[1:]
    with engine.running(CACHE):
        named = images.build()
        mesh = Mesh(named)
        try:
            passed, failed = play(mesh, wanted)
        finally:
            mesh.remove()
    print(f"\nnot run here: {images.NOT_RUN}")
    print(f"compose: {passed} passed, {failed} failed ({time.monotonic() - began:.0f} s)" + (" FAILED" if failed else ""))
    sys.exit(failed > 0)


def play(mesh: Mesh, wanted: list[str]) -> tuple[int, int]:
    """Each chapter goes on where the one before it ended; after one that failed the rest means nothing."""
    passed = 0
    for chapter in chapters.ALL:
        name = chapter.__name__
        if wanted and name not in wanted and name not in chapters.SETUP:
            continue
        started = time.monotonic()
        try:
            chapter(mesh)
        except Exception:  # noqa: BLE001: whatever it was, it is told, and what was started is removed
            traceback.print_exc()
            print(f"FAILED {name} ({time.monotonic() - started:.0f} s)", flush=True)
            return passed, 1
        print(f"ok     {name} ({time.monotonic() - started:.0f} s)", flush=True)
        passed += 1
    return passed, 0


main()
