# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (librdkafka) as a client program (see serve.py)."""

import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from serve import PATIENCE_S, Record, received, serve


class Client:
    """Everything through librdkafka."""

    def __init__(self, server):
        self.server = {"bootstrap.servers": server}
        self.admin = AdminClient(self.server)
        self.consumer = self.new_consumer()

    def close(self):
        self.consumer.close()

    def new_consumer(self):
        # A group's name is demanded, though nothing here uses the group.
        settings = {"group.id": "unused", "enable.auto.commit": False, "check.crcs": True, "fetch.wait.max.ms": 100}
        return Consumer({**self.server, **settings})

    def version(self):
        return f"{confluent_kafka.libversion()[0]} (confluent-kafka {confluent_kafka.version()})"

    def produce(self, topic, records, codec="none", idempotent=False, acks="all"):
        settings = {"compression.type": codec, "linger.ms": 20, "batch.size": 16384, "acks": acks}
        extra = {"enable.idempotence": idempotent, "partitioner": "murmur2_random"}
        producer = Producer({**self.server, **settings, **extra})
        offsets, problems = [None] * len(records), []

        def done(number):
            def callback(error, message):
                if error is not None:
                    problems.append(str(error))
                else:
                    offsets[number] = [message.partition(), message.offset()]

            return callback

        for number, record in enumerate(map(Record, records)):
            where = {} if record.partition is None else {"partition": record.partition}
            when = {} if record.timestamp is None else {"timestamp": record.timestamp}
            producer.produce(
                topic, value=record.value, key=record.key, headers=record.headers, on_delivery=done(number), **where, **when
            )
        left = producer.flush(PATIENCE_S)
        if problems or left:
            raise RuntimeError(f"{left} were not sent; {problems[:1]}")
        return offsets

    def consume(self, topic, count, **more):
        # A new one: at a new assignment it looks for the leaders of a topic that it does not know once a second only.
        consumer = self.new_consumer()
        try:
            consumer.assign([TopicPartition(topic, int(at), offset) for at, offset in more["from"].items()])
            return self.collect(consumer, count)
        finally:
            consumer.close()

    @staticmethod
    def collect(consumer, count):
        found, deadline = [], time.monotonic() + PATIENCE_S
        while len(found) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} records came")
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                raise RuntimeError(str(message.error()))
            kind, timestamp = message.timestamp()
            if kind != confluent_kafka.TIMESTAMP_CREATE_TIME:
                raise RuntimeError(f"kind of timestamp {kind}")
            place = (message.partition(), message.offset())
            found.append(received(*place, message.key(), message.value(), message.headers(), timestamp))
        return found

    def offsets(self, topic, partition):
        begin, end = self.consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE_S)
        return {"begin": begin, "end": end}

    def offset_at(self, topic, partition, timestamp):
        (found,) = self.consumer.offsets_for_times([TopicPartition(topic, partition, timestamp)], timeout=PATIENCE_S)
        if found.error:
            raise RuntimeError(str(found.error))
        # A time behind the last record is answered with the end as a word.
        return found.offset if found.offset >= 0 else None

    def create(self, topic, partitions, configs):
        self.wait(self.admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1, config=configs)]))

    def delete(self, topic):
        self.wait(self.admin.delete_topics([topic]))

    def list(self):
        return sorted(self.admin.list_topics(timeout=PATIENCE_S).topics)

    def describe(self, topic):
        described = self.wait(self.admin.describe_topics(TopicCollection([topic])))
        return [
            {
                "partition": one.id,
                "leader": one.leader.id,
                "replicas": [node.id for node in one.replicas],
                "isr": [node.id for node in one.isr],
            }
            for one in sorted(described.partitions, key=lambda one: one.id)
        ]

    def describe_config(self, topic):
        found = self.wait(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
        return {name: entry.value for name, entry in found.items()}

    def alter_config(self, topic, configs):
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        self.wait(self.admin.incremental_alter_configs([resource]))

    def grow(self, topic, partitions):
        self.wait(self.admin.create_partitions([NewPartitions(topic, partitions)]))

    def trim(self, topic, partition, before):
        return self.wait(self.admin.delete_records([TopicPartition(topic, partition, before)])).low_watermark

    def cluster(self):
        described = self.admin.describe_cluster(request_timeout=PATIENCE_S).result(PATIENCE_S)
        return {"id": described.cluster_id, "brokers": [f"{node.host}:{node.port}" for node in described.nodes]}

    def groups(self):
        return [one.group_id for one in self.admin.list_consumer_groups(request_timeout=PATIENCE_S).result(PATIENCE_S).valid]

    def group(self, group):
        found = self.wait(self.admin.describe_consumer_groups([group], request_timeout=PATIENCE_S))
        return {"state": found.state.name.lower(), "members": [one.client_id for one in found.members]}

    def committed(self, group, topic):
        found = self.wait(self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
        places = [one for one in found.topic_partitions if one.topic == topic and one.offset >= 0]
        return {str(one.partition): one.offset for one in places}

    def commit(self, group, topic, offsets):
        places = [TopicPartition(topic, int(at), offset) for at, offset in offsets.items()]
        asked = ConsumerGroupTopicPartitions(group, places)
        for one in self.wait(self.admin.alter_consumer_group_offsets([asked])).topic_partitions:
            if one.error:
                raise RuntimeError(str(one.error))

    def delete_group(self, group):
        self.wait(self.admin.delete_consumer_groups([group], request_timeout=PATIENCE_S))

    @staticmethod
    def wait(futures):
        """The answer of the one thing that was asked for."""
        (future,) = futures.values()
        return future.result(PATIENCE_S)


serve(Client)
