"""The rules that every service of docker-compose.yaml keeps, read off the file as Compose itself understands it."""

import re

from stack import settings

PINNED = re.compile(r"[^:\s]+(/[^:\s]+)*:[^:\s]*\d[^:\s]*")
# Programs that run once and end, and images that hold no program that could ask.
NO_RESTART = {"millrace"}
NO_HEALTH_CHECK = {"millrace": "runs once", "otel-collector": "its image holds one program, which has no health check"}
# Why each of these may write into its own image's file system.
WRITABLE = {"opensearch": "it writes its keystore and its logs beside its programs"}


def check(services: dict[str, dict]) -> None:
    text = (settings.ROOT / "docker-compose.yaml").read_text()
    pinned = settings.dotenv(settings.ROOT / ".env")
    images = re.findall(r"^\s+image: (.+)$", text, re.M)
    for image in images:
        found = re.match(r"\$\{([A-Z0-9_]+_IMAGE):\?", image)
        assert found, f"image: {image}: not from .env, or no word of what to do where it is missing"
        assert PINNED.fullmatch(pinned[found[1]]), f"{found[1]}={pinned[found[1]]}: no version"
    problems = [f"{name}: {problem}" for name, service in services.items() for problem in problems_of(name, service)]
    assert not problems, "\n".join(problems)


def problems_of(name: str, service: dict) -> list[str]:
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    wrong = {
        "no limit of memory, processors and processes": not {"memory", "cpus", "pids"} <= limits.keys(),
        "no restart policy": name not in NO_RESTART and service.get("restart") != "unless-stopped",
        "no health check": name not in NO_HEALTH_CHECK and "test" not in service.get("healthcheck", {}),
        "a writable root file system": name not in WRITABLE and not service.get("read_only"),
        "capabilities": service.get("cap_drop") != ["ALL"] or "cap_add" in service,
        "may gain privileges": "no-new-privileges:true" not in service.get("security_opt", []),
        "a port that others reach": any(port.get("host_ip") != "127.0.0.1" for port in service.get("ports", [])),
        "another network": list(service.get("networks", {})) != ["mesh"],
        "no role": "org.millrace.role" not in service.get("labels", {}),
        "logs without end": "max-size" not in service.get("logging", {}).get("options", {}),
    }
    return [problem for problem, found in wrong.items() if found]
