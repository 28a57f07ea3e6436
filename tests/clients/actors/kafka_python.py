# SPDX-License-Identifier: Apache-2.0
"""kafka-python as a member of a group and as a loop with transactions (see acting.py)."""

import time

import kafka
from acting import (
    HEARTBEAT_MS,
    SESSION_TIMEOUT_MS,
    TRANSACTION_RECORDS_MAX,
    Assigned,
    act,
    ends_on_sigterm,
    is_aborted_on_purpose,
    pause_seconds,
    say,
    transformed,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


def new_consumer(address, name, group, *topics, **more):
    return kafka.KafkaConsumer(
        *topics,
        bootstrap_servers=address,
        group_id=group,
        client_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_records=TRANSACTION_RECORDS_MAX,
        **more,
    )


def positions(records):
    return {place: kafka.OffsetAndMetadata(found[-1].offset + 1, "", -1) for place, found in records.items()}


def keep_owned(consumer, consumed):
    """Leaves only positions at which the consumer stands: not those of partitions that it lost, or lost and got again."""
    owned = consumer.assignment()
    for place in list(consumed):
        if place not in owned or consumer.position(place) != consumed[place].offset:
            del consumed[place]


def member(address, name, group, topics, assignor):
    ends, assigned = ends_on_sigterm(), Assigned()
    strategy = [ASSIGNORS[assignor]]
    consumer = new_consumer(address, name, group, *topics.split(","), partition_assignment_strategy=strategy)
    consumed = {}
    while not ends.is_set():
        polled = {place: records for place, records in consumer.poll(timeout_ms=100).items() if records}
        keep_owned(consumer, consumed)
        assigned.tell((one.topic, one.partition) for one in consumer.assignment())
        for place, records in polled.items():
            for record in records:
                say("record", f"{place.topic}:{place.partition}", record.offset, record.value.decode())
        consumed.update(positions(polled))
        if not consumed:
            continue
        try:
            consumer.commit(consumed)
        except kafka.errors.KafkaError as error:
            # What this member keeps is committed next time, what it loses is consumed again by whoever follows.
            if not isinstance(error, kafka.errors.CommitFailedError) and not error.retriable:
                raise
        else:
            for place, position in consumed.items():
                say("committed", f"{place.topic}:{place.partition}", position.offset)
            consumed.clear()
    consumer.close()


def transact(producer, consumer, target, polled, count):
    on_purpose = is_aborted_on_purpose()
    producer.begin_transaction()
    for place, records in polled.items():
        for record in records:
            value = transformed(place.partition, record.offset, record.value, on_purpose)
            producer.send(target, value, partition=place.partition)
    say("begun", count)
    time.sleep(pause_seconds())
    producer.flush(30)
    if on_purpose:
        return False
    producer.send_offsets_to_transaction(positions(polled), consumer.group_metadata())
    producer.commit_transaction()
    return True


def loop(address, name, group, source, target):
    ends = ends_on_sigterm()
    producer = kafka.KafkaProducer(
        bootstrap_servers=address, transactional_id=name, transaction_timeout_ms=10_000, linger_ms=1
    )
    producer.init_transactions()
    consumer = new_consumer(address, name, group, source, isolation_level="read_committed")
    while not ends.is_set():
        polled = {place: records for place, records in consumer.poll(timeout_ms=200).items() if records}
        count = sum(map(len, polled.values()))
        if not polled:
            continue
        if transact(producer, consumer, target, polled, count):
            say("committed", count)
            continue
        producer.abort_transaction()
        for place in consumer.assignment():
            consumer.seek(place, consumer.committed(place) or 0)
        say("aborted", count)
    consumer.close()
    producer.close()


act({"member": member, "loop": loop})
