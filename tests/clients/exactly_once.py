# SPDX-License-Identifier: Apache-2.0
"""Consume, transform, produce, with offsets in the same transaction, by a real client that is killed again and again, and so is the
broker. What a reader of committed records finds at the end is counted: each record once, none twice, none missing.

    target/clients/venv/bin/python tests/clients/exactly_once.py            also: --kills 20 --records 20000

Exit code 1 if anything is wrong."""

import argparse
import collections
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from broker import Failure
from groups import PARTITIONS, SETTINGS, FixedBroker, create_topic

GROUP, SOURCE, TARGET = "eos", "numbers", "doubled"
TRANSACTIONAL_ID = "eos-worker"
WAIT_SECONDS = 60
# Every so many transactions one is aborted on purpose, after its records were sent.
ABORT_EACH = 7
# How long a worker, or a broker, lives before it is killed.
LIFE_SECONDS = 1.5
# What a worker ends with that has to be started again.
FENCED_OR_FATAL = 3


class Worker:
    """A process that moves records from one topic to the other."""

    def __init__(self, address, log):
        command = [sys.executable, "-B", __file__, "--work", address]
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def work(address):
    """The process of a worker: it ends with a code that says whether another one may follow."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
        }
    )
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": address,
            "transactional.id": TRANSACTIONAL_ID,
            "transaction.timeout.ms": 10000,
            "linger.ms": 2,
            "batch.num.messages": 5,
        }
    )
    producer.init_transactions(WAIT_SECONDS)
    consumer.subscribe([SOURCE])
    count = 0
    while True:
        messages = [one for one in consumer.consume(40, timeout=0.2) if not one.error()]
        if not messages:
            continue
        count += 1
        try:
            move(consumer, producer, messages, aborts=count % ABORT_EACH == 0)
        except KafkaException as error:
            reason = error.args[0]
            print(f"transaction {count}: {reason}", flush=True)
            if not reason.txn_requires_abort():
                return FENCED_OR_FATAL
            producer.abort_transaction(WAIT_SECONDS)
            rewind(consumer)


def move(consumer, producer, messages, aborts):
    producer.begin_transaction()
    for message in messages:
        value = str(2 * int(message.value())).encode()
        producer.produce(TARGET, value, partition=(message.partition() + 1) % PARTITIONS)
    if aborts:
        producer.flush(WAIT_SECONDS)
        producer.abort_transaction(WAIT_SECONDS)
        rewind(consumer)
        return
    positions = [one for one in consumer.position(consumer.assignment()) if one.offset >= 0]
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), WAIT_SECONDS)
    while True:
        try:
            producer.commit_transaction(WAIT_SECONDS)
            return
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def rewind(consumer):
    """Goes back to what is committed: what was read since belongs to nobody."""
    for one in consumer.committed(consumer.assignment(), timeout=WAIT_SECONDS):
        place = one.offset if one.offset >= 0 else confluent_kafka.OFFSET_BEGINNING
        consumer.seek(TopicPartition(one.topic, one.partition, place))


def produce(address, records):
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "linger.ms": 5})
    for number in range(records):
        producer.produce(SOURCE, str(number).encode(), partition=number % PARTITIONS)
        producer.poll(0)
    if producer.flush(WAIT_SECONDS):
        raise Failure("records were not acknowledged")


def read(address, isolation):
    """All values of the target up to its end, for such a reader."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "counter",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(TARGET, index, 0) for index in range(PARTITIONS)])
    values, ended, began = collections.Counter(), set(), time.monotonic()
    while len(ended) < PARTITIONS:
        if time.monotonic() - began > WAIT_SECONDS:
            raise Failure(f"only partitions {ended} of the target could be read to their ends")
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
        else:
            values[int(message.value())] += 1
    consumer.close()
    return values


def committed(address):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": GROUP})
    partitions = [TopicPartition(SOURCE, index) for index in range(PARTITIONS)]
    offsets = [one.offset for one in consumer.committed(partitions, timeout=WAIT_SECONDS)]
    consumer.close()
    return offsets


def run(broker, records, kills, log):
    create_topic(broker.address, SOURCE)
    create_topic(broker.address, TARGET)
    produce(broker.address, records)
    worker, restarts = Worker(broker.address, log), 0
    try:
        for kill in range(kills):
            time.sleep(LIFE_SECONDS)
            if kill % 2:
                broker.kill()
                broker.start()
            else:
                worker.kill()
            if worker.process.poll() not in (None, FENCED_OR_FATAL, -signal.SIGKILL):
                raise Failure(f"the worker ended with {worker.process.poll()}")
            if worker.process.poll() is not None:
                worker, restarts = Worker(broker.address, log), restarts + 1
        wanted = [records // PARTITIONS] * PARTITIONS
        began = time.monotonic()
        while (found := committed(broker.address)) != wanted:
            if time.monotonic() - began > 3 * WAIT_SECONDS:
                raise Failure(f"offsets {found} are committed instead of {wanted}")
            if worker.process.poll() is not None:
                worker, restarts = Worker(broker.address, log), restarts + 1
            time.sleep(0.5)
    finally:
        worker.kill()
    check(broker.address, records)
    print(f"{records} records moved once each; {kills} kills, {restarts} new workers", flush=True)


def check(address, records):
    found, wanted = read(address, "read_committed"), {2 * number for number in range(records)}
    twice = {value: count for value, count in found.items() if count > 1}
    if twice or set(found) != wanted:
        missing = sorted(wanted - set(found))
        raise Failure(f"{len(missing)} missing {missing[:10]}; more than once: {dict(list(twice.items())[:10])}")
    everything = read(address, "read_uncommitted")
    aborted = sum(everything.values()) - records
    if aborted <= 0:
        raise Failure("nothing was aborted, so the test shows little")
    print(f"{aborted} records of aborted transactions are not seen", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--records", type=int, default=6000)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    given = parser.parse_args()
    if given.work:
        return work(given.work)
    records = given.records - given.records % PARTITIONS
    with tempfile.TemporaryDirectory(prefix="furlong-eos-") as directory:
        directory = Path(directory)
        broker = FixedBroker(given.broker, directory / "data", directory / "log", SETTINGS)
        try:
            broker.start()
            run(broker, records, given.kills, directory / "worker")
            broker.stop()
        except Failure as failure:
            worker = directory / "worker"
            said = worker.read_text(errors="replace")[-2000:] if worker.exists() else ""
            print(f"FAILED: {failure}\n{broker.state()}\nthe workers said:\n{said}", file=sys.stderr)
            return 1
        finally:
            broker.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
