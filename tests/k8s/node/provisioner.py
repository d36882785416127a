"""Volumes for the claims of the throwaway node's storage class: a directory each, as volumes of the type `local`.

Unlike hostPath, `local` volumes get the pod's fsGroup, as those of a real provisioner do: a chart that forgets it fails here.
"""

import http.client
import json
import shutil
import ssl
import sys
import time
import urllib.parse
from pathlib import Path

from .layout import API_PORT, NODE, STORAGE_CLASS, Layout, recorded

PROVISIONER = "millrace.test/local"
PAUSE_S = 0.5


class Api:
    """The API server, by one connection that is made again when it breaks."""

    def __init__(self, layout: Layout) -> None:
        directory = layout.certificates
        self.context = ssl.create_default_context(cafile=directory / "ca.crt")
        self.context.load_cert_chain(directory / "admin.crt", directory / "admin.key")
        self.connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, timeout=30, context=self.context)

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        try:
            headers = {"Content-Type": "application/json"}
            self.connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        if answer.status >= 300 and answer.status not in (404, 409):
            raise OSError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


def volume(name: str, claim: dict, path: Path) -> dict:
    meta, spec = claim["metadata"], claim["spec"]
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **{key: meta[key] for key in ("namespace", "name", "uid")}},
        },
    }


def provide(api: Api, directory: Path) -> None:
    """One round: a volume for each claim that waits, and the end of each volume whose claim is gone."""
    for claim in api.call("GET", "persistentvolumeclaims")["items"]:
        if claim["spec"].get("storageClassName") != STORAGE_CLASS or claim["spec"].get("volumeName"):
            continue
        name = f"pvc-{claim['metadata']['uid']}"
        path = directory / name
        path.mkdir(mode=0o755, exist_ok=True)
        api.call("POST", "persistentvolumes", volume(name, claim, path))
    for found in api.call("GET", "persistentvolumes")["items"]:
        name = found["metadata"]["name"]
        if found["spec"].get("storageClassName") == STORAGE_CLASS and found["status"].get("phase") == "Released":
            shutil.rmtree(directory / name, ignore_errors=True)
            api.call("DELETE", f"persistentvolumes/{urllib.parse.quote(name)}")


def main() -> None:
    layout = recorded(Path(sys.argv[1]))
    api = Api(layout)
    while True:
        try:
            provide(api, layout.volumes)
        except (OSError, ValueError, KeyError, http.client.HTTPException) as reason:
            print(f"tried again: {reason!r}", flush=True)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
