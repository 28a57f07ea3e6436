# SPDX-License-Identifier: Apache-2.0
"""Producers and consumers of librdkafka and of Apache Kafka's own client with quotas against the real program: each is held at its
rate, those of librdkafka are told so (`throttle_cb`) and go on freely once the quota is taken away.

A client may use what all windows but one bring at once, and then waits until they are forgotten. So the windows are made short here,
and what is counted are whole rounds of them. What is read was written in small batches: no part of a batch is ever read, so with
batches that are large beside the windows a consumer gets fewer than there is room for, at Apache Kafka as well. Exit code 1 if a rate
is more than FREEDOM off its quota."""

import argparse
import bisect
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import confluent_kafka

from broker import Broker, Failure, call
from groups import create_topic
from program import JARS, JAVA
from tools import main as tool

RATE = 1_000_000
WINDOWS = 3
ROUNDS = 2
SETTINGS = (f"quota.window.num={WINDOWS}", "quota.window.size.seconds=1")
VALUE = bytes(1000)
# What the consumer takes at its rate and in the first burst, and as much again for when it is free.
FILLED_BYTES = 2 * RATE * WINDOWS * (ROUNDS + 2)
# How far a rate may be off, of the quota: a burst may fall on either side of the end of a round.
FREEDOM = 0.15
BATCH_BYTES = 50_000
SECONDS_MAX = 60
MIB = 1 << 20


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
        if abs(rate / RATE - 1) > FREEDOM:
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
    small = {"batch.size": BATCH_BYTES, "linger.ms": 50}
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "client.id": "filler"} | small)
    for _ in range(FILLED_BYTES // len(VALUE)):
        send(producer, topic)
    if producer.flush(SECONDS_MAX):
        raise Failure("the topic of the consumer could not be filled")


def produce(address, meter, ends):
    more = {"batch_size": BATCH_BYTES, "linger_ms": 20, "queue_buffering_max_kbytes": 500}
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


class JavaProducer:
    """Kafka's own measuring program, which writes as fast as it may; the end of its topic says how much that is."""

    name = "producer in Java"

    def __init__(self, address, _folder):
        words = ["--topic", "java-written", "--num-records", 10**6, "--record-size", len(VALUE), "--throughput", -1]
        properties = ["client.id=java", "buffer.memory=1000000", f"batch.size={BATCH_BYTES}"]
        self.process = start_java("ProducerPerformance", *words, "--bootstrap-server", address, "--command-property", *properties)
        self.watcher = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "watcher"})

    def moved_by(self, _moment):
        place = confluent_kafka.TopicPartition("java-written", 0)
        return self.watcher.get_watermark_offsets(place, timeout=5)[1] * len(VALUE)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.watcher.close()


class JavaConsumer:
    """Kafka's own measuring program, which reads as fast as it may, and says how much that is as it comes."""

    name = "consumer in Java"

    def __init__(self, address, folder):
        settings = folder / "java.properties"
        settings.write_text("client.id=java\n")
        words = ["--topic", "filled", "--num-records", 10**6, "--show-detailed-stats", "--reporting-interval", 100]
        words += ["--command-config", settings, "--bootstrap-server", address, "--timeout", 60_000]
        self.process = start_java("ConsumerPerformance", *words)
        self.moments, self.bytes = [0.0], [0]
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            try:
                moved = int(float(line.split(",")[2]) * MIB)
            except (IndexError, ValueError):
                continue
            self.moments.append(time.monotonic())
            self.bytes.append(moved)

    def moved_by(self, moment):
        return self.bytes[bisect.bisect_right(self.moments, moment) - 1]

    def end(self):
        self.process.kill()
        self.process.wait()
        self.listener.join()


def start_java(name, *words):
    command = [*JAVA, "-cp", f"{JARS}/*", tool(name), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wait_until_moving(clients):
    began = time.monotonic()
    while not all(client.moved_by(time.monotonic()) for client in clients):
        if time.monotonic() - began > SECONDS_MAX:
            raise Failure("the clients in Java move nothing")
        time.sleep(0.1)


def moved_in(meters, seconds, java=()):
    """What each has moved in this time, how long it really was, and the same of those in Java."""
    began, before = time.monotonic(), [meter.bytes for meter in meters]
    java_before = [client.moved_by(began) for client in java]
    time.sleep(seconds)
    ended = time.monotonic()
    java_moved = [client.moved_by(ended) - start for client, start in zip(java, java_before)]
    return [meter.bytes - start for meter, start in zip(meters, before)], ended - began, java_moved


def check_java(client, moved, seconds):
    rate = moved / seconds
    print(f"quotas: the {client.name} had {rate / 1e6:.3f} MB/s of {RATE / 1e6:.3f} over {seconds:.1f} s", flush=True)
    if abs(rate / RATE - 1) > FREEDOM:
        return [f"the {client.name} is not held at its rate: {rate:.0f} bytes a second"]
    return []


def measure(options, address, java):
    meters = [Meter("producer"), Meter("consumer")]
    ends = threading.Event()
    threads = [
        threading.Thread(target=play, args=(address, meter, ends)) for play, meter in zip((produce, consume), meters)
    ]
    wait_until_moving(java)
    for thread in threads:
        thread.start()
    try:
        time.sleep(WINDOWS)
        moved, seconds, java_moved = moved_in(meters, WINDOWS * ROUNDS, java)
        wrong = [line for meter, count in zip(meters, moved) for line in meter.check(count, seconds)]
        wrong += [line for client, count in zip(java, java_moved) for line in check_java(client, count, seconds)]
        call([options.broker, "quota", "remove", "--bootstrap-server", address, "--client-id", "app"], stdout=sys.stderr)
        moved, seconds, _ = moved_in(meters, 2)
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
        for topic in ("written", "filled", "java-written"):
            create_topic(broker.address, topic, 1)
        fill(broker.address, "filled")
        quotas = [f"{kind}_byte_rate={RATE}" for kind in ("producer", "consumer")]
        for client_id in ("app", "java"):
            words = ["quota", "set", "--bootstrap-server", broker.address, "--client-id", client_id]
            call([options.broker, *words, *quotas], stdout=sys.stderr)
        java = [client(broker.address, folder) for client in (JavaProducer, JavaConsumer)]
        try:
            wrong = measure(options, broker.address, java)
        finally:
            for client in java:
                client.end()
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
