"""What has been checked: one line for each check as it ends, and the counts at the end."""

import time
import traceback
from contextlib import contextmanager

from stack.settings import Stop, say


class Failure(Exception):
    """Something is not as it must be."""


def expect(condition, message: str) -> None:
    if not condition:
        raise Failure(message)


class Report:
    def __init__(self, on_failure) -> None:
        self.began = time.monotonic()
        self.passed, self.failed = 0, 0
        self.figures: list[str] = []
        self.on_failure = on_failure

    @contextmanager
    def check(self, name: str, needed: bool = False):
        """One check. A failure is told and counted; where the checks after it need it, it ends the chapter."""
        began = time.monotonic()
        say(f"...       {name}")
        try:
            yield
        except Exception as reason:
            self.failed += 1
            say(f"FAILED    {name} ({time.monotonic() - began:.0f} s): {reason}")
            if not isinstance(reason, (Failure, Stop)):
                traceback.print_exc()
            self.on_failure(name)
            if needed:
                raise
            return
        self.passed += 1
        say(f"ok        {name} ({time.monotonic() - began:.0f} s)")

    def figure(self, text: str) -> None:
        """Something that was measured, for the end."""
        self.figures.append(text)
        say(f"          {text}")

    def close(self) -> bool:
        print("\n" + "\n".join(f"k8s: {line}" for line in self.figures))
        print(f"k8s: {self.passed} passed, {self.failed} failed ({time.monotonic() - self.began:.0f} s)", flush=True)
        return self.failed == 0 and self.passed > 0
