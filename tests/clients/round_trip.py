# SPDX-License-Identifier: Apache-2.0
"""Real text through real clients, over a kill -9.

A text file, one record per line, goes through each producer with each codec into topics of 1 and of 12 partitions. The
broker is killed with -9 after the last acknowledgement and started again. Every reader must then give the file back: of
one partition byte for byte; of several, each partition in the order of the file and together every line exactly once.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from broker import Broker, Failure, call

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PRODUCERS = ["kcat", "furlong"]
# Below what a topic takes unless it is told otherwise.
LINE_BYTES_MAX = 900_000
READERS = ["kcat", "furlong", "confluent", "kafka-python", "rskafka"]


def write_text(path, size_bytes):
    """Numbered lines of words, the same on every machine; some long, some far from ASCII."""
    chance = random.Random(7)
    licence = (PACKAGE / "LICENSE").read_text(encoding="utf-8")
    words = licence.split() + ["Gänsefüßchen", "ночь", "田んぼ", "🌾", "a\tb", "\\n", '"quoted"', "%s%d", "{}"]
    lines = [" ".join(chance.choices(words, k=chance.randint(4, 24))) for _ in range(5000)]
    number, written = 0, 0
    with open(path, "wb", buffering=1 << 20) as out:
        while written < size_bytes:
            text = chance.choice(lines)
            if number % 5000 == 4999:
                text = " ".join(chance.choices(lines, k=200))
            line = f"{number:09d} {text}\n".encode()
            out.write(line)
            written += len(line)
            number += 1
    return number


def number_text(source, path, size_bytes):
    """The lines of a real file, numbered, from its start again where it is shorter than what is wanted."""
    number, written = 0, 0
    with open(path, "wb", buffering=1 << 20) as out:
        while written < size_bytes:
            before = number
            with open(source, "rb") as lines:
                for text in lines:
                    if written >= size_bytes:
                        break
                    line = b"%09d %s\n" % (number, text.rstrip(b"\n"))
                    if len(line) > LINE_BYTES_MAX:
                        continue
                    out.write(line)
                    written += len(line)
                    number += 1
            if number == before:
                raise Failure(f"{source} has no line that a topic takes")
    return number


class RoundTrip:
    """Everything that one run needs to know."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.input = folder / "input.txt"
        self.furlong = options.furlong
        self.broker = Broker(self.furlong, folder / "data", folder / "broker.log")

    def create(self, topic, partitions):
        command = [self.furlong, "topic", "create", topic, "--partitions", partitions, *self.server()]
        call(command, stdout=subprocess.DEVNULL)

    def delete(self, topic):
        call([self.furlong, "topic", "delete", topic, *self.server()], stdout=subprocess.DEVNULL)

    def server(self):
        return ["--bootstrap-server", self.broker.address]

    def produce(self, producer, topic, codec):
        if producer == "kcat":
            command = ["kcat", "-P", "-b", self.broker.address, "-t", topic, "-z", codec, "-l"]
            settings = ["acks=all", "enable.idempotence=true", "linger.ms=20", "message.max.bytes=1000000"]
            for setting in settings:
                command += ["-X", setting]
            call([*command, self.input])
        else:
            with open(self.input, "rb") as lines:
                call([self.furlong, "produce", topic, "--compression", codec, *self.server()], stdin=lines)

    def read(self, reader, topic, partitions, folder):
        """Puts the lines of each partition into a file of the folder."""
        scripts = {"confluent": "read_confluent.py", "kafka-python": "read_kafka_python.py"}
        arguments = [self.broker.address, topic, partitions, folder]
        if reader in scripts:
            call([self.options.python, HERE / scripts[reader], *arguments])
        elif reader == "rskafka":
            call([self.options.rskafka, *arguments])
        else:
            for partition in range(partitions):
                with open(folder / f"part-{partition}", "wb") as out:
                    call(self.read_command(reader, topic, partition), stdout=out)

    def read_command(self, reader, topic, partition):
        if reader == "kcat":
            where = ["-t", topic, "-p", partition, "-o", "beginning", "-e", "-q", "-f", "%s\n"]
            return ["kcat", "-C", "-b", self.broker.address, "-X", "check.crcs=true", *where]
        where = [topic, "--partition", partition, "--from-beginning", "--exit-at-end"]
        return [self.furlong, "consume", *where, *self.server()]

    def compare(self, partitions, folder):
        """A merge keeps the order of each file, so it equals the input only if every part is in order and complete."""
        parts = [folder / f"part-{partition}" for partition in range(partitions)]
        environment = dict(os.environ, LC_ALL="C")
        merge = subprocess.Popen(["sort", "-m", *parts], stdout=subprocess.PIPE, env=environment)
        try:
            call(["cmp", "-", self.input], stdin=merge.stdout, stdout=subprocess.DEVNULL)
        finally:
            merge.stdout.close()
            merge.wait()
        if partitions > 1 and sum(1 for part in parts if part.stat().st_size > 0) < 2:
            raise Failure("everything went into one partition")

    def cell(self, reader, topic, partitions):
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="read-"))
        try:
            self.read(reader, topic, partitions, folder)
            self.compare(partitions, folder)
            return True, f"ok {time.monotonic() - began:.1f} s"
        except (Failure, OSError, subprocess.TimeoutExpired) as failure:
            print(f"FAILED: {reader} reading {topic}: {failure}; {self.broker.state()}", flush=True)
            return False, "FAILED"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def round(self, codec):
        """One codec: write everything, kill, start, read everything, delete. Gives a row for each topic."""
        topics = []
        for producer in self.options.producers:
            for partitions in self.options.partitions:
                topic = f"{producer}-{codec}-{partitions}"
                self.create(topic, partitions)
                began = time.monotonic()
                self.produce(producer, topic, codec)
                topics.append((topic, partitions, time.monotonic() - began))
        self.broker.kill()
        back = self.broker.start()
        print(f"{codec}: killed with -9, serving again after {back:.2f} s", flush=True)
        rows = []
        with ThreadPoolExecutor(max_workers=self.options.jobs) as pool:
            for topic, partitions, seconds in topics:
                cells = [pool.submit(self.cell, reader, topic, partitions) for reader in self.options.readers]
                rows.append((topic, seconds, cells))
        for topic, _, _ in topics:
            self.delete(topic)
        return [(topic, seconds, [cell.result() for cell in cells]) for topic, seconds, cells in rows]


def missing(options):
    """What this machine lacks, as sentences."""
    lacking = []
    if {"kcat"} & {*options.producers, *options.readers} and not shutil.which("kcat"):
        lacking.append("kcat (Debian's package kcat)")
    for reader, module in [("confluent", "confluent_kafka"), ("kafka-python", "kafka")]:
        if reader in options.readers:
            test = [options.python, "-c", f"import {module}"]
            if subprocess.run(test, capture_output=True).returncode != 0:
                lacking.append(f"{reader} (tests/clients/requirements.txt) for {options.python}")
    if "rskafka" in options.readers and not Path(options.rskafka).exists():
        lacking.append(f"the rskafka reader at {options.rskafka}")
    return lacking


def arguments():
    names = lambda text: text.split(",")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=8, help="size of the text file (default 8)")
    parser.add_argument("--text", type=Path, help="a text file whose lines are sent, instead of made-up ones")
    parser.add_argument("--codecs", type=names, default=CODECS)
    parser.add_argument("--partitions", type=lambda text: [int(part) for part in text.split(",")], default=[1, 12])
    parser.add_argument("--producers", type=names, default=PRODUCERS)
    parser.add_argument("--readers", type=names, default=READERS)
    parser.add_argument("--jobs", type=int, default=4, help="readers at once (default 4)")
    parser.add_argument("--folder", type=Path, default=PACKAGE / "target/clients", help="where to make the work folder")
    parser.add_argument("--furlong", default=PACKAGE / "target/release/furlong")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the Python clients")
    parser.add_argument("--rskafka", default=PACKAGE / "target/clients/debug/rskafka-read")
    return parser.parse_args()


def main():
    options = arguments()
    if lacking := missing(options):
        sys.exit("missing: " + "; ".join(lacking))
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="round-trip-", dir=options.folder))
    trip = RoundTrip(options, folder)
    rows = []
    try:
        size_bytes = options.size_mb * 1_000_000
        if options.text:
            lines = number_text(options.text, trip.input, size_bytes)
        else:
            lines = write_text(trip.input, size_bytes)
        print(f"{lines} lines, {trip.input.stat().st_size / 1e6:.1f} MB, one record each")
        trip.broker.start()
        for codec in options.codecs:
            rows += trip.round(codec)
        trip.broker.stop()
    except Failure as failure:
        sys.exit(f"FAILED: {failure}\n{trip.broker.state()}")
    finally:
        trip.broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'topic':<20} {'written in':>10}  " + "  ".join(f"{reader:>12}" for reader in options.readers))
    for topic, seconds, cells in rows:
        print(f"{topic:<20} {seconds:>8.1f} s  " + "  ".join(f"{text:>12}" for _, text in cells))
    cells = [passed for _, _, cells in rows for passed, _ in cells]
    print(f"clients: {sum(cells)} passed, {len(cells) - sum(cells)} failed")
    sys.exit(0 if all(cells) and cells else 1)


main()
