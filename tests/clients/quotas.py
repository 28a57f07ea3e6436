# SPDX-License-Identifier: Apache-2.0
"""A producer and a consumer of librdkafka with quotas against the real program: both are held at their rate and told so
(`throttle_cb`), and go on freely once the quota is taken away.

A client may use what all windows but one bring at once, and then waits until they are forgotten. So the windows are made short here,
and what is counted are whole rounds of them. Exit code 1 if a rate is more than a third above
its quota, or less than half of it (a client that was held back comes again later than it may)."""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import confluent_kafka

from broker import Broker, Failure, call
from groups import create_topic

RATE = 1_000_000
WINDOWS = 3
ROUNDS = 2
SETTINGS = (f"quota.window.num={WINDOWS}", "quota.window.size.seconds=1")
VALUE = bytes(1000)
# What the consumer takes at its rate and in the first burst, and as much again for when it is free.
FILLED_BYTES = 2 * RATE * WINDOWS * (ROUNDS + 2)
SECONDS_MAX = 60


class Meter:
    """What a client has moved, and how often it was told to wait."""

    def __init__(self, name):
        self.name, self.bytes, self.told, self.told_seconds = name, 0, 0, 0.0

    def throttled(self, event):
        if event.throttle_time > 0:
            self.told += 1
            self.told_seconds += event.throttle_time

    def check(self, moved, seconds):
        """What is wrong, if anything is."""
        rate = moved / seconds
        print(
            f"quotas: the {self.name} had {rate / 1e6:.3f} MB/s of {RATE / 1e6:.3f} over {seconds:.1f} s,"
            f" and was told {self.told} times to wait, {self.told_seconds:.1f} s together",
            flush=True,
        )
        if not 1 / 2 < rate / RATE < 4 / 3:
            return [f"the {self.name} is not held at its rate: {rate:.0f} bytes a second"]
        if self.told == 0:
            return [f"the {self.name} was held back and not told"]
        return []


def settings(address, meter, **more):
    common = {"bootstrap.servers": address, "client.id": "app", "throttle_cb": meter.throttled}
    return common | {name.replace("_", "."): value for name, value in more.items()}


def send(producer, topic, callback=None):
    """One record, as soon as there is room for it."""
    while True:
        try:
            return producer.produce(topic, VALUE, partition=0, on_delivery=callback)
        except BufferError:
            producer.poll(0.01)


def fill(address, topic):
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "client.id": "filler"})
    for _ in range(FILLED_BYTES // len(VALUE)):
        send(producer, topic)
    if producer.flush(SECONDS_MAX):
        raise Failure("the topic of the consumer could not be filled")


def produce(address, meter, ends):
    more = {"batch_size": 50_000, "linger_ms": 20, "queue_buffering_max_kbytes": 500}
    producer = confluent_kafka.Producer(settings(address, meter, **more))

    def delivered(error, message):
        if error is None:
            meter.bytes += len(message)

    while not ends.is_set():
        send(producer, "written", delivered)
        producer.poll(0)
    producer.purge()
    producer.flush(5)


def consume(address, meter, ends):
    more = {"group_id": "readers", "enable_auto_commit": False, "fetch_message_max_bytes": 100_000}
    consumer = confluent_kafka.Consumer(settings(address, meter, **more))
    consumer.assign([confluent_kafka.TopicPartition("filled", 0, 0)])
    while not ends.is_set():
        meter.bytes += sum(len(message) for message in consumer.consume(500, timeout=0.1) if not message.error())
    consumer.close()


def moved_in(meters, seconds):
    """What each has moved in this time, and how long it really was."""
    began, before = time.monotonic(), [meter.bytes for meter in meters]
    time.sleep(seconds)
    return [meter.bytes - start for meter, start in zip(meters, before)], time.monotonic() - began


def measure(options, address):
    meters = [Meter("producer"), Meter("consumer")]
    ends = threading.Event()
    threads = [
        threading.Thread(target=play, args=(address, meter, ends)) for play, meter in zip((produce, consume), meters)
    ]
    for thread in threads:
        thread.start()
    try:
        time.sleep(WINDOWS)
        moved, seconds = moved_in(meters, WINDOWS * ROUNDS)
        wrong = [line for meter, count in zip(meters, moved) for line in meter.check(count, seconds)]
        call([options.broker, "quota", "remove", "--bootstrap-server", address, "--client-id", "app"], stdout=sys.stderr)
        moved, seconds = moved_in(meters, 2)
        for meter, count in zip(meters, moved):
            print(f"quotas: without one the {meter.name} had {count / seconds / 1e6:.1f} MB/s", flush=True)
            if count / seconds < 4 / 3 * RATE:
                wrong.append(f"the {meter.name} is still held back, with no quota")
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    return wrong


def run(options, folder):
    broker = Broker(options.broker, folder / "data", folder / "log", SETTINGS)
    broker.start()
    try:
        for topic in ("written", "filled"):
            create_topic(broker.address, topic, 1)
        fill(broker.address, "filled")
        quotas = [f"{kind}_byte_rate={RATE}" for kind in ("producer", "consumer")]
        words = ["quota", "set", "--bootstrap-server", broker.address, "--client-id", "app"]
        call([options.broker, *words, *quotas], stdout=sys.stderr)
        wrong = measure(options, broker.address)
        broker.stop()
        return wrong
    finally:
        broker.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=Path("target/release/furlong"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="furlong-quotas-"))
    began = time.monotonic()
    try:
        wrong = run(options, folder)
    except Failure as failure:
        wrong = [str(failure)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(*(f"FAILED: {line}" for line in wrong), sep="\n", end="\n" if wrong else "", file=sys.stderr)
    print(f"quotas: {'wrong' if wrong else 'held'}, after {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
