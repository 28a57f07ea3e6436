# SPDX-License-Identifier: Apache-2.0
"""The three classic assignments in the textbook cases, by real clients: who gets which partition, as a table, and as it must be.

Members m0, m1 and m2 of one group join one after the other, so that their order is known; the group's leader, one of the
clients, runs the assignor, and the broker hands out what it says. The cases:

even      two topics of three partitions, all members subscribe to both
uneven    three topics of 1, 2 and 3 partitions; m0 subscribes to t1, m1 to t1 and t2, m2 to all three
leaving   as `even`, then m1 leaves

`range` and `roundrobin` give one answer each, which stands below. `sticky` may give several: it must be as even as the
subscriptions allow, and when a member leaves, whoever stays keeps what it had.
"""

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import confluent_kafka
from actors import ASSIGNORS, Actor, admin, new_broker, present
from broker import Failure
from groups import create_topic

SETTINGS = ("group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000")
WAIT_SECONDS_MAX = 60
# A group is at rest when nothing has changed for so long.
REST_SECONDS = 1.5
EVEN = {"t0": 3, "t1": 3}
UNEVEN = {"t1": 1, "t2": 2, "t3": 3}
# By case: topics, subscriptions, and who leaves at the end.
CASES = {
    "even": (EVEN, {"m0": ["t0", "t1"], "m1": ["t0", "t1"], "m2": ["t0", "t1"]}, None),
    "uneven": (UNEVEN, {"m0": ["t1"], "m1": ["t1", "t2"], "m2": ["t1", "t2", "t3"]}, None),
    "leaving": (EVEN, {"m0": ["t0", "t1"], "m1": ["t0", "t1"], "m2": ["t0", "t1"]}, "m1"),
}
# Range: topic by topic, the partitions in order over the members in order, the first ones get what is left over.
# Round robin: all partitions of all topics in order, dealt to the members in order, past those who do not subscribe.
DUE = {
    ("even", "range"): {"m0": "t0:0 t1:0", "m1": "t0:1 t1:1", "m2": "t0:2 t1:2"},
    ("even", "roundrobin"): {"m0": "t0:0 t1:0", "m1": "t0:1 t1:1", "m2": "t0:2 t1:2"},
    ("uneven", "range"): {"m0": "t1:0", "m1": "t2:0", "m2": "t2:1 t3:0 t3:1 t3:2"},
    ("uneven", "roundrobin"): {"m0": "t1:0", "m1": "t2:0", "m2": "t2:1 t3:0 t3:1 t3:2"},
    ("leaving", "range"): {"m0": "t0:0 t0:1 t1:0 t1:1", "m2": "t0:2 t1:2"},
    ("leaving", "roundrobin"): {"m0": "t0:0 t0:2 t1:1", "m2": "t0:1 t1:0 t1:2"},
}
# What is the client's own doing.
EXCUSED = {
    ("kafka-python", "roundrobin", "uneven"): "its assignor fails where a member does not subscribe to a topic (KeyError)",
    ("franz-go", "sticky", "leaving"): "it gives up everything before it joins again, and says so: nothing is left to keep",
}
STICKY = {"sticky", "cooperative-sticky"}
# How many partitions each member must have with a sticky assignor.
STICKY_SIZES = {
    "even": {"m0": 2, "m1": 2, "m2": 2},
    # t1 goes to m0, who can have nothing else, t3 to m2, since nobody else subscribes, so both of t2 go to m1.
    "uneven": {"m0": 1, "m1": 2, "m2": 3},
    "leaving": {"m0": 3, "m2": 3},
}


class Group:
    """The members of one case."""

    def __init__(self, broker, folder, client, assignor, case):
        self.broker, self.folder, self.client, self.assignor, self.case = broker, folder, client, assignor, case
        self.members, self.assigned, self.changed = {}, {}, time.monotonic()

    def hear(self, actor, words):
        if words and words[0] == "assigned":
            self.assigned[actor.name] = words[1:]
            self.changed = time.monotonic()

    def add(self, name, topics):
        prefixed = ",".join(self.topic(topic) for topic in topics)
        words = [self.broker.address, name, f"g-{self.prefix()}", prefixed, self.assignor]
        self.members[name] = Actor(self.client, "member", words, self.hear, self.folder / f"{self.prefix()}-{name}.log")

    def prefix(self):
        return f"{self.client}-{self.assignor}-{self.case}"

    def topic(self, name):
        return f"{self.prefix()}-{name}"

    def owned(self):
        """By member, without the prefix of the topics."""
        cut = len(self.topic(""))
        return {name: sorted(place[cut:] for place in self.assigned.get(name, [])) for name in self.members}

    def rest(self, count, places):
        """Waits until all have joined and everything has one owner, and stays so."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            owned = sorted(sum(self.owned().values(), []))
            if len(self.joined()) == count and owned == sorted(places) and time.monotonic() - self.changed > REST_SECONDS:
                return self.owned()
            for name, member in self.members.items():
                if not member.is_alive():
                    raise Failure(f"{self.prefix()}: {name} ended: {member.words()}")
            time.sleep(0.1)
        raise Failure(f"{self.prefix()}: the group found no rest: {self.owned()}, members {self.joined()}")

    def joined(self):
        group = f"g-{self.prefix()}"
        try:
            described = admin(self.broker.address).describe_consumer_groups([group], request_timeout=30)[group].result()
        except confluent_kafka.KafkaException:
            # The coordinator of a group that is new may still be loading.
            return []
        return [one.client_id for one in described.members] if described.state.name == "STABLE" else []

    def play(self):
        topics, subscriptions, leaver = CASES[self.case]
        for topic, partitions in topics.items():
            create_topic(self.broker.address, self.topic(topic), partitions)
        for name, subscribed in subscriptions.items():
            self.add(name, subscribed)
        places = [f"{topic}:{partition}" for topic, partitions in topics.items() for partition in range(partitions)]
        before = found = self.rest(len(subscriptions), places)
        if leaver:
            self.members.pop(leaver).leave()
            self.changed = time.monotonic()
            found = self.rest(len(subscriptions) - 1, places)
        self.judge(before, found)
        return found

    def judge(self, before, found):
        if self.assignor not in STICKY:
            due = {name: words.split() for name, words in DUE[self.case, self.assignor].items()}
            if found != due:
                raise Failure(f"{self.prefix()}: {found} instead of {due}")
            return
        sizes = {name: len(places) for name, places in found.items()}
        if sizes != STICKY_SIZES[self.case]:
            raise Failure(f"{self.prefix()}: {found}, so sizes {sizes} instead of {STICKY_SIZES[self.case]}")
        lost = {name: sorted(set(before[name]) - set(places)) for name, places in found.items()}
        if any(lost.values()):
            raise Failure(f"{self.prefix()}: who stayed lost {lost}: {before}, then {found}")

    def end(self):
        for member in self.members.values():
            member.kill()


def main():
    names = lambda text: text.split(",")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    parser.add_argument("--clients", type=names, default=["librdkafka", "Java"], help=f"some of {','.join(ASSIGNORS)}")
    parser.add_argument("--apache", action="store_true", help="against Apache Kafka (tests/kafka_tools/install)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="furlong-assignments-"))
    broker = new_broker(options, folder, SETTINGS)
    wrong = 0
    try:
        broker.start()
        print(f"{'client':<13} {'assignor':<19} {'case':<9} assignment")
        for client in present(options.clients):
            for assignor in ASSIGNORS[client]:
                with ThreadPoolExecutor(len(CASES)) as pool:
                    lines = pool.map(lambda case: line_of(broker, folder, client, assignor, case), CASES)
                    wrong += sum("FAILED" in line for line in map(show, lines))
        broker.stop()
    except Failure as failure:
        sys.exit(f"FAILED: {failure}\n{broker.state()}")
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"assignments: {wrong} wrong")
    return 1 if wrong else 0


def line_of(broker, folder, client, assignor, case):
    """Plays one case and gives its line of the table."""
    head = f"{client:<13} {assignor:<19} {case:<9}"
    if reason := EXCUSED.get((client, assignor, case)):
        return f"{head} -: {reason}"
    group = Group(broker, folder, client, assignor, case)
    try:
        found = group.play()
        words = "   ".join(f"{name}: {' '.join(places)}" for name, places in found.items())
    except (Failure, confluent_kafka.KafkaException) as failure:
        words = f"FAILED: {failure}"
    finally:
        group.end()
    return f"{head} {words}"


def show(line):
    print(line, flush=True)
    return line


if __name__ == "__main__":
    sys.exit(main())
