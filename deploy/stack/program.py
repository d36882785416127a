"""What is known of a part before it runs."""

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


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
