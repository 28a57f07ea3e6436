// SPDX-License-Identifier: Apache-2.0
// Apache Kafka's Java client as a member of a group and as a loop with transactions (actors/acting.py says which words).

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Actor {
    private static final int SESSION_TIMEOUT_MS = 3000;
    private static final int HEARTBEAT_MS = 300;
    private static final int TRANSACTION_RECORDS_MAX = 25;
    private static final int ABORTED_ONE_IN = 8;
    private static final int PAUSE_MS_MAX = 50;
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private static volatile boolean isEnding = false;
    private static final CountDownLatch ENDED = new CountDownLatch(1);

    private String said = null;

    public static void main(String[] words) throws Exception {
        // A SIGTERM runs this hook, and the machine waits for it: the member leaves meanwhile, and the code is 0 then.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            isEnding = true;
            try {
                ENDED.await();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }));
        int code = 0;
        try {
            if (words[0].equals("member")) {
                new Actor().member(words[1], words[2], words[3], words[4], words[5]);
            } else {
                new Actor().loop(words[1], words[2], words[3], words[4], words[5]);
            }
        } catch (Exception failure) {
            failure.printStackTrace();
            code = 2;
        }
        // Within a shutdown that has begun, `exit` would wait for ever.
        Runtime.getRuntime().halt(code);
    }

    private static void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words) {
            line.append(line.isEmpty() ? "" : " ").append(word);
        }
        System.out.println(line);
        System.out.flush();
    }

    private static String place(TopicPartition at) {
        return at.topic() + ":" + at.partition();
    }

    private void tell(Collection<TopicPartition> places) {
        String words = String.join(" ", places.stream().map(Actor::place).sorted().toList());
        if (!words.equals(said)) {
            say("assigned", words);
            said = words;
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String address, String name, String group, String assignor) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", address);
        settings.put("group.id", group);
        settings.put("client.id", name);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        settings.put("max.poll.records", TRANSACTION_RECORDS_MAX);
        settings.put("isolation.level", "read_committed");
        // In the new protocol the broker assigns, and says how often it wants to hear.
        if (assignor.startsWith("consumer:")) {
            settings.put("group.protocol", "consumer");
            settings.put("group.remote.assignor", assignor.substring("consumer:".length()));
        } else {
            settings.put("session.timeout.ms", SESSION_TIMEOUT_MS);
            settings.put("heartbeat.interval.ms", HEARTBEAT_MS);
            settings.put("partition.assignment.strategy", ASSIGNORS.get(assignor));
        }
        settings.put("reconnect.backoff.max.ms", 1000);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static Map<TopicPartition, OffsetAndMetadata> positions(ConsumerRecords<byte[], byte[]> polled) {
        Map<TopicPartition, OffsetAndMetadata> found = new HashMap<>();
        for (TopicPartition at : polled.partitions()) {
            List<ConsumerRecord<byte[], byte[]>> records = polled.records(at);
            found.put(at, new OffsetAndMetadata(records.get(records.size() - 1).offset() + 1));
        }
        return found;
    }

    private void member(String address, String name, String group, String topics, String assignor) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(address, name, group, assignor)) {
            if (topics.startsWith("^")) {
                consumer.subscribe(new SubscriptionPattern(topics.substring(1)));
            } else {
                consumer.subscribe(List.of(topics.split(",")));
            }
            Map<TopicPartition, OffsetAndMetadata> consumed = new HashMap<>();
            while (!isEnding) {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofMillis(100));
                tell(consumer.assignment());
                keepOwned(consumer, consumed);
                for (ConsumerRecord<byte[], byte[]> one : polled) {
                    String value = new String(one.value(), StandardCharsets.UTF_8);
                    say("record", one.topic() + ":" + one.partition(), one.offset(), value);
                }
                consumed.putAll(positions(polled));
                if (consumed.isEmpty()) {
                    continue;
                }
                try {
                    consumer.commitSync(consumed, PATIENCE);
                    consumed.forEach((at, position) -> say("committed", place(at), position.offset()));
                    consumed.clear();
                } catch (CommitFailedException | RebalanceInProgressException | RetriableException refused) {
                    // What this member keeps is committed next time, what it loses is consumed again by whoever follows.
                    System.err.println(refused);
                }
            }
        }
    }

    /** Leaves only positions at which the consumer stands: not those of partitions that it lost, or lost and got again. */
    private static void keepOwned(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, OffsetAndMetadata> consumed) {
        consumed.keySet().retainAll(consumer.assignment());
        consumed.entrySet().removeIf(one -> consumer.position(one.getKey(), PATIENCE) != one.getValue().offset());
    }

    private void loop(String address, String name, String group, String source, String target) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", address);
        settings.put("transactional.id", name);
        settings.put("transaction.timeout.ms", 10_000);
        settings.put("delivery.timeout.ms", 30_000);
        settings.put("request.timeout.ms", 10_000);
        settings.put("reconnect.backoff.max.ms", 1000);
        try (var consumer = consumer(address, name, group, "cooperative-sticky");
                var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            consumer.subscribe(List.of(source));
            while (!isEnding) {
                ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofMillis(200));
                if (polled.isEmpty()) {
                    continue;
                }
                if (transact(producer, consumer, target, polled)) {
                    say("committed", polled.count());
                    continue;
                }
                producer.abortTransaction();
                rewind(consumer);
                say("aborted", polled.count());
            }
        }
    }

    private static boolean transact(
            KafkaProducer<byte[], byte[]> producer,
            KafkaConsumer<byte[], byte[]> consumer,
            String target,
            ConsumerRecords<byte[], byte[]> polled) throws InterruptedException {
        boolean isOnPurpose = ThreadLocalRandom.current().nextInt(ABORTED_ONE_IN) == 0;
        producer.beginTransaction();
        try {
            for (ConsumerRecord<byte[], byte[]> one : polled) {
                producer.send(new ProducerRecord<>(target, one.partition(), null, transformed(one, isOnPurpose)));
            }
            say("begun", polled.count());
            Thread.sleep(ThreadLocalRandom.current().nextInt(PAUSE_MS_MAX));
            producer.flush();
            if (isOnPurpose) {
                return false;
            }
            producer.sendOffsetsToTransaction(positions(polled), consumer.groupMetadata());
            producer.commitTransaction();
            return true;
        } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
            throw fenced;
        } catch (KafkaException failure) {
            // A rebalance, or a broker that was gone: this transaction is given up, and the records are read again.
            System.err.println(failure);
            return false;
        }
    }

    /** What becomes of a record: the reader of committed ones never sees the other kind. */
    private static byte[] transformed(ConsumerRecord<byte[], byte[]> one, boolean isOnPurpose) {
        String where = one.partition() + ":" + one.offset();
        String value = new StringBuilder(new String(one.value(), StandardCharsets.UTF_8)).reverse().toString();
        return (isOnPurpose ? "aborted:" + where : where + ":" + value).getBytes(StandardCharsets.UTF_8);
    }

    private static void rewind(KafkaConsumer<byte[], byte[]> consumer) {
        var committed = consumer.committed(consumer.assignment(), PATIENCE);
        for (TopicPartition at : new ArrayList<>(consumer.assignment())) {
            OffsetAndMetadata found = committed.get(at);
            consumer.seek(at, found == null ? 0 : found.offset());
        }
    }
}
