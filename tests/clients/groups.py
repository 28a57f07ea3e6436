# SPDX-License-Identifier: Apache-2.0
"""Consumer groups of real clients against the real program: three members that come, leave and crash, and a broker that is killed.

Each story produces numbered records, lets the members of one group consume and commit them, and counts: after the last
commit every record was consumed at least once, each partition had one owner at a time, and the committed offsets are the
ends of the partitions. Exit code 1 if anything is wrong."""

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import confluent_kafka
import kafka
from confluent_kafka.admin import AdminClient

from broker import Broker, Failure

PARTITIONS = 6
RECORDS_PER_ROUND = 600
WAIT_SECONDS_MAX = 60
SETTINGS = ("group.initial.rebalance.delay.ms=100", "num.partitions=6")


class Log:
    """What the members of a group consumed."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = {}

    def take(self, member, partition, value):
        with self.lock:
            self.seen.setdefault(value, []).append((member, partition))

    def count(self):
        with self.lock:
            return len(self.seen)


class Member:
    """One member, a process of its own: it can be asked to leave, and it can be killed."""

    def __init__(self, name, log, command):
        self.name, self.log, self.assigned = name, log, []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            kind, *numbers = line.split()
            if kind == "assigned":
                self.assigned = [int(number) for number in numbers]
            else:
                self.log.take(self.name, int(numbers[0]), int(numbers[1]))
        self.assigned = []

    def is_alive(self):
        return self.process.poll() is None

    def end(self, how):
        self.process.send_signal(how)
        code = self.process.wait(30)
        self.reader.join(30)
        if how == signal.SIGTERM and code != 0:
            raise Failure(f"member {self.name} ended with {code}")


def play(client, name, address, group, topic, assignor):
    """The process of a member: says what it is assigned and what it consumes."""
    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    {"confluent": play_confluent, "kafka-python": play_kafka_python}[client](
        ends, name, address, group, topic, assignor
    )


class Assigned:
    """Says what a member is assigned whenever that changes."""

    def __init__(self):
        self.said = None

    def tell(self, partitions):
        if partitions != self.said:
            print("assigned", *partitions, flush=True)
            self.said = partitions


def play_confluent(ends, name, address, group, topic, assignor):
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": group,
            "client.id": name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "partition.assignment.strategy": assignor,
        }
    )
    consumer.subscribe([topic])
    assigned = Assigned()
    while not ends.is_set():
        messages = consumer.consume(20, timeout=0.1)
        assigned.tell(sorted(one.partition for one in consumer.assignment()))
        for message in messages:
            if not message.error():
                print("record", message.partition(), int(message.value()), flush=True)
        try:
            consumer.commit(asynchronous=False)
        except confluent_kafka.KafkaException as error:
            if not error.args[0].retriable() and error.args[0].code() not in RETRIED:
                raise
    consumer.close()


# What a member is told whose generation is over; whoever follows it consumes the records again.
RETRIED = {
    confluent_kafka.KafkaError.ILLEGAL_GENERATION,
    confluent_kafka.KafkaError.UNKNOWN_MEMBER_ID,
    confluent_kafka.KafkaError.REBALANCE_IN_PROGRESS,
    confluent_kafka.KafkaError._STATE,
    confluent_kafka.KafkaError._ASSIGNMENT_LOST,
    confluent_kafka.KafkaError._NO_OFFSET,
    confluent_kafka.KafkaError._TIMED_OUT,
    confluent_kafka.KafkaError._TRANSPORT,
    confluent_kafka.KafkaError._WAIT_COORD,
}


def play_kafka_python(ends, name, address, group, topic, _assignor):
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=address,
        group_id=group,
        client_id=name,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
        max_poll_records=20,
    )
    assigned = Assigned()
    while not ends.is_set():
        polled = consumer.poll(timeout_ms=100)
        assigned.tell(sorted(one.partition for one in consumer.assignment()))
        for records in polled.values():
            for record in records:
                print("record", record.partition, int(record.value), flush=True)
        try:
            consumer.commit()
        except kafka.errors.KafkaError as error:
            if not isinstance(error, kafka.errors.CommitFailedError) and not error.retriable:
                raise
    consumer.close()


class Story:
    """One group of one kind of member over the life of one broker."""

    def __init__(self, broker, kind, assignor, report):
        self.broker, self.kind, self.assignor, self.report = broker, kind, assignor, report
        self.topic = f"t-{kind}-{assignor}"
        self.group = f"g-{self.topic}"
        self.log, self.members, self.produced = Log(), [], 0

    def produce(self):
        producer = confluent_kafka.Producer({"bootstrap.servers": self.broker.address, "linger.ms": 5})
        for number in range(self.produced, self.produced + RECORDS_PER_ROUND):
            producer.produce(self.topic, str(number).encode(), partition=number % PARTITIONS)
        if producer.flush(30):
            raise Failure("records were not acknowledged within 30 s")
        self.produced += RECORDS_PER_ROUND

    def command(self, name):
        place = (self.broker.address, self.group, self.topic)
        return [sys.executable, __file__, "--member", self.kind, name, *place, self.assignor]

    def add(self, name):
        member = Member(name, self.log, self.command(name))
        self.members.append(member)
        return member

    def live(self):
        for member in self.members:
            if member.process.poll() not in (None, 0, -signal.SIGKILL):
                raise Failure(f"member {member.name} ended with {member.process.poll()}")
        return [member for member in self.members if member.is_alive()]

    def settle(self, count, what):
        """Waits until every partition has one owner among so many members."""
        began = time.monotonic()
        while time.monotonic() - began < WAIT_SECONDS_MAX:
            owned = [one for member in self.live() for one in member.assigned]
            owners = [member for member in self.live() if member.assigned]
            if sorted(owned) == list(range(PARTITIONS)) and len(owners) == count:
                took = time.monotonic() - began
                self.report(f"{self.group}: {what}: {count} members own all partitions after {took:.1f} s")
                return
            time.sleep(0.05)
        shown = {member.name: member.assigned for member in self.live()}
        raise Failure(f"{self.group}: {what}: the partitions were not assigned: {shown}")

    def drain(self):
        """Waits until everything that was produced was consumed and committed."""
        began = time.monotonic()
        while time.monotonic() - began < WAIT_SECONDS_MAX:
            self.live()
            if self.log.count() == self.produced and self.committed() == self.ends():
                return
            time.sleep(0.2)
        raise Failure(
            f"{self.group}: {self.log.count()} of {self.produced} records were consumed; committed "
            f"{self.committed()}, ends {self.ends()}"
        )

    def committed(self):
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.broker.address, "group.id": self.group})
        partitions = [confluent_kafka.TopicPartition(self.topic, index) for index in range(PARTITIONS)]
        committed = [one.offset for one in consumer.committed(partitions, timeout=30)]
        consumer.close()
        return committed

    def ends(self):
        return [self.produced // PARTITIONS] * PARTITIONS

    def run(self):
        create_topic(self.broker.address, self.topic)
        self.produce()
        first = self.add("first")
        self.settle(1, "alone")
        self.drain()
        second = self.add("second")
        third = self.add("third")
        self.settle(3, "grown")
        self.produce()
        self.drain()
        self.describe({"first", "second", "third"})
        second.end(signal.SIGTERM)
        self.settle(2, "one has left")
        self.produce()
        self.drain()
        third.end(signal.SIGKILL)
        self.settle(1, "one has crashed")
        self.produce()
        self.drain()
        self.broker.kill()
        self.broker.start()
        self.produce()
        self.drain()
        self.settle(1, "the broker was killed")
        first.end(signal.SIGTERM)
        self.live()
        if self.committed() != self.ends():
            raise Failure(f"{self.group}: committed {self.committed()} instead of {self.ends()}")
        twice = sum(1 for seen in self.log.seen.values() if len(seen) > 1)
        self.report(f"{self.group}: {self.produced} records consumed, {twice} of them more than once")

    def describe(self, expected):
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        described = admin.describe_consumer_groups([self.group], request_timeout=30)[self.group].result()
        names = {member.client_id for member in described.members}
        owned = sorted(
            one.partition for member in described.members for one in member.assignment.topic_partitions
        )
        if described.state.name != "STABLE" or names != expected or owned != list(range(PARTITIONS)):
            raise Failure(f"{self.group}: described as {described.state} {names} {owned}")
        listed = admin.list_consumer_groups(request_timeout=30).result().valid
        if self.group not in {group.group_id for group in listed}:
            raise Failure(f"{self.group} is not listed")


def play_story(broker, client, assignor, report):
    story = Story(broker, client, assignor, report)
    try:
        story.run()
    finally:
        for member in story.members:
            if member.is_alive():
                member.end(signal.SIGKILL)


def create_topic(address, topic):
    admin = AdminClient({"bootstrap.servers": address})
    new = confluent_kafka.admin.NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)
    admin.create_topics([new])[topic].result(30)


def fixed_port():
    """A free port that the system gives to nobody who connects: a client that tries again and again to reach a broker that is
    down would be given that very port in the end, and be connected to itself."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for port in range(first - 1, 1024, -1):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failure("no port is free")


class FixedBroker(Broker):
    """A broker that comes back where it was."""

    def start(self):
        self.address = self.address or f"127.0.0.1:{fixed_port()}"
        began = time.monotonic()
        start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as out:
            command = [self.program, "serve", "--data", self.data, "--listen", self.address, *self.settings]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        while time.monotonic() - began < WAIT_SECONDS_MAX:
            if b"serving on" in self.log.read_bytes()[start:]:
                return
            if self.process.poll() is not None:
                raise Failure(self.state())
            time.sleep(0.05)
        raise Failure("the broker did not come back")


def kcat(broker, report):
    """A group of kcat: it joins, consumes everything, and leaves."""
    topic = "t_kcat"
    create_topic(broker.address, topic)
    lines = "".join(f"{number}\n" for number in range(RECORDS_PER_ROUND))
    command = ["kcat", "-b", broker.address, "-t", topic, "-P"]
    subprocess.run(command, input=lines.encode(), check=True, timeout=60)
    command = ["kcat", "-b", broker.address, "-X", "auto.offset.reset=earliest", "-G", "g-kcat", "-e", "-q", topic]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=WAIT_SECONDS_MAX)
    got = sorted(int(line) for line in done.stdout.split())
    if got != list(range(RECORDS_PER_ROUND)):
        raise Failure(f"kcat -G read {len(got)} records")
    again = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=WAIT_SECONDS_MAX)
    if again.stdout:
        raise Failure(f"kcat -G read {len(again.stdout.split())} records again after it had committed them")
    report(f"kcat -G: {len(got)} records, none of them again")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    parser.add_argument("--only", help="kcat, confluent or kafka-python")
    parser.add_argument("--member", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        play(*options.member)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="furlong-groups-"))
    broker = FixedBroker(options.broker, folder / "data", folder / "log", SETTINGS)

    def report(line):
        print(line, flush=True)

    try:
        broker.start()
        if options.only in (None, "kcat"):
            kcat(broker, report)
        if options.only in (None, "confluent"):
            for assignor in ("range", "roundrobin", "cooperative-sticky"):
                play_story(broker, "confluent", assignor, report)
        if options.only in (None, "kafka-python"):
            play_story(broker, "kafka-python", "range", report)
        broker.stop()
    except (Failure, subprocess.SubprocessError, confluent_kafka.KafkaException) as failure:
        print(f"FAILED: {failure}\n{broker.state()}", file=sys.stderr)
        return 1
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
