# SPDX-License-Identifier: Apache-2.0
"""aiokafka as a client program (see serve.py)."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from serve import PATIENCE_S, Record, received, serve


def need(code, words=""):
    """Answers of this client's admin carry their code inside."""
    if code != 0:
        raise for_code(code)(words)


class Client:
    """Everything through aiokafka, on one loop."""

    def __init__(self, server):
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.admin, self.consumer = self.loop.run_until_complete(self.start())

    async def start(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.server)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.server, group_id=None, enable_auto_commit=False, check_crcs=True, fetch_max_wait_ms=100
        )
        await admin.start()
        await consumer.start()
        return admin, consumer

    async def end(self):
        await self.consumer.stop()
        await self.admin.close()

    def close(self):
        self.loop.run_until_complete(self.end())

    def version(self):
        return aiokafka.__version__

    async def produce(self, topic, records, codec="none", idempotent=False, acks="all"):
        producer = AIOKafkaProducer(
            bootstrap_servers=self.server,
            compression_type=None if codec == "none" else codec,
            linger_ms=20,
            acks="all" if acks == "all" else int(acks),
            enable_idempotence=idempotent,
        )
        await producer.start()
        try:
            futures = [
                await producer.send(
                    topic,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    partition=record.partition,
                    timestamp_ms=record.timestamp,
                )
                for record in map(Record, records)
            ]
            found = await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_S)
            return [one and [one.partition, one.offset] for one in found]
        finally:
            await producer.stop()

    async def consume(self, topic, count, **more):
        places = {TopicPartition(topic, int(at)): offset for at, offset in more["from"].items()}
        self.consumer.assign(list(places))
        for place, offset in places.items():
            self.consumer.seek(place, offset)
        found, deadline = [], self.loop.time() + PATIENCE_S
        while len(found) < count:
            if self.loop.time() > deadline:
                raise TimeoutError(f"{len(found)} of {count} records came")
            for records in (await self.consumer.getmany(timeout_ms=1000)).values():
                for one in records:
                    if one.timestamp_type != 0:
                        raise RuntimeError(f"kind of timestamp {one.timestamp_type}")
                    found.append(received(one.partition, one.offset, one.key, one.value, one.headers, one.timestamp))
        return found

    async def offsets(self, topic, partition):
        place = TopicPartition(topic, partition)
        begin = await self.consumer.beginning_offsets([place])
        end = await self.consumer.end_offsets([place])
        return {"begin": begin[place], "end": end[place]}

    async def offset_at(self, topic, partition, timestamp):
        place = TopicPartition(topic, partition)
        found = (await self.consumer.offsets_for_times({place: timestamp}))[place]
        return found.offset if found is not None else None

    async def create(self, topic, partitions, configs):
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, topic_configs=configs)
        for _, code, words in (await self.admin.create_topics([new])).topic_errors:
            need(code, words)

    async def delete(self, topic):
        for _, code in (await self.admin.delete_topics([topic])).topic_error_codes:
            need(code)

    async def list(self):
        return sorted(await self.admin.list_topics())

    async def describe(self, topic):
        (described,) = await self.admin.describe_topics([topic])
        need(described["error_code"])
        return [
            {
                "partition": one["partition"],
                "leader": one["leader"],
                "replicas": list(one["replicas"]),
                "isr": list(one["isr"]),
            }
            for one in sorted(described["partitions"], key=lambda one: one["partition"])
        ]

    async def describe_config(self, topic):
        (answer,) = await self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((code, words, _, _, entries),) = answer.resources
        need(code, words)
        return {entry[0]: entry[1] for entry in entries}

    async def alter_config(self, topic, configs):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)
        (answer,) = await self.admin.alter_configs([resource])
        for code, words, *_ in answer.resources:
            need(code, words)

    async def grow(self, topic, partitions):
        for _, code, words in (await self.admin.create_partitions({topic: NewPartitions(partitions)})).topic_errors:
            need(code, words)

    async def trim(self, topic, partition, before):
        place = TopicPartition(topic, partition)
        return (await self.admin.delete_records({place: RecordsToDelete(before)}))[place]

    async def cluster(self):
        described = await self.admin.describe_cluster()
        return {
            "id": described["cluster_id"],
            "brokers": [f"{node['host']}:{node['port']}" for node in described["brokers"]],
        }

    async def groups(self):
        return [one[0] for one in await self.admin.list_consumer_groups()]

    async def group(self, group):
        (answer,) = await self.admin.describe_consumer_groups([group])
        ((code, _, state, _, _, members, *_),) = answer.groups
        need(code)
        return {"state": state.lower(), "members": [one[1] if isinstance(one[1], str) and len(one) == 5 else one[2] for one in members]}

    async def committed(self, group, topic):
        found = await self.admin.list_consumer_group_offsets(group)
        return {str(place.partition): one.offset for place, one in found.items() if place.topic == topic and one.offset >= 0}


serve(Client)
