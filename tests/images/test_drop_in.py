"""The images of this checkout in place of apache/kafka's, and what they promise about themselves."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from . import engine
from .engine import NAMES, ROOT, container, docker, healthy, image, inspect, must, run, tool, until

BOOT = "--bootstrap-server localhost:9092"
COMPOSE_FILE = Path(__file__).parent / "apache-kafka.compose.yaml"


def setUpModule() -> None:
    # Both builders must make every image; the last one's are used.
    for buildkit in ("0", "1"):
        environment = {"DOCKER_BUILDKIT": buildkit}
        if buildkit == "1" and run("docker", "build", "-f", "-", ".", stdin="FROM scratch\n", environment=environment).returncode:
            # A client without BuildKit's plugin; Debian's own has it inside.
            environment["PATH"] = "/usr/bin:/usr/sbin:/bin:/sbin"
        must(ROOT / "scripts/images", "--from-binaries", engine.binaries(), "--registry", engine.REGISTRY, environment=environment)


def tearDownModule() -> None:
    for name in NAMES:
        run("docker", "image", "rm", image(name))


class Promises(unittest.TestCase):
    def test_every_image_runs_as_a_number_and_is_described(self) -> None:
        for name in NAMES:
            config = json.loads(inspect(image(name), "{{json .Config}}"))
            self.assertEqual(config["User"], "1000:1000", name)
            self.assertEqual(config["StopSignal"], "SIGTERM", name)
            labels = config["Labels"]
            for label in ("title", "description", "version", "revision", "licenses"):
                self.assertTrue(labels.get(f"org.opencontainers.image.{label}"), f"{name}: {label}")
            check = config["Healthcheck"]["Test"]
            self.assertEqual(check, ["NONE"] if name == "cli" else [*check[:2], "healthcheck"], name)

    def test_programs_are_stripped(self) -> None:
        above = int(inspect(image("broker"), "{{.Size}}")) - int(inspect("debian:bookworm-slim", "{{.Size}}"))
        self.assertLess(above, 90_000_000)

    def test_a_health_check_says_why_not(self) -> None:
        for name in ("etl", "archiver", "weblog-generator", "bakery-producer"):
            done = run("docker", "run", "--rm", image(name), "healthcheck")
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("Connection refused", done.stderr, name)


    def test_an_extra_authority_is_trusted_beside_the_usual_ones(self) -> None:
        with engine.directory() as directory:
            (directory / "own.pem").write_text("-----BEGIN CERTIFICATE-----\nour own authority\n-----END CERTIFICATE-----\n")
            registry = f"{engine.PREFIX}-ca/"
            options = ["--registry", registry, "--ca-bundle", directory / "own.pem", "cli"]
            must(ROOT / "scripts/images", "--from-binaries", engine.binaries(), *options)
            tag = image("cli").replace(engine.REGISTRY, registry)
            try:
                counted = ["-c", "BEGIN CERT", "/etc/ssl/certs/ca-certificates.crt"]
                usual = docker("run", "--rm", "--entrypoint", "grep", image("cli"), *counted)
                self.assertEqual(int(docker("run", "--rm", "--entrypoint", "grep", tag, *counted)), int(usual) + 1)
            finally:
                run("docker", "image", "rm", tag)


class Compiled(unittest.TestCase):
    def test_the_machines_own_toolchain_makes_a_builder(self) -> None:
        tag = f"{engine.PREFIX}-builder"
        must(ROOT / "deploy/docker/local-builder", tag)
        try:
            program = "fn main() { println!(\"compiled\"); }"
            script = "cat >/tmp/a.rs && rustc -o /tmp/a /tmp/a.rs && /tmp/a && c++ --version && perl -v && make -v && cargo -V"
            self.assertIn("compiled", docker("run", "--rm", "-i", tag, "sh", "-ec", script, stdin=program))
        finally:
            run("docker", "image", "rm", tag)

    @unittest.skipUnless("COMPILE" in os.environ, "COMPILE=1 compiles everything in a container, which takes a quarter of an hour")
    def test_every_image_is_compiled_from_the_sources(self) -> None:
        registry = f"{engine.PREFIX}-compiled/"
        done = subprocess.run([ROOT / "scripts/images", "--registry", registry], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0)
        above = {line.split()[0].split("/")[-1].split(":")[0]: float(line.split()[-2]) for line in done.stdout.splitlines()[-6:]}
        self.addCleanup(run, "docker", "image", "rm", *(image(name).replace(engine.REGISTRY, registry) for name in NAMES))
        self.assertEqual(set(above), set(NAMES))
        self.assertLess(above["broker"], 80)


class Alone(unittest.TestCase):
    def test_no_configuration_at_all_is_a_single_node_on_a_read_only_root(self) -> None:
        with container("alone", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL") as node:
            until("healthy", lambda: healthy(node))
            self.assertEqual(docker("exec", node, "id", "-u").strip(), "1000")
            self.assertIn("Created topic first.", tool("topics", f"{BOOT} --create --topic first", node))
            tool("console-producer", f"{BOOT} --topic first", node, stdin="one\ntwo\n")
            words = f"{BOOT} --topic first --from-beginning --max-messages 2 --timeout-ms 60000"
            self.assertEqual(tool("console-consumer", words, node), "one\ntwo\n")
            docker("stop", node)
            self.assertEqual(inspect(node, "{{.State.ExitCode}}"), "0")

    def test_a_mounted_server_properties_is_read_and_variables_win(self) -> None:
        lines = ["node.id=7", "num.partitions=2", "log.dirs=/var/lib/kafka/data", "process.roles=broker,controller"]
        lines += ["controller.quorum.voters=7@localhost:9093", "controller.listener.names=CONTROLLER"]
        with engine.directory() as config:
            (config / "server.properties").write_text("\n".join(lines) + "\n")
            options = ["-v", f"{config}:/mnt/shared/config:ro", "-e", "KAFKA_NUM_PARTITIONS=4", "-e", "KAFKA_HEAP_OPTS=-Xmx1g"]
            options += ["-e", "KAFKA_JMX_PORT=9999", "-e", "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw"]
            with container("mounted", *options) as node:
                until("healthy", lambda: healthy(node))
                self.assertIn("(id: 7 ", tool("broker-api-versions", BOOT, node))
                tool("topics", f"{BOOT} --create --topic parts", node)
                self.assertIn("PartitionCount: 4", tool("topics", f"{BOOT} --describe --topic parts", node))
                self.assertIn("parts-0", docker("exec", node, "ls", "/var/lib/kafka/data"))
                log = run("docker", "logs", node).stderr
                self.assertNotIn("heap.opts", log)
                self.assertNotIn("jmx.port", log)


class Compose:
    """The compose file of a user of apache/kafka, with the image replaced."""

    def __init__(self) -> None:
        ports = engine.free_ports(3)
        self.host = ",".join(f"localhost:{port}" for port in ports)
        self.environment = {
            "DOCKER_CONFIG": engine.compose_config(),
            "KAFKA_IMAGE": image("broker"),
            **{f"PORT_{number}": str(port) for number, port in enumerate(ports, 1)},
        }

    def __call__(self, *words: str, **more) -> str:
        command = ["docker", "compose", "-p", engine.PREFIX, "-f", str(COMPOSE_FILE), *words]
        return must(*command, environment=self.environment, **more)

    def tool(self, name: str, words: str, at: str, stdin: str = "") -> str:
        servers = "--bootstrap-server kafka-1:19092,kafka-2:19092,kafka-3:19092"
        command = [f"{engine.BIN}/kafka-{name}.sh", *servers.split(), *words.split()]
        return self("exec", "-T", at, *command, stdin=stdin)

    def in_sync(self, topic: str) -> int:
        described = self.tool("topics", f"--describe --topic {topic}", "kafka-1")
        isr = [line.split("Isr: ")[1].split("\t")[0] for line in described.splitlines() if "Isr: " in line]
        return min(len(one.split(",")) for one in isr)


class ThreeNodes(unittest.TestCase):
    def test_a_compose_file_written_for_apache_kafka_runs_with_only_the_image_replaced(self) -> None:
        compose = Compose()
        self.addCleanup(compose, "down", "-v", "--timeout", "20")
        # Waits for the health checks, which are Kafka's own tool.
        compose("up", "-d", "--wait", "--wait-timeout", str(engine.DEADLINE_S))
        compose.tool("topics", "--create --topic orders --partitions 3", "kafka-1")
        described = compose.tool("topics", "--describe --topic orders", "kafka-2")
        self.assertIn("PartitionCount: 3\tReplicationFactor: 3\tConfigs: min.insync.replicas=2", described)

        lines = "".join(f"k{number}:v{number}\n" for number in range(100))
        keyed = "--topic orders --reader-property parse.key=true --reader-property key.separator=:"
        compose.tool("console-producer", keyed, "kafka-1", stdin=lines)
        # From the host, by the addresses that the host's listener advertises.
        millrace = [engine.binaries() / "millrace", "kafka-console-consumer", "--bootstrap-server", compose.host]
        read = must(*millrace, *"--topic orders --from-beginning --max-messages 100 --timeout-ms 60000".split())
        self.assertEqual(sorted(read.splitlines()), sorted(f"v{number}" for number in range(100)))

        # A node is killed: records go on, and it catches up.
        compose("kill", "kafka-2")
        compose.tool("console-producer", "--topic orders", "kafka-3", stdin="after\n")
        compose("start", "kafka-2")
        until("kafka-2 is in sync again", lambda: compose.in_sync("orders") == 3)
        words = "--topic orders --from-beginning --group g --max-messages 101 --timeout-ms 60000"
        self.assertIn("after", compose.tool("console-consumer", words, "kafka-2").splitlines())
        self.assertIn("orders", compose.tool("consumer-groups", "--describe --group g", "kafka-3"))
        words = "--alter --entity-type topics --entity-name orders --add-config retention.ms=3600000"
        self.assertIn("Completed updating config for topic orders.", compose.tool("configs", words, "kafka-1"))


if __name__ == "__main__":
    unittest.main()
