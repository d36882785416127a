"""The suite `images`: builds the programs, runs the tests, and closes with the counts."""

import os
import subprocess
import sys
import time
import unittest

from . import engine, test_drop_in


def main() -> None:
    began = time.monotonic()
    if "IMAGES_TEST_BINARIES" not in os.environ:
        subprocess.run(["cargo", "build", "--locked", "--workspace", "--bins"], cwd=engine.ROOT, check=True)
    chosen = sys.argv[1:]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(chosen, test_drop_in) if chosen else loader.loadTestsFromModule(test_drop_in)
    result = unittest.TextTestRunner(verbosity=2, failfast=False).run(suite)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    print(f"images: {passed} passed, {failed} failed ({time.monotonic() - began:.0f} s)")
    sys.exit(failed > 0 or passed == 0)


if __name__ == "__main__":
    main()
