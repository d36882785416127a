"""`scripts/k8s test`, and the throwaway node by itself: `build`, `up`, `down`."""

import argparse
import sys

from stack.settings import Stop

from . import images, scenario
from .node import build, lifecycle


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/k8s", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build Kubernetes, once")
    commands.add_parser("up", help="start the throwaway node, and print its KUBECONFIG")
    commands.add_parser("down", help="end the throwaway node, and remove all of it")
    chosen = commands.add_parser("load-image", help="pack the test's load for a cluster of your own, on top of REGISTRY/millrace/cli")
    chosen.add_argument("registry")
    chosen = commands.add_parser("test", help="play the scenario; the exit status says whether all of it held")
    chosen.add_argument("--keep", action="store_true", help="leave the node and the release for a look, whatever comes")
    chosen.add_argument("--only", help="chapters, comma-separated; the others are left out")
    arguments = parser.parse_args()
    match arguments.command:
        case "build":
            build.ensure()
        case "up":
            print(lifecycle.up().kubeconfig)
        case "down":
            lifecycle.down()
        case "load-image":
            print(images.make_load(arguments.registry))
        case "test":
            return scenario.play(arguments.keep, arguments.only)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as reason:
        sys.exit(f"\nk8s: {reason}")
    except KeyboardInterrupt:
        sys.exit("\nk8s: interrupted. `scripts/k8s down` ends what still runs.")
