# SPDX-License-Identifier: Apache-2.0
"""kcat, called for each request, as a client program (see serve.py)."""

import itertools
import json
import re
import subprocess

from serve import PATIENCE_S, Record, Unsupported, received, serve

# Neither may be in a key or a value.
BETWEEN_RECORDS, BEHIND_KEY = b"\x1e", b"\x1f"
# Lengths first, since keys and values are any bytes; -1 is null.
FORMAT = r"%o %T %K %S %h\n%k%s\n"


class Client:
    """Everything through kcat's command line."""

    def __init__(self, server):
        self.server = server

    def close(self):
        pass

    def kcat(self, *arguments, given=b""):
        command = ["kcat", "-b", self.server, *map(str, arguments)]
        done = subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE_S, check=False)
        words = done.stderr.decode(errors="replace").strip()
        # It goes on after some errors of a delivery.
        if done.returncode != 0 or "ERROR" in words:
            raise RuntimeError(f"kcat ended with {done.returncode}: {words}")
        return done.stdout

    def version(self):
        said = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
        versions = re.search(r"Version (\S+) .*librdkafka (\S+)", said)
        return f"{versions[1]} (librdkafka {versions[2]})"

    def produce(self, topic, records, codec="none", idempotent=False, acks="all"):
        records = [Record(one) for one in records]
        if any(record.timestamp is not None for record in records):
            raise Unsupported("timestamps of one's own")
        settings = [f"acks={acks}", "linger.ms=20", "batch.size=16384", f"enable.idempotence={str(idempotent).lower()}"]
        settings += ["partitioner=murmur2_random"]
        settings = [word for setting in settings for word in ("-X", setting)]
        # One call has one partition, the same headers for all, and one meaning of what is empty.
        same = lambda one: (-1 if one.partition is None else one.partition, tuple(one.headers), one.value is None)
        if all(not record.headers and record.value is not None for record in records):
            records.sort(key=same)
        for (partition, headers, is_null), group in itertools.groupby(records, same):
            where = ["-t", topic] if partition < 0 else ["-t", topic, "-p", partition]
            extra = [word for name, value in headers for word in ("-H", header(name, value))]
            extra += ["-Z"] if is_null else []
            given = b"".join(line(record) for record in group)
            between = ["-D", BETWEEN_RECORDS.decode(), "-K", BEHIND_KEY.decode()]
            self.kcat("-P", *where, "-z", codec, *settings, *extra, *between, given=given)
        return [None] * len(records)

    def consume(self, topic, count, **more):
        found = []
        for partition, offset in more["from"].items():
            until = ["-c", count] if len(more["from"]) == 1 else ["-e"]
            where = ["-t", topic, "-p", partition, "-o", offset, *until]
            settings = ["-X", "check.crcs=true", "-X", "fetch.wait.max.ms=100"]
            found += parse(int(partition), self.kcat("-C", "-q", "-u", *where, *settings, "-f", FORMAT))
        if len(found) != count:
            raise RuntimeError(f"{len(found)} of {count} records came")
        return found

    def offsets(self, topic, partition):
        return {"begin": self.ask(topic, partition, -2), "end": self.ask(topic, partition, -1)}

    def offset_at(self, topic, partition, timestamp):
        found = self.ask(topic, partition, timestamp)
        # A time behind the last record is answered with the end as a word.
        return found if found >= 0 else None

    def ask(self, topic, partition, timestamp):
        said = self.kcat("-Q", "-t", f"{topic}:{partition}:{timestamp}").decode()
        return int(re.search(r"offset (-?\d+)", said)[1])

    def metadata(self, *arguments):
        return json.loads(self.kcat("-L", "-J", *arguments))

    def list(self):
        return sorted(one["topic"] for one in self.metadata()["topics"])

    def describe(self, topic):
        (described,) = self.metadata("-t", topic)["topics"]
        return [
            {
                "partition": one["partition"],
                "leader": one["leader"],
                "replicas": [replica["id"] for replica in one["replicas"]],
                "isr": [replica["id"] for replica in one["isrs"]],
            }
            for one in sorted(described["partitions"], key=lambda one: one["partition"])
        ]

    def cluster(self):
        return {"id": None, "brokers": [one["name"] for one in self.metadata()["brokers"]]}


def header(name, value):
    return name if value is None else f"{name}={value.decode()}"


def line(record):
    if record.value is None and record.key == b"":
        raise Unsupported("a null value beside an empty key")
    key = b"" if record.key is None else record.key + BEHIND_KEY
    return key + (record.value or b"") + BETWEEN_RECORDS


def parse(partition, printed):
    found, at = [], 0
    while at < len(printed):
        end = printed.index(b"\n", at)
        offset, timestamp, key_bytes, value_bytes, headers = printed[at:end].decode().split(" ", 4)
        at = end + 1
        key, at = cut(printed, at, int(key_bytes))
        value, at = cut(printed, at, int(value_bytes))
        headers = [word.split("=", 1) for word in headers.split(",") if word]
        headers = [(name, None if value == "NULL" else value.encode()) for name, value in headers]
        found.append(received(partition, int(offset), key, value, headers, int(timestamp)))
        at += 1
    return found


def cut(printed, at, length):
    return (None, at) if length < 0 else (printed[at : at + length], at + length)


serve(Client)
