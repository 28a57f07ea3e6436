# SPDX-License-Identifier: Apache-2.0
"""kafka-python as a client program (see serve.py)."""

import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.admin._transactions import AbortTransactionSpec
from serve import PATIENCE_S, Record, Unsupported, received, serve


class Client:
    """Everything through kafka-python."""

    def __init__(self, server):
        self.server = {"bootstrap_servers": server}
        self.admin = KafkaAdminClient(**self.server)
        self.consumer = KafkaConsumer(
            **self.server, group_id=None, enable_auto_commit=False, check_crcs=True, fetch_max_wait_ms=100
        )

    def close(self):
        self.consumer.close()
        self.admin.close()

    def version(self):
        return kafka.__version__

    def produce(self, topic, records, codec="none", idempotent=False, acks="all"):
        records = [Record(one) for one in records]
        if any(value is None for record in records for _, value in record.headers):
            raise Unsupported("headers without a value")
        producer = KafkaProducer(
            **self.server,
            compression_type=None if codec == "none" else codec,
            linger_ms=20,
            acks="all" if acks == "all" else int(acks),
            enable_idempotence=idempotent,
        )
        try:
            futures = [
                producer.send(
                    topic,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    partition=record.partition,
                    timestamp_ms=record.timestamp,
                )
                for record in records
            ]
            producer.flush(PATIENCE_S)
            found = [future.get(PATIENCE_S) for future in futures]
            return [[one.partition, one.offset] for one in found]
        finally:
            producer.close()

    def consume(self, topic, count, **more):
        places = {TopicPartition(topic, int(at)): offset for at, offset in more["from"].items()}
        self.consumer.assign(list(places))
        for place, offset in places.items():
            self.consumer.seek(place, offset)
        found, deadline = [], time.monotonic() + PATIENCE_S
        while len(found) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} records came")
            for records in self.consumer.poll(timeout_ms=1000).values():
                for one in records:
                    if one.timestamp_type != 0:
                        raise RuntimeError(f"kind of timestamp {one.timestamp_type}")
                    found.append(received(one.partition, one.offset, one.key, one.value, one.headers, one.timestamp))
        return found

    def offsets(self, topic, partition):
        place = TopicPartition(topic, partition)
        return {
            "begin": self.consumer.beginning_offsets([place])[place],
            "end": self.consumer.end_offsets([place])[place],
        }

    def offset_at(self, topic, partition, timestamp):
        place = TopicPartition(topic, partition)
        found = self.consumer.offsets_for_times({place: timestamp})[place]
        return found.offset if found is not None else None

    def create(self, topic, partitions, configs):
        self.admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def list(self):
        return sorted(self.admin.list_topics())

    def describe(self, topic):
        (described,) = self.admin.describe_topics([topic])
        return [
            {
                "partition": one["partition_index"],
                "leader": one["leader_id"],
                "replicas": list(one["replica_nodes"]),
                "isr": list(one["isr_nodes"]),
            }
            for one in sorted(described["partitions"], key=lambda one: one["partition_index"])
        ]

    def describe_config(self, topic):
        found = self.admin.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    def alter_config(self, topic, configs):
        found = self.admin.alter_configs([ConfigResource("TOPIC", topic, configs=configs)])
        # It answers with words.
        if found["topic"] != {topic: "OK"}:
            raise RuntimeError(str(found))

    def grow(self, topic, partitions):
        self.admin.create_partitions({topic: partitions})

    def trim(self, topic, partition, before):
        place = TopicPartition(topic, partition)
        return self.admin.delete_records({place: before})[place]["low_watermark"]

    def cluster(self):
        described = self.admin.describe_cluster()
        return {
            "id": described["cluster_id"],
            "brokers": [f"{node['host']}:{node['port']}" for node in described["brokers"]],
        }

    def groups(self):
        return [one["group_id"] for one in self.admin.list_groups()]

    def group(self, group):
        found = self.admin.describe_groups([group])[group]
        if found["error"]:
            raise RuntimeError(found["error"])
        return {"state": found["group_state"].lower(), "members": [one["client_id"] for one in found["members"]]}

    def committed(self, group, topic):
        found = self.admin.list_group_offsets({group: None})[group]
        return {str(place.partition): one.offset for place, one in found.items() if place.topic == topic}

    def commit(self, group, topic, offsets):
        changes = {TopicPartition(topic, int(at)): kafka.OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}
        self.judge(self.admin.alter_group_offsets(group, changes))

    def forget(self, group, topic, partition):
        self.judge(self.admin.delete_group_offsets(group, [TopicPartition(topic, partition)]))

    def delete_group(self, group):
        self.judge(self.admin.delete_groups([group]))

    def transactions(self):
        found = self.admin.list_transactions()
        return {one.transactional_id: word(one.state) for listed in found.values() for one in listed}

    def transaction(self, id):
        found = self.admin.describe_transactions([id])[id]
        places = sorted(f"{one.topic}:{one.partition}" for one in found.topic_partitions)
        return {"state": word(found.state), "partitions": places}

    def abort(self, topic, partition):
        place = TopicPartition(topic, partition)
        (one,) = [one for one in self.admin.describe_producers([place])[place].active_producers if one.current_transaction_start_offset >= 0]
        self.admin.abort_transaction(AbortTransactionSpec(place, one.producer_id, one.producer_epoch))

    @staticmethod
    def judge(answers):
        for what, error in answers.items():
            if error not in (kafka.errors.NoError, "OK", None):
                raise RuntimeError(f"{what}: {error}")


def word(state):
    return getattr(state, "value", str(state))


serve(Client)
