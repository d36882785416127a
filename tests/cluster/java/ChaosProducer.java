import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * An idempotent producer with acks=all that gives nothing up: the Java sibling of the rdkafka one in
 * src/chaos/client/produce.rs. It tells what it does in the same lines, and ends when its standard input does.
 *
 * <p>Arguments: bootstrap servers, its number, records per second, its history, and TOPIC:PARTITION for each partition.
 */
public final class ChaosProducer {
    private static final String PADDING = "x".repeat(120);

    private final FileOutputStream journal;
    private volatile boolean ended;

    private ChaosProducer(String path) throws IOException {
        journal = new FileOutputStream(path, true);
    }

    public static void main(String[] arguments) throws Exception {
        ChaosProducer client = new ChaosProducer(arguments[3]);
        client.endWithInput();
        client.run(arguments);
    }

    /** A line with the time of the clock that all clients share; one write for each. */
    private synchronized void tell(String what) {
        String line = System.nanoTime() + " " + what + "\n";
        try {
            journal.write(line.getBytes(StandardCharsets.UTF_8));
        } catch (IOException error) {
            // What it does could not be told.
            error.printStackTrace();
            Runtime.getRuntime().halt(3);
        }
    }

    private void endWithInput() {
        Thread thread = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // Nothing is ever said there.
                }
            } catch (IOException error) {
                // An error is an end too.
            }
            ended = true;
        });
        thread.setDaemon(true);
        thread.start();
    }

    private static Properties settings(String bootstrap, String number) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("client.id", "chaos-java-" + number);
        settings.put("enable.idempotence", "true");
        settings.put("acks", "all");
        settings.put("linger.ms", "2");
        settings.put("retries", Integer.MAX_VALUE);
        settings.put("delivery.timeout.ms", Integer.MAX_VALUE);
        settings.put("max.block.ms", Integer.MAX_VALUE);
        settings.put("request.timeout.ms", "5000");
        settings.put("socket.connection.setup.timeout.ms", "2000");
        settings.put("socket.connection.setup.timeout.max.ms", "2000");
        settings.put("reconnect.backoff.ms", "20");
        settings.put("reconnect.backoff.max.ms", "500");
        settings.put("retry.backoff.ms", "20");
        settings.put("retry.backoff.max.ms", "200");
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        return settings;
    }

    private void run(String[] arguments) throws Exception {
        String number = arguments[1];
        long pauseNs = TimeUnit.SECONDS.toNanos(1) / Math.max(1, Long.parseLong(arguments[2]));
        List<String[]> places = new ArrayList<>();
        for (int index = 4; index < arguments.length; index++) {
            places.add(arguments[index].split(":"));
        }
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings(arguments[0], number))) {
            long begin = System.nanoTime();
            for (long sent = 0; !ended; sent++) {
                String[] place = places.get((int) (sent % places.size()));
                send(producer, number, place[0], Integer.parseInt(place[1]), sent / places.size());
                while (!ended && System.nanoTime() - begin < pauseNs * (sent + 1)) {
                    LockSupport.parkNanos(Math.min(pauseNs, 5_000_000));
                }
            }
            producer.flush();
        }
        tell("ended");
    }

    private void send(
            KafkaProducer<String, String> producer, String number, String topic, int partition, long counter) {
        String what = topic + " " + partition + " " + counter;
        String value = "p" + number + ":" + counter + " " + PADDING;
        tell("sent " + what);
        producer.send(new ProducerRecord<>(topic, partition, Long.toString(counter), value), (metadata, error) -> {
            if (error == null) {
                tell("acked " + what + " " + metadata.offset());
            } else {
                tell("given-up " + what + " " + error.toString().replace('\n', ' '));
            }
        });
    }
}
