"""Values that helm must refuse, each with words that help: what is wrong, where, and what is allowed."""

from rendering import template

# (arguments, what the message must say)
REFUSALS = [
    # The schema.
    (["--set", "broker.replicas=3"], ["additional properties 'broker' not allowed"]),
    (["--set", "brokers.replica=3"], ["/brokers", "additional properties 'replica' not allowed"]),
    (["--set-string", "brokers.replicas=three"], ["/brokers/replicas", "got string, want integer"]),
    (["--set", "brokers.replicas=0"], ["/brokers/replicas", "minimum: got 0, want 1"]),
    (["--set", "brokers.replicas=2.5"], ["/brokers/replicas", "want integer"]),
    (["--set", "brokers.persistence.size=lots"], ["/brokers/persistence/size", "does not match pattern"]),
    (["--set", "brokers.persistence.retention.whenScaled=Keep"], ["/whenScaled", "'Retain', 'Delete'"]),
    (["--set", "brokers.external.type=ClusterIP"], ["/brokers/external/type", "'NodePort', 'LoadBalancer'"]),
    (["--set", "brokers.antiAffinity=maybe"], ["/brokers/antiAffinity", "'soft', 'hard', 'none'"]),
    (["--set", "brokers.controlledShutdownTimeoutMs=10"], ["/controlledShutdownTimeoutMs", "minimum: got 10, want 1"]),
    (["--set-json", 'brokers.config={"a": {"b": 1}}'], ["/brokers/config/a", "got object"]),
    (["--set-json", 'brokers.rack.values="a"'], ["/brokers/rack/values", "got string, want array"]),
    (["--set", "image.pullPolicy=Sometimes"], ["/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"]),
    (["--set", "kafka.securityProtocol=TLS"], ["/kafka/securityProtocol", "'SASL_SSL'"]),
    (["--set", "weblogGenerator.rate=-1"], ["/weblogGenerator/rate", "minimum: got -1, want 0"]),
    (["--set", "etl.weblogTopic=web logs"], ["/etl/weblogTopic", "does not match pattern"]),
    (["--set-json", "archiver.topics=[]"], ["/archiver/topics", "minItems: got 0, want 1"]),
    (["--set-json", 'topics.list=[{"partitions": 3}]'], ["/topics/list/0", "missing property 'name'"]),
    (["--set-json", 'topics.list=[{"name": "a", "replicas": 3}]'], ["/topics/list/0", "'replicas' not allowed"]),
    (["--set", "postgres.external.url=mysql://db"], ["/postgres/external/url", "does not match pattern"]),
    (["--set", "postgres.external.url=postgres://me:secret@db/x"], ["/postgres/external/url", "does not match pattern"]),
    (["--set", "opensearch.external.url=https://me:secret@search"], ["/opensearch/external/url", "does not match"]),
    (["--set", "s3.bucket=My_Bucket"], ["/s3/bucket", "does not match pattern"]),
    (["--set", "tracing.protocol=zipkin"], ["/tracing/protocol", "'grpc', 'http/protobuf'"]),
    (["--set", "tracing.samplerArg=2"], ["/tracing/samplerArg", "maximum: got 2, want 1"]),
    (["--set", "monitoring.monitor.kind=Probe"], ["/monitoring/monitor/kind", "'PodMonitor', 'ServiceMonitor'"]),
    (["--set", "tests.verifyWait=soon"], ["/tests/verifyWait", "does not match pattern"]),
    # What contradicts something else.
    (["--set", "brokers.replicationFactor=5"], ["brokers.replicationFactor is 5, but brokers.replicas is 3"]),
    (["--set", "brokers.minInsyncReplicas=4"], ["brokers.minInsyncReplicas is 4, but brokers.replicationFactor is 3"]),
    (["--set", "brokers.terminationGracePeriodSeconds=60"], ["terminationGracePeriodSeconds is 60", "60000 ms"]),
    (["--set", "brokers.config.node\\.id=7"], ["brokers.config has node.id, which is set by the pod's ordinal"]),
    (["--set", "brokers.config.min\\.insync\\.replicas=1"], ["which is set by brokers.minInsyncReplicas"]),
    (["--set", "brokers.rack.fromNode=true,brokers.rack.values={a}"], ["brokers.rack.values and brokers.rack.fromNode"]),
    (["--set", "brokers.external.enabled=true,brokers.external.type=LoadBalancer"], ["brokers.external.hosts is empty"]),
    (["--set", "brokers.external.enabled=true,brokers.external.hosts={a,b}"], ["hosts has 2 entries", "replicas is 3"]),
    (["--set", "brokers.external.enabled=true,brokers.external.nodePortBase=65534"], ["broker 2 would have port 65536"]),
    (["--set", "brokers.external.enabled=true,brokers.external.bootstrapNodePort=32101"], ["32101 is one of the brokers'"]),
    (["--set-json", 'topics.list=[{"name": "a", "replicationFactor": 4}]'], ["a has replicationFactor 4"]),
    (["--set", "brokers.enabled=false"], ["kafka.bootstrapServers is empty"]),
    (["--set", "kafka.bootstrapServers=kafka:9092"], ["set brokers.enabled=false for an existing Kafka"]),
    (["--set", "kafka.securityProtocol=SSL"], ["this release's brokers offer PLAINTEXT only"]),
    (
        ["--set", "brokers.enabled=false,kafka.bootstrapServers=k:9092,kafka.securityProtocol=SASL_SSL"],
        ["kafka.sasl.existingSecret is empty"],
    ),
    (["--set", "kafka.properties.ssl\\.ciphers=a\\,b"], ["the value of ssl.ciphers has a comma"]),
    (["--set", "kafka.properties.sasl\\.password=x"], ["passwords belong into a Secret"]),
    (["--set", "kafka.properties.security\\.protocol=SSL"], ["which is set by kafka.securityProtocol"]),
    (["--set", "postgres.bundled=false"], ["postgres.external.url is empty"]),
    (["--set", "opensearch.bundled=false"], ["opensearch.external.url is empty"]),
    (
        ["--set", "opensearch.bundled=false,opensearch.external.url=http://a,opensearch.external.existingSecret=b"],
        ["opensearch.external.url and opensearch.external.existingSecret are both set"],
    ),
    (["--set", "etl.autoscaling.minReplicas=9"], ["etl.autoscaling.minReplicas is 9, more than maxReplicas = 6"]),
    (["--set", "postgres.bundled=false,opensearch.bundled=false"], ["postgres.external.url", "opensearch.external.url"]),
]


def refused(arguments, words):
    """Problems with how helm refuses these values."""
    done = template(*arguments)
    if done.returncode == 0:
        return ["accepted"]
    return [f"does not say {word!r}:\n{done.stderr}" for word in words if word not in done.stderr]


def cases():
    """(name, test) for each."""
    for arguments, words in REFUSALS:
        yield f"refused: {' '.join(arguments)}", lambda a=arguments, w=words: refused(a, w)
    yield "refused: Kubernetes 1.27", old_kubernetes


def old_kubernetes():
    done = template(version="1.27")
    return [] if "incompatible with Kubernetes v1.27" in done.stderr else [done.stderr or "accepted"]
