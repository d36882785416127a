"""The chapters of the scenario, in their order."""

from . import elsewhere, install, pods, rolling, scale, uninstall, upgrade, watch
from .stage import Stage  # noqa: F401

ALL = {
    "install": install.play,
    "watch": watch.play,
    "upgrade": upgrade.play,
    "elsewhere": elsewhere.play,
    "pods": pods.play,
    "rolling": rolling.play,
    "scale": scale.play,
    "uninstall": uninstall.play,
}
