// Writes, with the classes of Apache Kafka's Java client, the bytes that tests/codec/java.rs expects our codec to
// produce. Run from the workspace with the client's jar (Maven Central, org.apache.kafka:kafka-clients:4.3.1):
//
//     cargo test -p wire --test codec -- --ignored --nocapture print_samples | grep '^sample ' |
//       java -cp kafka-clients-4.3.1.jar crates/wire/tests/java/Fixtures.java > crates/wire/tests/java/fixtures.txt
//
// Standard input has samples of messages that the kafka-protocol crate does not know: they are read and written again.
// A line is: name of the message, version, bytes in hexadecimal. A version of -1 marks a record batch.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

public class Fixtures {
    static final Uuid ID = new Uuid(0x0123456789abcdefL, 0x1122334455667788L);

    static void line(String name, int version, ByteBuffer bytes) {
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        System.out.println(name + " " + version + " " + HexFormat.of().formatHex(copy));
    }

    static void message(Message message, int... versions) {
        for (int version : versions) {
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer bytes = ByteBuffer.allocate(message.size(cache, (short) version));
            message.write(new ByteBufferAccessor(bytes), cache, (short) version);
            bytes.flip();
            line(message.getClass().getSimpleName().replaceFirst("Data$", ""), version, bytes);
        }
    }

    static MemoryRecords records(Compression compression) {
        return MemoryRecords.withIdempotentRecords(compression, 4711L, (short) 3, 17,
            new SimpleRecord(1_700_000_000_000L, "key".getBytes(), "value".getBytes(),
                new RecordHeader[] {new RecordHeader("h", new byte[] {1, 2}), new RecordHeader("n", (byte[]) null)}),
            new SimpleRecord(1_700_000_000_005L, null, "no key".getBytes()));
    }

    /// Reads the bytes into the class that Kafka has for the API, and writes that.
    static void again(String name, short version, byte[] bytes) {
        boolean request = name.endsWith("Request");
        String api = name.replaceFirst("(Request|Response)$", "");
        for (ApiMessageType type : ApiMessageType.values()) {
            if (type.name.equals(api)) {
                Message message = request ? type.newRequest() : type.newResponse();
                message.read(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), version);
                message(message, version);
                return;
            }
        }
        throw new IllegalArgumentException(name);
    }

    public static void main(String[] args) {
        for (String line : new BufferedReader(new InputStreamReader(System.in)).lines().toList()) {
            String[] words = line.split(" ");
            again(words[1], Short.parseShort(words[2]), HexFormat.of().parseHex(words[3]));
        }
        message(new RequestHeaderData().setRequestApiKey((short) 3).setRequestApiVersion((short) 12)
            .setCorrelationId(7).setClientId("client"), 1, 2);
        message(new ApiVersionsRequestData().setClientSoftwareName("java").setClientSoftwareVersion("4.3.1"), 3, 4);
        message(new MetadataRequestData().setTopics(List.of(
            new MetadataRequestData.MetadataRequestTopic().setName("web-logs"))), 8, 12);
        message(new MetadataRequestData().setTopics(null), 1, 9);
        message(metadata(), 7, 13);
        message(new FetchResponseData().setSessionId(99).setResponses(List.of(
            new FetchResponseData.FetchableTopicResponse().setTopic("").setTopicId(ID).setPartitions(List.of(
                new FetchResponseData.PartitionData().setPartitionIndex(4).setHighWatermark(10).setLogStartOffset(2)
                    .setDivergingEpoch(new FetchResponseData.EpochEndOffset().setEpoch(5).setEndOffset(8))
                    .setAbortedTransactions(null).setRecords(records(Compression.NONE))))))
            .setNodeEndpoints(new FetchResponseData.NodeEndpointCollection(List.of(
                new FetchResponseData.NodeEndpoint().setNodeId(1).setHost("h").setPort(9092)).iterator())), 16, 18);
        message(new DescribeTopicPartitionsRequestData().setTopics(List.of(
            new DescribeTopicPartitionsRequestData.TopicRequest().setName("t"))).setCursor(
            new DescribeTopicPartitionsRequestData.Cursor().setTopicName("t").setPartitionIndex(3)), 0);
        message(new ConsumerProtocolSubscription().setTopics(List.of("a", "b")).setGenerationId(2), 0, 1, 2, 3);
        line("RecordBatch", -1, records(Compression.NONE).buffer());
        line("RecordBatch", -1, records(Compression.gzip().build()).buffer());
    }

    static MetadataResponseData metadata() {
        var brokers = new MetadataResponseData.MetadataResponseBrokerCollection(List.of(
            new MetadataResponseData.MetadataResponseBroker().setNodeId(1).setHost("localhost").setPort(9092)
                .setRack("r")).iterator());
        var topics = new MetadataResponseData.MetadataResponseTopicCollection(List.of(
            new MetadataResponseData.MetadataResponseTopic().setName("web-logs").setTopicId(ID).setPartitions(List.of(
                new MetadataResponseData.MetadataResponsePartition().setPartitionIndex(0).setLeaderId(1)
                    .setLeaderEpoch(6).setReplicaNodes(List.of(1, 2)).setIsrNodes(List.of(1))))).iterator());
        return new MetadataResponseData().setBrokers(brokers).setTopics(topics).setClusterId("cluster").setControllerId(1);
    }
}
