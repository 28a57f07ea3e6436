// SPDX-License-Identifier: Apache-2.0
// Apache Kafka's Java client as a client program: one request a line in, one answer a line out (programs/serve.py says which).

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public final class Client implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final String server;
    private final Admin admin;
    private final KafkaConsumer<byte[], byte[]> consumer;

    private Client(String server) {
        this.server = server;
        admin = Admin.create(Map.of("bootstrap.servers", server));
        consumer = new KafkaConsumer<>(
            Map.of("bootstrap.servers", server, "check.crcs", true, "enable.auto.commit", false, "fetch.max.wait.ms", 100),
            new ByteArrayDeserializer(),
            new ByteArrayDeserializer());
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Client client = new Client(args[0])) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                out.println(JSON.writeValueAsString(client.answer(JSON.readTree(line))));
                out.flush();
            }
        }
    }

    private ObjectNode answer(JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            answer.set("ok", JSON.valueToTree(handle(request)));
        } catch (ExecutionException failure) {
            answer.put("error", String.valueOf(failure.getCause()));
        } catch (Exception failure) {
            answer.put("error", String.valueOf(failure));
        }
        return answer;
    }

    private Object handle(JsonNode request) throws Exception {
        String topic = request.path("topic").asText();
        switch (request.get("verb").asText()) {
            case "version":
                return AppInfoParser.getVersion();
            case "produce":
                return produce(topic, request);
            case "consume":
                return consume(topic, request);
            case "offsets":
                return offsets(place(topic, request));
            case "offset_at":
                return offsetAt(place(topic, request), request.get("timestamp").asLong());
            case "create":
                NewTopic made = new NewTopic(topic, request.get("partitions").asInt(), (short) 1);
                return wait(admin.createTopics(List.of(made.configs(words(request.get("configs"))))).all());
            case "delete":
                return wait(admin.deleteTopics(List.of(topic)).all());
            case "list":
                return new TreeSet<>(wait(admin.listTopics().names()));
            case "describe":
                return describe(wait(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic));
            case "describe_config":
                return describeConfig(topic);
            case "alter_config":
                return alterConfig(topic, words(request.get("configs")));
            case "grow":
                NewPartitions more = NewPartitions.increaseTo(request.get("partitions").asInt());
                return wait(admin.createPartitions(Map.of(topic, more)).all());
            case "trim":
                RecordsToDelete before = RecordsToDelete.beforeOffset(request.get("before").asLong());
                TopicPartition place = place(topic, request);
                return wait(admin.deleteRecords(Map.of(place, before)).lowWatermarks().get(place)).lowWatermark();
            case "cluster":
                return cluster();
            case "set_quotas":
                return setQuotas(request.get("client_id").asText(), request.get("quotas"));
            case "quotas":
                return quotas(request.get("client_id").asText());
            case "transactions":
                Map<String, String> states = new HashMap<>();
                wait(admin.listTransactions().all()).forEach(one -> states.put(one.transactionalId(), one.state().toString()));
                return states;
            case "transaction":
                return transaction(request.get("id").asText());
            case "abort":
                return abort(place(topic, request));
            default:
                return handleGroup(topic, request);
        }
    }

    private Object handleGroup(String topic, JsonNode request) throws Exception {
        String group = request.path("group").asText();
        switch (request.get("verb").asText()) {
            case "groups":
                return wait(admin.listGroups().all()).stream().map(GroupListing::groupId).toList();
            case "group":
                ConsumerGroupDescription described = wait(admin.describeConsumerGroups(List.of(group)).all()).get(group);
                return Map.of(
                    "state", described.groupState().toString().toLowerCase(),
                    "members", described.members().stream().map(MemberDescription::clientId).toList());
            case "committed":
                Map<String, Long> found = new HashMap<>();
                wait(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).forEach((at, one) -> {
                    if (at.topic().equals(topic) && one != null) {
                        found.put(String.valueOf(at.partition()), one.offset());
                    }
                });
                return found;
            case "commit":
                Map<TopicPartition, OffsetAndMetadata> changes = new HashMap<>();
                request.get("offsets").properties().forEach(one -> changes.put(
                    new TopicPartition(topic, Integer.parseInt(one.getKey())), new OffsetAndMetadata(one.getValue().asLong())));
                return wait(admin.alterConsumerGroupOffsets(group, changes).all());
            case "forget":
                return wait(admin.deleteConsumerGroupOffsets(group, Set.of(place(topic, request))).all());
            case "delete_group":
                return wait(admin.deleteConsumerGroups(List.of(group)).all());
            default:
                throw new IllegalArgumentException("no such verb");
        }
    }

    private List<Object> produce(String topic, JsonNode request) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", server);
        settings.put("compression.type", request.path("codec").asText("none"));
        settings.put("enable.idempotence", request.path("idempotent").asBoolean(false));
        settings.put("acks", request.path("acks").asText("all"));
        settings.put("linger.ms", 20);
        settings.put("delivery.timeout.ms", (int) PATIENCE.toMillis());
        settings.put("request.timeout.ms", 10_000);
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode one : request.get("records")) {
                Integer partition = one.hasNonNull("partition") ? one.get("partition").asInt() : null;
                Long timestamp = one.hasNonNull("timestamp") ? one.get("timestamp").asLong() : null;
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : one.path("headers")) {
                    headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                }
                sent.add(producer.send(new ProducerRecord<>(
                    topic, partition, timestamp, bytes(one.get("key")), bytes(one.get("value")), headers)));
            }
            producer.flush();
            List<Object> offsets = new ArrayList<>();
            for (Future<RecordMetadata> one : sent) {
                RecordMetadata found = one.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
                offsets.add(List.of(found.partition(), found.offset()));
            }
            return offsets;
        }
    }

    private List<Object> consume(String topic, JsonNode request) {
        Map<TopicPartition, Long> places = new HashMap<>();
        request.get("from").properties().forEach(
            one -> places.put(new TopicPartition(topic, Integer.parseInt(one.getKey())), one.getValue().asLong()));
        consumer.assign(places.keySet());
        places.forEach(consumer::seek);
        int count = request.get("count").asInt();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        List<Object> found = new ArrayList<>();
        while (found.size() < count) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException(found.size() + " of " + count + " records came");
            }
            for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofSeconds(1))) {
                found.add(record(one));
            }
        }
        return found;
    }

    private static ObjectNode record(ConsumerRecord<byte[], byte[]> one) {
        if (one.timestampType() != TimestampType.CREATE_TIME) {
            throw new IllegalStateException("kind of timestamp " + one.timestampType());
        }
        ObjectNode record = JSON.createObjectNode();
        record.put("partition", one.partition()).put("offset", one.offset()).put("timestamp", one.timestamp());
        record.put("key", text(one.key())).put("value", text(one.value()));
        ArrayNode headers = record.putArray("headers");
        for (Header header : one.headers()) {
            headers.addArray().add(header.key()).add(text(header.value()));
        }
        return record;
    }

    private Object offsets(TopicPartition place) {
        return Map.of(
            "begin", consumer.beginningOffsets(List.of(place)).get(place),
            "end", consumer.endOffsets(List.of(place)).get(place));
    }

    private Object offsetAt(TopicPartition place, long timestamp) {
        OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(place, timestamp)).get(place);
        return found == null ? null : found.offset();
    }

    private static Object describe(TopicDescription described) {
        List<Object> partitions = new ArrayList<>();
        described.partitions().stream().sorted(Comparator.comparingInt(TopicPartitionInfo::partition)).forEach(
            one -> partitions.add(Map.of(
                "partition", one.partition(),
                "leader", one.leader().id(),
                "replicas", one.replicas().stream().map(Node::id).toList(),
                "isr", one.isr().stream().map(Node::id).toList())));
        return partitions;
    }

    private Object describeConfig(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Map<String, String> found = new HashMap<>();
        for (ConfigEntry entry : wait(admin.describeConfigs(List.of(resource)).all()).get(resource).entries()) {
            found.put(entry.name(), entry.value());
        }
        return found;
    }

    private Object alterConfig(String topic, Map<String, String> configs) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        configs.forEach((name, value) ->
            changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return wait(admin.incrementalAlterConfigs(Map.of(resource, changes)).all());
    }

    private Object cluster() throws Exception {
        var described = admin.describeCluster();
        List<String> brokers = new ArrayList<>();
        for (Node node : wait(described.nodes())) {
            brokers.add(node.host() + ":" + node.port());
        }
        return Map.of("id", wait(described.clusterId()), "brokers", brokers);
    }

    private Object setQuotas(String clientId, JsonNode quotas) throws Exception {
        List<ClientQuotaAlteration.Op> changes = new ArrayList<>();
        quotas.properties().forEach(one -> changes.add(
            new ClientQuotaAlteration.Op(one.getKey(), one.getValue().isNull() ? null : one.getValue().asDouble())));
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, clientId));
        return wait(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, changes))).all());
    }

    private Object quotas(String clientId) throws Exception {
        ClientQuotaFilter filter = ClientQuotaFilter.containsOnly(
            List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, clientId)));
        Map<String, Double> found = new HashMap<>();
        wait(admin.describeClientQuotas(filter).entities()).values().forEach(found::putAll);
        return found;
    }

    private Object transaction(String id) throws Exception {
        TransactionDescription found = wait(admin.describeTransactions(List.of(id)).description(id));
        List<String> places = found.topicPartitions().stream().map(at -> at.topic() + ":" + at.partition()).sorted().toList();
        return Map.of("state", found.state().toString(), "partitions", places);
    }

    private Object abort(TopicPartition at) throws Exception {
        for (ProducerState one : wait(admin.describeProducers(List.of(at)).partitionResult(at)).activeProducers()) {
            if (one.currentTransactionStartOffset().isPresent()) {
                return wait(admin.abortTransaction(new AbortTransactionSpec(
                    at, one.producerId(), (short) one.producerEpoch(), one.coordinatorEpoch().orElse(-1))).all());
            }
        }
        throw new IllegalStateException("no transaction is open there");
    }

    private static TopicPartition place(String topic, JsonNode request) {
        return new TopicPartition(topic, request.get("partition").asInt());
    }

    private static Map<String, String> words(JsonNode object) {
        Map<String, String> words = new HashMap<>();
        object.properties().forEach(one -> words.put(one.getKey(), one.getValue().asText()));
        return words;
    }

    private static byte[] bytes(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    private static <T> T wait(KafkaFuture<T> future) throws Exception {
        return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        consumer.close();
        admin.close();
    }
}
