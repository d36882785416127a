"""What is known of a part: before it runs, and while it does."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Program:
    """One supervised process. `stop_s` is how long it may take to end before it is killed."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_s: int = 30


@dataclass(frozen=True)
class Part:
    """What a part is doing. `state` is running, starting, restarting, unhealthy, paused, stopping, stopped or failed."""

    state: str
    pid: int | None = None
    container: str | None = None


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
