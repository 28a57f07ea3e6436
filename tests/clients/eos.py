# SPDX-License-Identifier: Apache-2.0
"""Exactly once, by counting: loops of real clients that consume, transform and produce in transactions, and are killed.

Each client has a broker of its own, an input and an output of four partitions, and loops (actors/acting.py) that give their
offsets into the transaction: two loops of one group where the client tells the broker its generation (KIP-447), one where it
does not. The loops are killed with -9, a fifth of the times the broker instead, and started again at once; one transaction in
eight is aborted by the loop itself. At last two other clients read the output with read_committed: partition by partition each
record of the input must be there once, in its order, and nothing of what was aborted. Exit code 1 if anything is wrong.

    tests/clients/eos.py                      short form: 4 kills of two clients
    tests/clients/eos.py --long               20 kills of every client
    tests/clients/eos.py --only Java --kills 7 --seed 3
    tests/clients/eos.py --apache             against Apache Kafka
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import confluent_kafka
import kafka
from actors import QUIET, Actor, new_broker, present
from broker import Failure
from confluent_kafka import TopicPartition
from groups import create_topic, say

PARTITIONS = 4
RECORDS_PER_KILL = 400
WAIT_SECONDS_MAX = 180
# Longer than the time-out of the loops' transactions.
DECIDED_SECONDS_MAX = 30
# From a transaction that has begun to the kill.
DELAY_SECONDS_MAX = 0.3
BROKER_ONE_IN = 5
# How many loops run at once.
LOOPS = {"librdkafka": 2, "kafka-python": 2, "aiokafka": 1, "kafkajs": 1, "Java": 2, "franz-go": 2}
SHORT, SHORT_KILLS, LONG_KILLS = ("librdkafka", "Java"), 4, 20
SETTINGS = ("group.initial.rebalance.delay.ms=100", "group.min.session.timeout.ms=1000")
APACHE = ("transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",)
SOURCE, TARGET, GROUP = "input", "output", "loops"
# Loops that end by themselves are started again, but not for ever.
RESTARTS_MAX = 40


class Run:
    """One client over the life of one broker."""

    def __init__(self, client, broker, folder, kills, chance):
        self.client, self.broker, self.folder, self.kills, self.chance = client, broker, folder, kills, chance
        self.loops, self.fed, self.restarts, self.renamed = {}, 0, 0, 0
        self.said = {"begun": 0, "committed": 0, "aborted": 0}
        self.change = threading.Condition()
        self.killed = {"loop": 0, "broker": 0, "within a transaction": 0}
        self.under_way = set()

    def hear(self, actor, words):
        if words and words[0] in self.said:
            with self.change:
                self.said[words[0]] += 1
                (self.under_way.add if words[0] == "begun" else self.under_way.discard)(actor.name)
                self.change.notify_all()

    def start(self, name):
        words = [self.broker.address, name, GROUP, SOURCE, TARGET]
        self.loops[name] = Actor(self.client, "loop", words, self.hear, self.folder / f"{name}.log")

    def look_after(self):
        """Starts again what ended by itself."""
        for name, loop in list(self.loops.items()):
            if not loop.is_alive():
                self.restarts += 1
                if self.restarts > RESTARTS_MAX:
                    raise Failure(f"loops ended by themselves {self.restarts} times; the last words: {loop.words()}")
                self.under_way.discard(name)
                self.start(name)

    def feed(self):
        producer = confluent_kafka.Producer(
            {**QUIET, "bootstrap.servers": self.broker.address, "linger.ms": 5, "enable.idempotence": True}
        )
        for number in range(self.fed, self.fed + RECORDS_PER_KILL):
            producer.produce(SOURCE, value_of(number), partition=number % PARTITIONS)
        if producer.flush(WAIT_SECONDS_MAX):
            raise Failure("the input was not acknowledged")
        self.fed += RECORDS_PER_KILL

    def wait_for_transaction(self):
        """Until one has begun that had not when this was called."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        with self.change:
            begun = self.said["begun"]
            while self.said["begun"] == begun:
                if time.monotonic() > deadline:
                    words = "; ".join(f"{name}: {loop.words()}" for name, loop in self.loops.items())
                    raise Failure(f"no transaction began within {WAIT_SECONDS_MAX} s ({self.said}); the last words: {words}")
                self.change.wait(0.5)
                self.look_after()

    def kill_one(self, number):
        time.sleep(self.chance.random() * DELAY_SECONDS_MAX)
        if number % BROKER_ONE_IN == BROKER_ONE_IN - 2:
            self.killed["broker"] += 1
            self.broker.kill()
            self.broker.start()
            return
        name = self.chance.choice(sorted(self.loops))
        self.loops[name].kill()
        self.killed["loop"] += 1
        self.killed["within a transaction"] += name in self.under_way
        self.under_way.discard(name)
        if number == self.kills // 2 and LOOPS[self.client] > 1:
            # Nobody comes back under this name: its transaction ends by its time-out.
            del self.loops[name]
            self.renamed += 1
            name = f"loop-again-{self.renamed}"
        self.start(name)

    def play(self):
        for topic in (SOURCE, TARGET):
            create_topic(self.broker.address, topic, PARTITIONS)
        for number in range(LOOPS[self.client]):
            self.start(f"loop-{number}")
        for number in range(self.kills):
            self.feed()
            self.wait_for_transaction()
            self.kill_one(number)
        self.drain()
        for loop in self.loops.values():
            loop.leave()

    def drain(self):
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (found := self.committed()) != self.ends():
            if time.monotonic() > deadline:
                words = "; ".join(f"{name}: {loop.words()}" for name, loop in self.loops.items())
                raise Failure(f"the loops did not come to the end: {found} of {self.ends()}; their last words: {words}")
            self.look_after()
            time.sleep(0.5)

    def committed(self):
        consumer = confluent_kafka.Consumer({**QUIET, "bootstrap.servers": self.broker.address, "group.id": GROUP})
        try:
            places = [TopicPartition(SOURCE, partition) for partition in range(PARTITIONS)]
            return [one.offset for one in consumer.committed(places, timeout=30)]
        except confluent_kafka.KafkaException as error:
            # The coordinator may still be on its way back.
            return str(error)
        finally:
            consumer.close()

    def ends(self):
        return [self.fed // PARTITIONS] * PARTITIONS

    def wait_for_decisions(self):
        """What a loop left open that was killed and came back under another name is aborted when its time is over."""
        began = time.monotonic()
        while (ends := ends_of(self.broker.address, "read_committed")) != ends_of(self.broker.address, "read_uncommitted"):
            if time.monotonic() - began > DECIDED_SECONDS_MAX:
                raise Failure(f"a transaction hangs: what is committed ends at {ends}")
            time.sleep(0.2)

    def judge(self):
        """Gives how many records were aborted."""
        self.wait_for_decisions()
        for reader in (read_librdkafka, read_kafka_python):
            count(reader(self.broker.address, "read_committed"), self.fed)
        found = sum(map(len, read_librdkafka(self.broker.address, "read_uncommitted").values()))
        if self.said["aborted"] and found <= self.fed:
            raise Failure("nothing that was aborted lies in the output: that none was read proves nothing")
        return found - self.fed


def value_of(number):
    return b"%08d" % number


def count(found, fed):
    """Every record of the input once, in its order, and nothing else."""
    for partition in range(PARTITIONS):
        values = found.get(partition, [])
        due = [
            b"%d:%d:%s" % (partition, offset, value_of(offset * PARTITIONS + partition)[::-1])
            for offset in range(fed // PARTITIONS)
        ]
        if values == due:
            continue
        lost, new = sorted(set(due) - set(values)), sorted(set(values) - set(due))
        twice = sorted({value for value in values if values.count(value) > 1})
        raise Failure(
            f"partition {partition} of the output has {len(values)} records instead of {len(due)}: lost {len(lost)} "
            f"{lost[:5]}, twice {len(twice)} {twice[:5]}, never sent {len(new)} {new[:5]}"
            + ("" if lost or twice or new else ", in another order")
        )


def read_librdkafka(address, isolation):
    """Values by partition, up to the end, which must be the same with both kinds of isolation."""
    consumer = confluent_kafka.Consumer(
        {
            **QUIET,
            "bootstrap.servers": address,
            "group.id": "reader",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
        }
    )
    found, ended, deadline = {}, set(), time.monotonic() + WAIT_SECONDS_MAX
    try:
        consumer.assign([TopicPartition(TARGET, partition, 0) for partition in range(PARTITIONS)])
        while len(ended) < PARTITIONS:
            if time.monotonic() > deadline:
                raise Failure(f"librdkafka did not come to the end of the output with {isolation}")
            for message in consumer.consume(500, timeout=1):
                if not message.error():
                    found.setdefault(message.partition(), []).append(message.value())
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise Failure(f"librdkafka reads the output: {message.error()}")
        return found
    finally:
        consumer.close()


def new_kafka_python(address, isolation):
    return kafka.KafkaConsumer(
        bootstrap_servers=address, group_id=None, enable_auto_commit=False, isolation_level=isolation, check_crcs=True
    )


PLACES = [kafka.TopicPartition(TARGET, partition) for partition in range(PARTITIONS)]


def ends_of(address, isolation):
    """Up to where each partition can be read."""
    consumer = new_kafka_python(address, isolation)
    try:
        return consumer.end_offsets(PLACES)
    finally:
        consumer.close()


def read_kafka_python(address, isolation):
    """Values by partition, up to the end, which is known before."""
    ends = ends_of(address, "read_uncommitted")
    found, deadline = {}, time.monotonic() + WAIT_SECONDS_MAX
    consumer, places = new_kafka_python(address, isolation), PLACES
    try:
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        while any(consumer.position(place) < ends[place] for place in places):
            if time.monotonic() > deadline:
                raise Failure(f"kafka-python did not come to the end of the output with {isolation}")
            for place, records in consumer.poll(timeout_ms=500).items():
                found.setdefault(place.partition, []).extend(record.value for record in records)
        return found
    finally:
        consumer.close()


def play(options, folder, client):
    """Gives what went wrong."""
    folder.mkdir()
    began = time.monotonic()
    settings = (*SETTINGS, *APACHE) if options.apache else SETTINGS
    broker = new_broker(options, folder, settings)
    run = Run(client, broker, folder, options.kills, random.Random(f"{options.seed} {client}"))
    try:
        broker.start()
        run.play()
        aborted = run.judge()
        broker.stop()
    except (Failure, confluent_kafka.KafkaException, kafka.errors.KafkaError) as failure:
        return f"FAILED: {client}, seed {options.seed}: {type(failure).__name__}: {failure}\n{broker.state()}"
    finally:
        for loop in run.loops.values():
            loop.kill()
        broker.kill()
    say(
        f"{client}: {run.fed} records, each once; {run.said['committed']} transactions committed, {run.said['aborted']} aborted; "
        f"{aborted} records aborted, none read; killed {run.killed['loop']} loops, {run.killed['within a transaction']} of them "
        f"within a transaction, and {run.killed['broker']} brokers; {run.restarts} loops ended by themselves; "
        f"{time.monotonic() - began:.0f} s"
    )
    return None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    parser.add_argument("--only", help=f"some of {','.join(LOOPS)}")
    parser.add_argument("--long", action="store_true", help=f"{LONG_KILLS} kills of every client")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="clients at once (default 2)")
    parser.add_argument("--apache", action="store_true", help="against Apache Kafka (tests/kafka_tools/install)")
    options = parser.parse_args()
    options.kills = options.kills or (LONG_KILLS if options.long else SHORT_KILLS)
    options.clients = options.only.split(",") if options.only else list(LOOPS if options.long else SHORT)
    if unknown := set(options.clients) - set(LOOPS):
        parser.error(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(LOOPS)}")
    return options


def main():
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="furlong-eos-"))
    try:
        clients = present(options.clients)
        with ThreadPoolExecutor(max_workers=options.jobs) as pool:
            wrong = list(filter(None, pool.map(lambda client: play(options, folder / client, client), clients)))
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(*wrong, sep="\n", file=sys.stderr)
    print(f"exactly once: {len(clients) - len(wrong)} clients passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
