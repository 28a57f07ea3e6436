# SPDX-License-Identifier: Apache-2.0
"""Groups of the new protocol (KIP-848) of real clients against the real program: three members that grow, leave and crash, a
broker that is killed, and groups that go from the classic protocol to the new one and back while they are consumed.

The stories are those of groups.py, with the same count. Exit code 1 if anything is wrong.

    tests/clients/consumer_groups.py                  all of them
    tests/clients/consumer_groups.py --only Java
"""

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from actors import admin, present
from broker import Failure
from confluent_kafka import ConsumerGroupType
from groups import Story, create_topic, play_story, say

SETTINGS = (
    "group.initial.rebalance.delay.ms=100",
    "group.min.session.timeout.ms=1000",
    "group.consumer.min.session.timeout.ms=1000",
    "group.consumer.session.timeout.ms=3000",
    "group.consumer.min.heartbeat.interval.ms=100",
    "group.consumer.heartbeat.interval.ms=300",
    "num.partitions=6",
)
CLASSIC = "cooperative-sticky"


class NewStory(Story):
    """A story whose members speak the new protocol."""

    def expect_type(self, wanted):
        listed = admin(self.broker.address).list_consumer_groups(request_timeout=30, types={wanted}).result().valid
        if self.group not in {group.group_id for group in listed}:
            raise Failure(f"it is not listed as {wanted}")

    def describe(self, expected):
        super().describe(expected)
        self.expect_type(ConsumerGroupType.CONSUMER)


class PatternStory(NewStory):
    """Its members name their topics by a regular expression, which the broker looks up."""

    def subscription(self):
        return f"^no-such-topic|{self.topic[:-2]}.*"


class Migration(NewStory):
    """A classic member, joined by a new one, which stays alone, is joined by a classic one, and leaves it alone."""

    def run(self):
        create_topic(self.broker.address, self.topic)
        self.produce()
        old = self.add("old", CLASSIC)
        self.settle(1, "classic")
        self.drain()
        self.expect_type(ConsumerGroupType.CLASSIC)
        new = self.add("new")
        self.settle(2, "a new member has come")
        self.produce()
        self.drain()
        self.expect_type(ConsumerGroupType.CONSUMER)
        self.broker.kill()
        self.broker.start()
        self.produce()
        self.drain()
        self.settle(2, "the broker was killed")
        old.leave()
        self.settle(1, "the classic member has left")
        last = self.add("last", CLASSIC)
        self.settle(2, "a classic member has come")
        self.produce()
        new.leave()
        self.settle(1, "the last new member has left")
        self.drain()
        self.expect_type(ConsumerGroupType.CLASSIC)
        last.leave()
        self.live()
        if self.committed() != self.ends():
            raise Failure(f"committed {self.committed()} instead of {self.ends()}")
        self.report(f"{self.produced} records consumed, none after it was committed")


STORIES = [
    ("librdkafka", "consumer:uniform", NewStory),
    ("librdkafka", "consumer:range", NewStory),
    ("librdkafka", "consumer:uniform", Migration),
    ("Java", "consumer:uniform", NewStory),
    ("Java", "consumer:range", PatternStory),
    ("Java", "consumer:uniform", Migration),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    parser.add_argument("--only", help="librdkafka or Java")
    options = parser.parse_args()
    options.apache = False
    folder = Path(tempfile.mkdtemp(prefix="furlong-consumer-groups-"))
    stories = [one for one in STORIES if options.only in (None, one[0])]
    present([client for client, _, _ in stories])
    try:
        with ThreadPoolExecutor(3) as pool:
            futures = [
                pool.submit(play_story, options, folder / str(place), client, assignor, say, SETTINGS, kind)
                for place, (client, assignor, kind) in enumerate(stories)
            ]
            failures = [wrong for future in futures if (wrong := future.result())]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
