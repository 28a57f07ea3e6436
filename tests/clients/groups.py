# SPDX-License-Identifier: Apache-2.0
"""Consumer groups of real clients against the real program: three members that come, leave and crash, and a broker that is killed.

Each story has a broker of its own. It produces numbered records, lets the members of one group consume and commit them, and
counts: every record was consumed, none again after its offset was committed, each partition had one owner at a time, and the
committed offsets are the ends of the partitions. Exit code 1 if anything is wrong."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import confluent_kafka
from actors import ASSIGNORS, QUIET, Actor, admin, new_broker, present
from broker import Failure

PARTITIONS = 6
RECORDS_PER_ROUND = 600
WAIT_SECONDS_MAX = 60
SETTINGS = ("group.initial.rebalance.delay.ms=100", "group.min.session.timeout.ms=1000", "num.partitions=6")
# How many assignors of a client the short form plays, where it is not one.
SHORT = {"librdkafka": 3}


class Log:
    """What the members of a group consumed and committed, in the order in which they said so."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen, self.committed, self.wrong = {}, {}, []

    def take(self, member, place, offset, value):
        with self.lock:
            partition = int(place.rsplit(":", 1)[1])
            if value != offset * PARTITIONS + partition:
                self.wrong.append(f"{member} read {value} at offset {offset} of {place}")
            # Whoever takes a partition over reads it from its committed offset, and the one before it commits no more.
            if offset < self.committed.get(place, 0):
                self.wrong.append(f"{member} read offset {offset} of {place} again, after {self.committed[place]} was committed")
            self.seen.setdefault((place, offset), []).append(member)

    def commit(self, member, place, offset):
        with self.lock:
            if offset < self.committed.get(place, 0):
                self.wrong.append(f"{member} committed {offset} of {place}, behind {self.committed[place]}")
            self.committed[place] = offset

    def count(self):
        with self.lock:
            return len(self.seen)


class Story:
    """One group of one kind of member over the life of one broker."""

    def __init__(self, broker, folder, client, assignor, report):
        self.broker, self.folder, self.client, self.assignor = broker, folder, client, assignor
        self.topic = f"t-{client}-{assignor}".replace(":", "-")
        self.group = f"g-{self.topic}"
        self.log, self.members, self.assigned, self.produced = Log(), [], {}, 0
        self.report = lambda line: report(f"{client}, {assignor}: {line}")

    def hear(self, actor, words):
        if not words:
            return
        kind, *rest = words
        if kind == "assigned":
            self.assigned[actor.name] = sorted(int(place.rsplit(":", 1)[1]) for place in rest)
        elif kind == "record":
            self.log.take(actor.name, rest[0], int(rest[1]), int(rest[2]))
        elif kind == "committed":
            self.log.commit(actor.name, rest[0], int(rest[1]))

    def produce(self):
        producer = confluent_kafka.Producer(
            {**QUIET, "bootstrap.servers": self.broker.address, "linger.ms": 5, "enable.idempotence": True}
        )
        for number in range(self.produced, self.produced + RECORDS_PER_ROUND):
            producer.produce(self.topic, str(number).encode(), partition=number % PARTITIONS)
        if producer.flush(30):
            raise Failure("records were not acknowledged within 30 s")
        self.produced += RECORDS_PER_ROUND

    def subscription(self):
        return self.topic

    def add(self, name, assignor=None):
        words = [self.broker.address, name, self.group, self.subscription(), assignor or self.assignor]
        member = Actor(self.client, "member", words, self.hear, self.folder / f"{name}.log")
        self.members.append(member)
        return member

    def live(self):
        """The members that are there. None may have ended by itself, and nothing may be wrong so far."""
        for member in self.members:
            if (code := member.process.poll()) not in (None, 0, -9):
                raise Failure(f"member {member.name} ended with {code}: {member.words()}")
        if self.log.wrong:
            raise Failure(f"{len(self.log.wrong)} times: {self.log.wrong[0]}")
        return [member for member in self.members if member.is_alive()]

    def owned(self):
        return {member.name: self.assigned.get(member.name, []) for member in self.live()}

    def settle(self, count, what):
        """Waits until every partition has one owner among so many members."""
        began = time.monotonic()
        while time.monotonic() - began < WAIT_SECONDS_MAX:
            owned = [found for found in self.owned().values() if found]
            if sorted(sum(owned, [])) == list(range(PARTITIONS)) and len(owned) == count:
                took = time.monotonic() - began
                self.report(f"{what}: {count} members own all partitions after {took:.1f} s")
                return
            time.sleep(0.05)
        raise Failure(f"{what}: the partitions were not assigned: {self.owned()}")

    def drain(self):
        """Waits until everything that was produced was consumed and committed."""
        began = time.monotonic()
        while time.monotonic() - began < WAIT_SECONDS_MAX:
            self.live()
            if self.log.count() == self.produced and self.committed() == self.ends():
                return
            time.sleep(0.2)
        raise Failure(
            f"{self.log.count()} of {self.produced} records were consumed; committed {self.committed()}, ends {self.ends()}"
        )

    def committed(self):
        consumer = confluent_kafka.Consumer({**QUIET, "bootstrap.servers": self.broker.address, "group.id": self.group})
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
        second, third = self.add("second"), self.add("third")
        self.settle(3, "grown")
        self.produce()
        self.drain()
        self.describe({"first", "second", "third"})
        # What is under way while members go is what may come twice or never.
        self.produce()
        second.leave()
        self.settle(2, "one has left")
        self.drain()
        self.produce()
        third.kill()
        self.settle(1, "one has crashed")
        self.drain()
        self.produce()
        self.broker.kill()
        self.broker.start()
        self.produce()
        self.drain()
        self.settle(1, "the broker was killed")
        fourth = self.add("fourth")
        self.settle(2, "grown again")
        fourth.leave()
        first.leave()
        self.live()
        if self.committed() != self.ends():
            raise Failure(f"committed {self.committed()} instead of {self.ends()}")
        twice = sum(1 for seen in self.log.seen.values() if len(seen) > 1)
        self.report(f"{self.produced} records consumed, {twice} of them twice before they were committed, none after")

    def describe(self, expected):
        described = admin(self.broker.address).describe_consumer_groups([self.group], request_timeout=30)[self.group].result()
        # kafka-python and librdkafka say the name as it is, others add to it.
        names = {member.client_id for member in described.members}
        owned = sorted(
            one.partition for member in described.members for one in member.assignment.topic_partitions
        )
        if described.state.name != "STABLE" or names != expected or owned != list(range(PARTITIONS)):
            raise Failure(f"described as {described.state} {names} {owned}")
        listed = admin(self.broker.address).list_consumer_groups(request_timeout=30).result().valid
        if self.group not in {group.group_id for group in listed}:
            raise Failure("the group is not listed")


def play_story(options, folder, client, assignor, report, settings=SETTINGS, kind=Story):
    """Gives what went wrong."""
    folder.mkdir()
    broker = new_broker(options, folder, settings)
    story = kind(broker, folder, client, assignor, report)
    try:
        broker.start()
        story.run()
        broker.stop()
    except (Failure, subprocess.SubprocessError, confluent_kafka.KafkaException) as failure:
        return f"FAILED: {client}, {assignor}: {failure}\n{broker.state()}"
    finally:
        for member in story.members:
            member.kill()
        broker.kill()
    return None


def create_topic(address, topic, partitions=PARTITIONS):
    new = confluent_kafka.admin.NewTopic(topic, num_partitions=partitions, replication_factor=1)
    admin(address).create_topics([new])[topic].result(30)


def play_kcat(options, folder, _client, _assignor, report):
    """A group of kcat: it joins, consumes everything, and leaves. Gives what went wrong."""
    folder.mkdir()
    broker = new_broker(options, folder, SETTINGS)
    try:
        broker.start()
        kcat(broker, report)
        broker.stop()
    except (Failure, subprocess.SubprocessError, confluent_kafka.KafkaException) as failure:
        return f"FAILED: kcat: {failure}\n{broker.state()}"
    finally:
        broker.kill()
    return None


def kcat(broker, report):
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


def stories(options):
    """What is played: who, with which assignor."""
    clients = options.only.split(",") if options.only else ["kcat", *ASSIGNORS]
    if unknown := set(clients) - {"kcat", *ASSIGNORS}:
        raise Failure(f"no such client: {', '.join(sorted(unknown))}; there are kcat, {', '.join(ASSIGNORS)}")
    chosen = [("kcat", "range", play_kcat)] if "kcat" in clients else []
    for client in present([client for client in clients if client != "kcat"]):
        count = None if options.long else SHORT.get(client, 1)
        chosen += [(client, assignor, play_story) for assignor in ASSIGNORS[client][:count]]
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    parser.add_argument("--only", help=f"some of kcat,{','.join(ASSIGNORS)}")
    parser.add_argument("--long", action="store_true", help="every assignor of every client")
    parser.add_argument("--jobs", type=int, default=3, help="stories at once (default 3)")
    parser.add_argument("--apache", action="store_true", help="against Apache Kafka (tests/kafka_tools/install)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="furlong-groups-"))
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(max_workers=options.jobs) as pool:
            started = [
                pool.submit(play, options, folder / f"{client}-{assignor}", client, assignor, say)
                for client, assignor, play in stories(options)
            ]
            wrong = [one.result() for one in started if one.result()]
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(*wrong, sep="\n", file=sys.stderr)
    print(f"groups: {len(started) - len(wrong)} stories passed, {len(wrong)} failed, after {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def say(line):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
