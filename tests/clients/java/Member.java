// SPDX-License-Identifier: Apache-2.0
// A member of a consumer group that says on its standard output what it is assigned and what it reads, a line each, and commits
// what it has read. It leaves its group on SIGTERM.
//   java Member <name> <address> <group> <topic> <protocol> <assignor> <topics|pattern>

import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Member {
    private static volatile boolean ends = false;

    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("client.id", args[0]);
        settings.put("bootstrap.servers", args[1]);
        settings.put("group.id", args[2]);
        settings.put("group.protocol", args[4]);
        if (args[4].equals("consumer")) {
            settings.put("group.remote.assignor", args[5]);
        } else {
            settings.put("session.timeout.ms", "6000");
            settings.put("heartbeat.interval.ms", "500");
        }
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "20");
        settings.put("metadata.max.age.ms", "1000");
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            ends = true;
            try {
                closed.await();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }));
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            if (args[6].equals("pattern")) {
                consumer.subscribe(new SubscriptionPattern(args[3]));
            } else {
                consumer.subscribe(List.of(args[3]));
            }
            consume(consumer);
        } finally {
            closed.countDown();
        }
    }

    private static void consume(KafkaConsumer<String, String> consumer) {
        String told = null;
        while (!ends) {
            var records = consumer.poll(Duration.ofMillis(100));
            TreeSet<Integer> owned = new TreeSet<>();
            for (TopicPartition one : consumer.assignment()) {
                owned.add(one.partition());
            }
            StringBuilder line = new StringBuilder("assigned");
            owned.forEach(one -> line.append(' ').append(one));
            if (!line.toString().equals(told)) {
                told = line.toString();
                System.out.println(told);
            }
            for (ConsumerRecord<String, String> record : records) {
                System.out.println("record " + record.partition() + " " + record.value());
            }
            try {
                consumer.commitSync(Duration.ofSeconds(10));
            } catch (CommitFailedException | RetriableException lost) {
                // Whoever owns the partitions now reads the records again.
            }
        }
    }
}
