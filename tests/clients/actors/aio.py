# SPDX-License-Identifier: Apache-2.0
"""aiokafka as a member of a group and as a loop with transactions (see acting.py).

Its transactions know the group's name only, not the generation, so a loop takes all partitions by itself and relies on its
transactional id alone: whoever comes with the same one ends what the one before it had begun."""

import asyncio
import signal

from acting import (
    HEARTBEAT_MS,
    SESSION_TIMEOUT_MS,
    TRANSACTION_RECORDS_MAX,
    Assigned,
    act,
    is_aborted_on_purpose,
    pause_seconds,
    say,
    transformed,
)
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


def ends_on_sigterm():
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    return ends


def new_consumer(address, name, group, *topics, **more):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=address,
        group_id=group,
        client_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        retry_backoff_ms=200,
        **more,
    )


def positions(polled):
    return {place: records[-1].offset + 1 for place, records in polled.items()}


async def member(address, name, group, topics, assignor):
    ends, assigned = ends_on_sigterm(), Assigned()
    strategy = [ASSIGNORS[assignor]]
    consumer = new_consumer(address, name, group, *topics.split(","), partition_assignment_strategy=strategy)
    await consumer.start()
    while not ends.is_set():
        polled = await consumer.getmany(timeout_ms=100, max_records=TRANSACTION_RECORDS_MAX)
        assigned.tell((one.topic, one.partition) for one in consumer.assignment())
        for place, records in polled.items():
            for record in records:
                say("record", f"{place.topic}:{place.partition}", record.offset, record.value.decode())
        if not polled:
            continue
        try:
            await consumer.commit(positions(polled))
        except (CommitFailedError, IllegalStateError):
            # The partition is another one's by now.
            continue
        except KafkaError as error:
            if not error.retriable:
                raise
        else:
            for place, offset in positions(polled).items():
                say("committed", f"{place.topic}:{place.partition}", offset)
    await consumer.stop()


async def transact(producer, group, target, polled, count):
    on_purpose = is_aborted_on_purpose()
    await producer.begin_transaction()
    sent = []
    for place, records in polled.items():
        for record in records:
            value = transformed(place.partition, record.offset, record.value, on_purpose)
            sent.append(await producer.send(target, value, partition=place.partition))
    say("begun", count)
    await asyncio.sleep(pause_seconds())
    await asyncio.gather(*sent)
    if on_purpose:
        await producer.abort_transaction()
        return False
    await producer.send_offsets_to_transaction(positions(polled), group)
    await producer.commit_transaction()
    return True


async def rewind(consumer, places):
    for place in places:
        consumer.seek(place, await consumer.committed(place) or 0)


async def loop(address, name, group, source, target):
    ends = ends_on_sigterm()
    producer = AIOKafkaProducer(
        bootstrap_servers=address, transactional_id=name, transaction_timeout_ms=10_000, linger_ms=1
    )
    # With this the transaction of the one before is ended, so what is committed below is what counts.
    await producer.start()
    consumer = new_consumer(address, name, group, isolation_level="read_committed")
    await consumer.start()
    places = [TopicPartition(source, partition) for partition in await producer.partitions_for(source)]
    consumer.assign(places)
    await rewind(consumer, places)
    while not ends.is_set():
        polled = await consumer.getmany(timeout_ms=200, max_records=TRANSACTION_RECORDS_MAX)
        count = sum(map(len, polled.values()))
        if not polled:
            continue
        if await transact(producer, group, target, polled, count):
            say("committed", count)
            continue
        await rewind(consumer, places)
        say("aborted", count)
    await consumer.stop()
    await producer.stop()


act(
    {
        "member": lambda *words: asyncio.run(member(*words)),
        "loop": lambda *words: asyncio.run(loop(*words)),
    }
)
