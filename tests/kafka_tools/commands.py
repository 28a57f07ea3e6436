# SPDX-License-Identifier: Apache-2.0
"""The commands of `furlong` against a broker of Apache Kafka.

A single Apache Kafka (KRaft, broker and controller in one, from the jars that `install` brings) is started on free ports in
a temporary directory. Every command that talks to a broker runs against it and must say what it says of a Furlong: topics
made, shown, changed, trimmed and deleted, records in and out with every codec, times, settings of topics and brokers, the
cluster, groups whose members are ours and others, transactions. At last Kafka is stopped, and `furlong log verify` reads the files that it left.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from apache import JARS, PACKAGE, PATIENCE_S, Failure, Kafka


SETTINGS = [
    "log.segment.bytes=1048576",
    "group.initial.rebalance.delay.ms=0",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
]


class Furlong:
    """The program, pointed at the broker."""

    def __init__(self, program, address):
        self.program, self.address, self.count = program, address, 0

    def run(self, *words, given="", code=0, local=False):
        where = [] if local else ["-b", self.address]
        environment = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}
        done = subprocess.run(
            [self.program, *words, *where], input=given, capture_output=True, text=True, check=False, env=environment,
        )
        if done.returncode != code:
            raise Failure(f"{words} ended with {done.returncode} instead of {code}: {done.stdout}{done.stderr}")
        self.count += 1
        return done.stdout if code == 0 else done.stderr

    def json(self, *words, **more):
        return json.loads(self.run(*words, "--format", "json", **more))

    def expect(self, expected, *words, **more):
        found = self.run(*words, **more)
        if found != expected:
            raise Failure(f"{words} says {found!r} instead of {expected!r}")


def need(is_true, sentence):
    if not is_true:
        raise Failure(sentence)


def soon(ask, is_right):
    """Asks until the answer is right: a broker of Kafka hears of a change a moment after it was made."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = ask()
        if is_right(found) or time.monotonic() > deadline:
            need(is_right(found), found)
            return
        time.sleep(0.1)


def topics(furlong):
    furlong.expect("topic garden could be created\n", "topic", "create", "garden", "-p", "3", "--dry-run")
    furlong.expect(
        "created topic garden with 3 partitions\n",
        "topic", "create", "garden", "-p", "3", "--config", "retention.ms=86400000",
    )
    need("exists" in furlong.run("topic", "create", "garden", code=1), "a topic is made twice")
    furlong.expect("topic garden exists already\n", "topic", "create", "garden", "--if-not-exists")
    furlong.expect("garden\n", "topic", "list")
    described = furlong.json("topic", "describe", "garden")[0]
    # Kafka writes the defaults of its file into every new topic (segment.bytes here).
    need(described["settings"]["retention.ms"] == "86400000", described)
    need([one["leader"] for one in described["partitions"]] == [1, 1, 1], described)
    furlong.expect("changed the partitions of topic garden to 4\n", "topic", "alter", "garden", "-p", "4")
    soon(lambda: furlong.json("topic", "describe", "garden"), lambda found: len(found[0]["partitions"]) == 4)
    need("garden" in furlong.run("topic", "alter", "garden", "-p", "2", code=1), "partitions are taken away")


def records(furlong):
    furlong.run("topic", "create", "codecs", "-p", "12")
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        for acks in ["all", "1", "0"]:
            lines = f"21:{codec} {acks}\n"
            furlong.run("produce", "codecs", "-K", ":", "-H", "a=1", "-z", codec, "--acks", acks, given=lines)
    found = furlong.run("consume", "codecs", "-e", "-f", "%p %o %k %s %h\\n").splitlines()
    need(len(found) == 15, found)
    need(all(line.startswith("0 ") and line.endswith(" a=1") for line in found), found)
    partitions(furlong)
    many = "".join(f"line {number} of many, each as long as it must be to fill segments\n" for number in range(200_000))
    furlong.run("topic", "create", "many", "-p", "5")
    furlong.run("produce", "many", given=many)
    back = furlong.run("consume", "many", "-e").splitlines(True)
    need(sorted(back) == sorted(many.splitlines(True)), "lines are lost or new")
    objects = "".join(f'{{"partition":2,"ts":{1000 * n},"key":"k{n}","payload":null}}\n' for n in range(1, 6))
    furlong.run("topic", "create", "times", "-p", "3")
    furlong.run("produce", "times", "--json", given=objects)
    furlong.expect("1 2 ", "consume", "times", "-e", "--from", "1500", "--until", "4000", "-f", "%o ")
    furlong.expect("3 4 ", "consume", "times", "-p", "2", "-e", "--tail", "2", "-f", "%o ")
    printed = [json.loads(line) for line in furlong.run("consume", "times", "-e", "-J").splitlines()]
    need([one["key"] for one in printed] == ["k1", "k2", "k3", "k4", "k5"], printed)
    need("outside the log" in furlong.run("consume", "times", "-p", "2", "-o", "9", "-e", code=1), "offset 9 is there")


def partitions(furlong):
    """Keys of every length go where the Java client puts them."""
    draw = random.Random(7)
    keys = ["".join(draw.choices("abcäöü€😀 0123", k=1 + n % 40)) for n in range(3000)]
    furlong.run("topic", "create", "keys", "-p", "17")
    furlong.run("produce", "keys", "-K", r"\t", given="".join(f"{key}\tv\n" for key in keys))
    found = furlong.run("consume", "keys", "-e", "-f", "%p %k\\n")
    java = ["java", "-cp", str(JARS), str(Path(__file__).with_name("Partitions.java")), "17"]
    said = subprocess.run(java, input=found, capture_output=True, text=True, check=False, encoding="utf-8")
    need(said.stdout == f"{len(keys)} keys\n", said.stdout + said.stderr)


def trims(furlong):
    found = furlong.json("topic", "trim", "times", "-p", "2", "--before-offset", "2")
    need(found == [{"topic": "times", "partition": 2, "first_offset": 2, "done": True, "error": None}], found)
    furlong.expect("2 3 4 ", "consume", "times", "-e", "-f", "%o ")
    found = furlong.json("topic", "trim", "times", "--before", "4500")
    need([one["first_offset"] for one in found] == [0, 0, 4], found)
    need("partition 2" in furlong.run("topic", "trim", "times", "-p", "2", "--before-offset", "99", code=1), "99 is past")
    furlong.run("topic", "trim", "times", "--all")
    furlong.expect("", "consume", "times", "-e")


def settings(furlong):
    def has(name, value, source):
        soon(
            lambda: furlong.json("config", "describe", "topic", "garden", name, "-s"),
            lambda found: (found[0]["value"], found[0]["source"]) == (value, source) and found[0]["synonyms"],
        )

    furlong.run("config", "alter", "broker", "default", "--set", "log.flush.interval.messages=500")
    has("flush.messages", "500", "all brokers")
    furlong.run("config", "alter", "broker", "1", "--set", "log.flush.interval.messages=600")
    has("flush.messages", "600", "broker")
    furlong.run("config", "alter", "topic", "garden", "--set", "flush.messages=700", "--append", "cleanup.policy=compact")
    has("flush.messages", "700", "topic")
    has("cleanup.policy", "delete,compact", "topic")
    furlong.run("config", "alter", "topic", "garden", "--delete", "flush.messages", "--subtract", "cleanup.policy=compact")
    has("flush.messages", "600", "broker")
    has("cleanup.policy", "delete", "topic")
    furlong.run("config", "alter", "topic", "garden", "--set", "retention.ms=soon", code=1)
    node = furlong.json("config", "describe", "broker", "1", "node.id", "-d")[0]
    need((node["value"], node["read_only"]) == ("1", True) and node["documentation"], node)


def quotas(furlong):
    """What users, client ids and addresses may use."""
    whose = ["--user", "gardener", "--client-id-default"]
    rates = ["producer_byte_rate=1048576", "request_percentage=12.5"]
    furlong.expect(
        "would change producer_byte_rate of user gardener, every client-id: none -> 1048576\n"
        "would change request_percentage of user gardener, every client-id: none -> 12.5\n",
        "quota", "set", *whose, *rates, "--dry-run",
    )
    furlong.expect("user gardener, every client-id has no quota of its own\n", "quota", "describe", *whose)
    furlong.run("quota", "set", *whose, *rates)
    told = {"producer_byte_rate": 1048576.0, "request_percentage": 12.5}
    soon(lambda: furlong.json("quota", "describe", *whose)["quotas"], lambda found: found == told)
    furlong.run("quota", "set", "--ip", "10.0.0.1", "connection_creation_rate=5")
    soon(lambda: furlong.json("quota", "list"), lambda found: len(found) == 2)
    found = furlong.json("quota", "list")
    need({"user": "gardener", "client-id": None} in [one["entity"] for one in found], found)
    refused = furlong.run("quota", "set", "--user", "x", "producer_byte_rate=0", code=1)
    need("user x" in refused and "greater than 0" in refused, refused)
    need("is no quota" in furlong.run("quota", "set", "--user", "x", "bytes=1", code=2), "an unknown quota is set")
    furlong.run("quota", "remove", *whose, "request_percentage")
    soon(lambda: furlong.json("quota", "describe", *whose)["quotas"], lambda found: len(found) == 1)
    furlong.run("quota", "remove", *whose)
    furlong.run("quota", "remove", "--ip", "10.0.0.1")
    soon(lambda: furlong.run("quota", "list"), lambda found: found == "nobody has a quota\n")


def cluster(furlong, address):
    found = furlong.json("cluster", "describe", "--apis")
    need([one["address"] for one in found["brokers"]] == [address], found)
    need(len(found["cluster_id"]) == 22 and len(found["apis"]) > 40, found)


class Member:
    """A member of a group, as a process."""

    def __init__(self, furlong, *words):
        environment = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}
        command = [furlong.program, "consume", "shared", "-G", "readers", "-b", furlong.address, *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        printed, _ = self.process.communicate(timeout=PATIENCE_S)
        need(self.process.returncode == 0, f"a member ended with {self.process.returncode}")
        return printed.split()


def shares(furlong):
    """How many partitions each member of a stable group has, by client."""
    if "readers" not in [one["group"] for one in furlong.json("group", "list")]:
        return []
    found = furlong.json("group", "describe", "readers")[0]
    if found["state"] != "Stable":
        return []
    counts = [
        (one["client_id"], sum(len(topic["partitions"]) for topic in one["assignment"] or []))
        for one in found["members"]
    ]
    return sorted(counts, key=lambda one: (one[0], -one[1]))


def groups(furlong):
    """Members of ours and of librdkafka share partitions; offsets are shown and moved."""
    furlong.run("topic", "create", "shared", "-p", "6")
    ours, kcat = "furlong-cli", "rdkafka"
    for assignor in ["range", "roundrobin", "sticky", "cooperative-sticky"]:
        sent, printed = [], []

        def sow(round_number):
            names = [f"{assignor}-{round_number}-{number}" for number in range(24)]
            lines = "".join(f'{{"partition":{n % 6},"payload":"{name}"}}\n' for n, name in enumerate(names))
            furlong.run("produce", "shared", "--json", given=lines)
            sent.extend(names)
            soon(lambda: furlong.json("group", "describe", "readers")[0]["lag"], lambda lag: lag == 0)

        first = Member(furlong, "--assignor", assignor)
        soon(lambda: shares(furlong), lambda found: found == [(ours, 6)])
        sow(0)
        second = Member(furlong, "--assignor", assignor)
        soon(lambda: shares(furlong), lambda found: found == [(ours, 3), (ours, 3)])
        sow(1)
        if assignor != "sticky":  # librdkafka has no eager sticky assignor.
            foreign = subprocess.Popen(
                ["kcat", "-b", furlong.address, "-G", "readers", "-X", f"partition.assignment.strategy={assignor}",
                 "-X", "auto.commit.interval.ms=100", "-q", "-u", "shared"], stdout=subprocess.PIPE, text=True,
            )
            soon(lambda: shares(furlong), lambda found: found == [(ours, 2), (ours, 2), (kcat, 2)])
            sow(2)
            foreign.terminate()
            printed += foreign.communicate(timeout=PATIENCE_S)[0].split()
            soon(lambda: shares(furlong), lambda found: found == [(ours, 3), (ours, 3)])
        printed += first.interrupt()
        soon(lambda: shares(furlong), lambda found: found == [(ours, 6)])
        sow(3)
        printed += second.interrupt()
        need(sorted(printed) == sorted(sent), f"{assignor}: printed {len(printed)} of {len(sent)}")
    offsets(furlong)


def offsets(furlong):
    listed = furlong.json("group", "list", "--state", "Empty", "--type", "classic")
    need([one["group"] for one in listed] == ["readers"], listed)
    need(furlong.json("group", "list", "--state", "Stable") == [], "nobody is there")
    end = furlong.run("group", "offsets", "readers", "--format", "csv")
    furlong.run("produce", "shared", given="late\n")
    described = furlong.json("group", "describe", "readers")[0]
    need(described["lag"] == 1 and 0 <= described["lag_seconds"] < PATIENCE_S, described)
    shown = furlong.run("group", "seek", "readers", "--all-topics", "--to-earliest")
    need(shown.endswith("nothing was changed; give --execute to do it\n"), shown)
    furlong.expect(end, "group", "offsets", "readers", "--format", "csv")
    moved = furlong.json("group", "seek", "readers", "--topic", "shared:0,1", "--shift-by=-5", "--execute")
    need([one["from"] - one["to"] for one in moved] == [5, 5] and all(one["done"] for one in moved), moved)
    moved = furlong.json("group", "seek", "readers", "--all-topics", "--by-duration", "PT1H", "--execute")
    need(all(one["to"] == 0 for one in moved), moved)
    furlong.run("group", "seek", "readers", "--from-file", "-", "--execute", given=end)
    furlong.expect(end, "group", "offsets", "readers", "--format", "csv")
    furlong.run("group", "delete-offsets", "readers", "--topic", "shared:5", "--execute")
    need(len(furlong.json("group", "offsets", "readers")) == 5, "one offset is forgotten")
    furlong.expect("deleted group readers and its 5 offsets\n", "group", "delete", "readers", "--execute")
    need("no group readers" in furlong.run("group", "describe", "readers", code=1), "it is gone")


def transactions(furlong):
    """A transaction of the Java client that stays open, and one that commits."""
    furlong.run("topic", "create", "bank", "-p", "2")
    java = ["java", "-Xmx100m", "-cp", str(JARS), str(Path(__file__).with_name("Transactions.java")), furlong.address]
    teller = subprocess.Popen(java, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        need(teller.stdout.readline() == "open\n", "the transaction is not open")
        listed = furlong.json("txn", "list", "--state", "Ongoing")
        need([one["transactional_id"] for one in listed] == ["teller"], listed)
        need(furlong.json("txn", "list", "--older-than", "1h") == [], "none is that old")
        furlong.run("txn", "list", "--state", "Sleeping", code=2)
        described = furlong.json("txn", "describe", "teller")[0]
        need(described["topics"] == [{"topic": "bank", "partitions": [0]}] and described["open_ms"] >= 0, described)
        furlong.expect("committed\n", "consume", "bank", "-e", "--isolation", "read_committed")
        furlong.expect("committed\nopen\n", "consume", "bank", "-e")
        need(furlong.json("txn", "find-hanging", "--older-than", "0s") == [], "its coordinator knows it")
        producer = str(described["producer_id"])
        hangs = furlong.run("txn", "abort", "-t", "bank", "-p", "0", "--producer-id", producer, "--execute", code=1)
        need("does not hang: it is that of transactional id teller" in hangs, hangs)
        furlong.run("txn", "abort", "teller")
        need(furlong.json("txn", "describe", "teller")[0]["state"] == "Ongoing", "a preview aborts nothing")
        need(furlong.json("txn", "abort", "teller", "--execute")[0]["done"], "it is aborted")
        furlong.run("produce", "bank", "-p", "0", given="later\n")
        furlong.expect("committed\nlater\n", "consume", "bank", "-e", "--isolation", "read_committed")
        need("no open transaction" in furlong.run("txn", "abort", "teller", code=1), "it is over")
        teller.stdin.write("commit\n")
        teller.stdin.flush()
        need(teller.stdout.readline() == "fenced\n", "the producer goes on")
        need("nobody" in furlong.run("txn", "describe", "nobody", code=1), "nobody has no transactions")
    finally:
        teller.kill()
        teller.wait()


def ends(furlong):
    found = furlong.run("topic", "delete", "garden", "nothing", code=1)
    need("nothing" in found, found)
    soon(lambda: furlong.run("topic", "list").split(), lambda found: "garden" not in found)


def files(furlong, kafka):
    kafka.stop()
    reports = furlong.json("log", "verify", str(kafka.directory / "data"), local=True)
    need(all(one["problems"] == [] for one in reports), reports)
    many = [one for one in reports if "/many-" in one["directory"]]
    need(sum(one["records"] for one in many) == 200_000, many)
    need(any(one["segments"] > 1 for one in many), "nothing rolled")
    log = Path(many[0]["directory"]) / "00000000000000000000.log"
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    log.write_bytes(damaged)
    furlong.run("log", "verify", str(kafka.directory / "data"), code=1, local=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", default=str(PACKAGE / "target" / "release" / "furlong"))
    arguments = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="furlong-kafka-"))
    kafka = None
    try:
        kafka = Kafka(directory, SETTINGS)
        furlong = Furlong(arguments.program, kafka.address)
        topics(furlong)
        records(furlong)
        trims(furlong)
        settings(furlong)
        groups(furlong)
        transactions(furlong)
        quotas(furlong)
        cluster(furlong, kafka.address)
        ends(furlong)
        files(furlong, kafka)
        print(f"{furlong.count} commands against Apache Kafka: all as they must be")
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        if kafka is not None:
            kafka.end()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
