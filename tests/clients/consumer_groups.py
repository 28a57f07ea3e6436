# SPDX-License-Identifier: Apache-2.0
"""Groups of the new protocol (KIP-848) of real clients against the real program: three members that grow, leave and crash, a
broker that is killed, and groups that go from the classic protocol to the new one and back while they are consumed.

The stories are those of groups.py, with the same count: every record is consumed, each partition has one owner at a time, and
the committed offsets are the ends of the partitions. Exit code 1 if anything is wrong."""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import confluent_kafka
from confluent_kafka import ConsumerGroupType
from confluent_kafka.admin import AdminClient

from broker import Failure
from groups import RETRIED, Assigned, FixedBroker, Story, create_topic

SETTINGS = (
    "group.initial.rebalance.delay.ms=100",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.heartbeat.interval.ms=300",
    "num.partitions=6",
)

# What a member is told whose epoch is over; whoever follows it consumes the records again.
RETRIED_HERE = RETRIED | {
    confluent_kafka.KafkaError.STALE_MEMBER_EPOCH,
    confluent_kafka.KafkaError.FENCED_MEMBER_EPOCH,
    confluent_kafka.KafkaError.GROUP_ID_NOT_FOUND,
}


def play(name, address, group, topic, protocol, assignor):
    """The process of a member: says what it is assigned and what it consumes."""
    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    settings = {
        "bootstrap.servers": address,
        "group.id": group,
        "client.id": name,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    if protocol == "consumer":
        settings["group.remote.assignor"] = assignor
    else:
        settings |= {
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "partition.assignment.strategy": assignor,
        }
    consumer = confluent_kafka.Consumer(settings)
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
            if not error.args[0].retriable() and error.args[0].code() not in RETRIED_HERE:
                raise
    consumer.close()


class NewStory(Story):
    """A story whose members speak the new protocol, unless they are asked to speak the old one."""

    def __init__(self, broker, kind, assignor, report, places, by="topics"):
        super().__init__(broker, kind, f"{assignor}-{by}", report)
        self.remote, self.by, self.places = assignor, by, places
        self.protocol = "consumer"

    def command(self, name):
        spoken = self.remote if self.protocol == "consumer" else "cooperative-sticky"
        place = [name, self.broker.address, self.group, self.topic, self.protocol, spoken]
        if self.kind == "java":
            java = ["java", "-Xmx96m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", self.places]
            if self.by == "pattern":
                place[3] = f"no-such-topic|{self.topic[:-2]}.*"
            return [*java, "Member", *place, self.by]
        return [sys.executable, __file__, "--member", *place]

    def describe(self, expected):
        super().describe(expected)
        self.expect_type(ConsumerGroupType.CONSUMER)

    def expect_type(self, wanted):
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        listed = admin.list_consumer_groups(request_timeout=30, types={wanted}).result().valid
        if self.group not in {group.group_id for group in listed}:
            raise Failure(f"{self.group} is not listed as {wanted}")


class Migration(NewStory):
    """A classic member, joined by a new one, which stays alone, is joined by a classic one, and leaves it alone."""

    def add_as(self, protocol, name):
        self.protocol = protocol
        return self.add(name)

    def run(self):
        create_topic(self.broker.address, self.topic)
        self.produce()
        old = self.add_as("classic", "old")
        self.settle(1, "classic")
        self.drain()
        self.expect_type(ConsumerGroupType.CLASSIC)
        new = self.add_as("consumer", "new")
        self.settle(2, "a new member has come")
        self.produce()
        self.drain()
        self.expect_type(ConsumerGroupType.CONSUMER)
        self.broker.kill()
        self.broker.start()
        self.produce()
        self.drain()
        self.settle(2, "the broker was killed")
        old.end(signal.SIGTERM)
        self.settle(1, "the classic member has left")
        last = self.add_as("classic", "last")
        self.settle(2, "a classic member has come")
        self.produce()
        new.end(signal.SIGTERM)
        self.settle(1, "the last new member has left")
        self.drain()
        self.expect_type(ConsumerGroupType.CLASSIC)
        last.end(signal.SIGTERM)
        self.live()
        if self.committed() != self.ends():
            raise Failure(f"{self.group}: committed {self.committed()} instead of {self.ends()}")
        twice = sum(1 for seen in self.log.seen.values() if len(seen) > 1)
        self.report(f"{self.group}: {self.produced} records consumed, {twice} of them more than once")


def play_story(story):
    try:
        story.run()
    finally:
        for member in story.members:
            if member.is_alive():
                member.end(signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    parser.add_argument("--jars", type=Path, default=Path("target/clients/java"))
    parser.add_argument("--classes", type=Path, default=Path("target/clients/classes"))
    parser.add_argument("--only", help="confluent or java")
    parser.add_argument("--member", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        play(*options.member)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="furlong-consumer-groups-"))
    broker = FixedBroker(options.broker, folder / "data", folder / "log", SETTINGS)
    places = f"{options.jars}/*:{options.classes}"

    def report(line):
        print(line, flush=True)

    stories = [
        ("confluent", NewStory, "uniform", "topics"),
        ("confluent", NewStory, "range", "topics"),
        ("confluent", Migration, "uniform", "migration"),
        ("java", NewStory, "uniform", "topics"),
        ("java", NewStory, "range", "pattern"),
        ("java", Migration, "uniform", "migration"),
    ]
    try:
        broker.start()
        for kind, story, assignor, by in stories:
            if options.only in (None, kind):
                play_story(story(broker, kind, assignor, report, places, by))
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
