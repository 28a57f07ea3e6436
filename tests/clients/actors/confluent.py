# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (librdkafka) as a member of a group and as a loop with transactions (see acting.py)."""

import sys
import time

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
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

# What a member is told whose generation is over, or whose coordinator is away.
RETRIED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError._STATE,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._NO_OFFSET,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.GROUP_ID_NOT_FOUND,
}


CLASSIC = {"session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": HEARTBEAT_MS}


def new_consumer(address, name, group, **more):
    settings = {
        "bootstrap.servers": address,
        "group.id": group,
        "client.id": name,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "reconnect.backoff.max.ms": 1000,
    }
    return Consumer({**settings, **more})


def of_protocol(assignor):
    """What a member of a group is told of its protocol: in the new one the broker assigns, and says how often it wants to hear."""
    if assignor.startswith("consumer:"):
        return {"group.protocol": "consumer", "group.remote.assignor": assignor.split(":")[1]}
    return {**CLASSIC, "partition.assignment.strategy": assignor}


def positions(messages):
    """Behind the last of each partition."""
    found = {}
    for message in messages:
        found[message.topic(), message.partition()] = message.offset() + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in sorted(found.items())]


def keep_owned(consumer, consumed):
    """Leaves only positions at which the consumer stands: not those of partitions that it lost, or lost and got again."""
    for one in consumer.position([TopicPartition(*place) for place in consumed]):
        if one.offset != consumed[one.topic, one.partition].offset:
            del consumed[one.topic, one.partition]


def member(address, name, group, topics, assignor):
    ends, assigned = ends_on_sigterm(), Assigned()
    consumer = new_consumer(address, name, group, **of_protocol(assignor))
    consumer.subscribe(topics.split(","))
    consumed = {}
    while not ends.is_set():
        messages = [one for one in consumer.consume(20, timeout=0.1) if not one.error()]
        keep_owned(consumer, consumed)
        assigned.tell((one.topic, one.partition) for one in consumer.assignment())
        for one in messages:
            say("record", f"{one.topic()}:{one.partition()}", one.offset(), one.value().decode())
        consumed.update({(one.topic, one.partition): one for one in positions(messages)})
        if not consumed:
            continue
        try:
            for one in consumer.commit(offsets=list(consumed.values()), asynchronous=False):
                if one.error is None:
                    say("committed", f"{one.topic}:{one.partition}", one.offset)
                    del consumed[one.topic, one.partition]
        except KafkaException as error:
            # What this member keeps is committed next time, what it loses is consumed again by whoever follows.
            if not error.args[0].retriable() and error.args[0].code() not in RETRIED:
                raise
    consumer.close()


def insist(step, *arguments):
    """librdkafka wants to be asked again where the outcome is not known yet."""
    while True:
        try:
            return step(*arguments)
        except KafkaException as error:
            print(step.__name__, error, file=sys.stderr, flush=True)
            if not error.args[0].retriable():
                raise


class Loop:
    """One transaction after the other."""

    def __init__(self, address, name, group, source, target):
        self.target = target
        self.producer = Producer(
            {
                "bootstrap.servers": address,
                "transactional.id": name,
                "transaction.timeout.ms": 10_000,
                "linger.ms": 1,
                "reconnect.backoff.max.ms": 1000,
                # When its only broker is gone, librdkafka 2.16 would forget it and learn it anew (KIP-899), but send the
                # offsets of a transaction to the one that it remembers as the group's coordinator, for ever.
                "metadata.recovery.strategy": "none",
            }
        )
        self.consumer = new_consumer(address, name, group, **CLASSIC, **{"isolation.level": "read_committed"})
        self.consumer.subscribe([source])
        self.producer.init_transactions(60)

    def transact(self, messages):
        on_purpose = is_aborted_on_purpose()
        self.producer.begin_transaction()
        for one in messages:
            value = transformed(one.partition(), one.offset(), one.value(), on_purpose)
            self.producer.produce(self.target, value, partition=one.partition())
        say("begun", len(messages))
        self.producer.poll(0)
        time.sleep(pause_seconds())
        if on_purpose:
            self.producer.flush(30)
            return False
        insist(self.producer.send_offsets_to_transaction, positions(messages), self.consumer.consumer_group_metadata(), 10)
        insist(self.producer.commit_transaction, 10)
        return True

    def step(self):
        messages = [one for one in self.consumer.consume(TRANSACTION_RECORDS_MAX, timeout=0.2) if not one.error()]
        if not messages:
            return
        try:
            is_done = self.transact(messages)
        except KafkaException as error:
            print("a transaction", error, file=sys.stderr, flush=True)
            if not error.args[0].txn_requires_abort():
                raise
            is_done = False
        if is_done:
            say("committed", len(messages))
            return
        insist(self.producer.abort_transaction, 10)
        self.rewind()
        say("aborted", len(messages))

    def rewind(self):
        """Back to what was committed last."""
        for place in insist(self.consumer.committed, self.consumer.assignment(), 10):
            # Without a commit from the beginning, as `earliest` says.
            self.consumer.seek(TopicPartition(place.topic, place.partition, max(place.offset, 0)))


def loop(address, name, group, source, target):
    ends = ends_on_sigterm()
    played = Loop(address, name, group, source, target)
    while not ends.is_set():
        played.step()
    played.consumer.close()


act({"member": member, "loop": loop})
