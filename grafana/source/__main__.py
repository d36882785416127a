"""Writes every dashboard (`make dashboards`), or says which file is not what the source makes of it (--check)."""

import json
import sys
from pathlib import Path

from .brokers import BROKERS
from .business import BUSINESS
from .groups import GROUPS
from .mesh import MESH
from .services import ARCHIVER, ETL
from .topics import TOPICS

DIRECTORY = Path(__file__).resolve().parents[1] / "dashboards"
ALL = [MESH, BROKERS, TOPICS, GROUPS, ETL, ARCHIVER, BUSINESS]


def files() -> dict[Path, str]:
    """Path and content of every dashboard."""
    return {DIRECTORY / f"{board.uid.removeprefix('millrace-')}.json": json.dumps(board.json(), indent=1) + "\n" for board in ALL}


def main() -> None:
    wanted = files()
    if "--check" in sys.argv:
        there = {path: path.read_text() for path in DIRECTORY.glob("*.json")}
        if stale := [path.name for path in sorted({*there, *wanted}) if there.get(path) != wanted.get(path)]:
            sys.exit(f"not what grafana/source makes of them: {', '.join(stale)}; run `make dashboards`")
        return
    for path, text in wanted.items():
        path.write_text(text)
        print(path.relative_to(DIRECTORY.parents[1]))


if __name__ == "__main__":
    main()
