# SPDX-License-Identifier: Apache-2.0
"""What a client is asked for: each function is a row of the table, and raises where the client, or the broker under it, differs.

What one client writes another one reads: the referee, which is librdkafka for all, and kafka-python for librdkafka. Which codec
the batches have, and which producer wrote them, is read from the broker's files, without a client.
"""

import random
import re
import threading
import time
from collections import defaultdict
from contextlib import contextmanager

import batches
import murmur2
from actors import Actor
from broker import Failure
from confluent_kafka import Producer
from program import Refused, decode, encode

PARTITIONS = 3
RECORDS = 240
# How far the clock of a record may lie from ours.
CLOCK_MS = 1000
# Records of the topics that are made for one reading each.
FEW = 20
PATIENCE_S = ACTOR_SECONDS_MAX = 30
SEEK_BASE_MS, SEEK_STEP_MS, SEEK_RECORDS = 1_700_000_000_000, 1000, 60


def need(is_true, sentence):
    if not is_true:
        raise Failure(sentence)


def words(count):
    """Text that compresses, some of it far from ASCII, some of it no text at all."""
    chance = random.Random(11)
    known = ["furrow", "plough", "acre", "Gänsefüßchen", "ночь", "田んぼ", "🌾", "\n", "\\", '"', "\x00"]
    for number in range(count):
        text = " ".join(chance.choices(known, k=chance.randint(40, 90))).encode()
        yield b"%06d " % number + text + bytes([0xFF, 0xFE, 0x80])


def record(key, value, **more):
    return {"key": encode(key), "value": encode(value), **more}


def plain_records(count, partitions):
    return [
        record(None if number % 5 == 0 else b"key %d" % (number % 17), value, partition=number % partitions)
        for number, value in enumerate(words(count))
    ]


class Run:
    """The broker, the clients, and what they have written so far."""

    def __init__(self, address, data, programs, referees):
        self.address, self.data, self.programs, self.referees = address, data, programs, referees
        # By capability of writing, then by client: the topic and what the referee read in it.
        self.written = defaultdict(dict)

    def referee(self, client):
        return self.referees["kafka-python" if client.name == "librdkafka" else "librdkafka"]

    def topic(self, client, what, partitions=1, **settings):
        """A new topic, made by the referee."""
        name = f"{client.name}-{what}"
        self.referee(client).ask("create", topic=name, partitions=partitions, configs=settings)
        return name

    def filled(self, client, what, count=FEW):
        """A new topic of one partition, filled by the referee."""
        name = self.topic(client, what)
        sent = [record(b"%d" % number, b"value %d" % number, partition=0) for number in range(count)]
        self.referee(client).ask("produce", topic=name, records=sent)
        return name

    def write(self, client, capability, sent, partitions=PARTITIONS, **how):
        """Lets the client write, the referee read, and compares."""
        name = self.topic(client, re.sub(r"\W", "-", capability), partitions)
        began_ms = time.time() * 1000
        offsets = client.ask("produce", topic=name, records=sent, **how)
        ended_ms = time.time() * 1000
        read = read_all(self.referee(client), name, partitions, len(sent))
        compare(sent, read, partitions, (began_ms - CLOCK_MS, ended_ms + CLOCK_MS))
        if how.get("acks") != "0":
            compare_offsets(sent, read, offsets)
        self.written[capability][client.name] = (name, partitions, read)
        return name


    def written_topics(self):
        return {topic for by_client in self.written.values() for topic, _, _ in by_client.values()}


def read_all(reader, topic, partitions, count, **how):
    found = reader.ask("consume", topic=topic, count=count, **{"from": {str(at): 0 for at in range(partitions)}}, **how)
    need(len(found) == count, f"{len(found)} records where {count} were sent")
    return sorted(found, key=lambda one: (one["partition"], one["offset"]))


def compare(sent, read, partitions, window):
    """Every record once, in its partition, in its order, and as it was."""
    due = defaultdict(list)
    for one in sent:
        place = one.get("partition")
        due[murmur2.partition(decode(one["key"]), partitions) if place is None else place].append(one)
    got = defaultdict(list)
    for one in read:
        need(one["offset"] == len(got[one["partition"]]), f"offset {one['offset']} comes twice or too early")
        got[one["partition"]].append(one)
    sizes = {at: len(records) for at, records in sorted(got.items())}
    need(sizes == {at: len(records) for at, records in sorted(due.items())}, f"the partitions hold {sizes}")
    for at, records in got.items():
        for was, found in zip(due[at], records):
            where = f"partition {at}, offset {found['offset']}"
            for name, empty in [("key", None), ("value", None), ("headers", [])]:
                wanted = was.get(name, empty)
                words = f"{where}: the {name} is {str(found[name])[:200]} and was {str(wanted)[:200]}"
                need(found[name] == wanted, words)
            if was.get("timestamp") is not None:
                need(found["timestamp"] == was["timestamp"], f"{where}: the timestamp is {found['timestamp']}")
            else:
                need(window[0] <= found["timestamp"] <= window[1], f"{where}: the timestamp is {found['timestamp']}")


def compare_offsets(sent, read, offsets):
    """What the client was told is where the record lies."""
    lies = {(one["partition"], one["offset"]): one["value"] for one in read}
    for one, place in zip(sent, offsets):
        if place is not None:
            need(lies.get(tuple(place)) == one["value"], f"the record that was acknowledged at {place} lies elsewhere")


def written_batches(run, topic, partitions, codec, is_idempotent):
    """What the broker's files say of it. Gives how many batches there are."""
    count = 0
    for at in range(partitions):
        due = defaultdict(int)
        for batch in batches.read(run.data, topic, at):
            need(batch.codec == codec, f"a batch lies there with codec {batch.codec}")
            need((batch.producer_id >= 0) == is_idempotent, f"a batch of producer {batch.producer_id}")
            if is_idempotent:
                need(batch.base_sequence == due[batch.producer_id], f"sequence {batch.base_sequence} is not due")
                due[batch.producer_id] += batch.count
            count += 1
        need(len(due) == is_idempotent, f"{len(due)} producers wrote")
    return count


def write_codec(codec):
    def check(run, client):
        topic = run.write(client, f"write {codec}", plain_records(RECORDS, PARTITIONS), codec=codec)
        found = written_batches(run, topic, PARTITIONS, codec, False)
        need(found > PARTITIONS, f"everything came in {found} batches")

    return check


def write_idempotent(run, client):
    topic = run.write(client, "write idempotent", plain_records(RECORDS, 1), partitions=1, idempotent=True)
    need(written_batches(run, topic, 1, "none", True) > 1, "everything came in one batch")


def write_acks(acks):
    return lambda run, client: run.write(client, f"write acks={acks}", plain_records(RECORDS, PARTITIONS), acks=acks)


def write_large(run, client):
    """Nearly as large as a topic takes."""
    sent = [record(b"large", random.Random(3).randbytes(450_000).hex().encode(), partition=0)]
    run.write(client, "write 900 kB", sent, partitions=1)


def write_nulls(run, client):
    sent = [
        record(None, b"no key", partition=0),
        record(b"", b"an empty key", partition=0),
        record(b"no value", None, partition=0),
        record(b"an empty value", b"", partition=0),
        record(b"\x00\xff\n", b"bytes \x00\xff", partition=0),
        record(b"a header", b"one", partition=0, headers=[["trace", encode(b"1-2-3")]]),
    ]
    run.write(client, "write nulls", sent, partitions=1)


def write_headers(run, client):
    sent = [
        record(b"several", b"1", partition=0, headers=[["b", encode(b"1")], ["a", encode(b"2")], ["ß", encode("ж".encode())]]),
        record(b"twice", b"2", partition=0, headers=[["a", encode(b"1")], ["a", encode(b"2")]]),
        record(b"none", b"3", partition=0, headers=[]),
        record(b"empty", b"4", partition=0, headers=[["a", encode(b"")]]),
    ]
    run.write(client, "write headers", sent, partitions=1)


def write_null_header(run, client):
    sent = [record(b"null", b"4", partition=0, headers=[["a", None], ["b", encode(b"1")]])]
    run.write(client, "write null header", sent, partitions=1)


def write_timestamps(run, client):
    # 0 would be no timestamp to librdkafka; more than an hour ahead is refused, as Kafka does.
    times = [1, SEEK_BASE_MS, SEEK_BASE_MS - 5000, SEEK_BASE_MS + 1]
    sent = [record(b"%d" % at, b"at %d" % at, partition=0, timestamp=at) for at in times]
    run.write(client, "write timestamps", sent, partitions=1)


def partitioner(run, client):
    """Keys of every length, placed as Java places them."""
    chance = random.Random(5)
    keys = [bytes(chance.choices(range(48, 123), k=1 + number % 23)) for number in range(200)]
    # In an order that lets each partition be compared: a client may send them partition by partition, not one by one.
    run.write(client, "partitioner", [record(key, b"v %d" % at) for at, key in enumerate(keys)], partitions=7)


def read_codec(codec):
    return lambda run, client: read_written(run, client, f"write {codec}")


def read_large(run, client):
    read_written(run, client, "write 900 kB")


def read_nulls(run, client):
    read_written(run, client, "write nulls")


def read_headers(run, client):
    read_written(run, client, "write headers", exact_headers=True)


def read_null_header(run, client):
    read_written(run, client, "write null header", exact_headers=True)


def read_timestamps(run, client):
    read_written(run, client, "write timestamps")


def read_written(run, client, capability, **how):
    """What each client wrote, read as the referee read it."""
    need(run.written[capability], f"nobody could {capability}")
    for writer, (topic, partitions, due) in sorted(run.written[capability].items()):
        found = read_all(client, topic, partitions, len(due), **how)
        for was, one in zip(due, found):
            need(one == was, f"{writer} wrote {str(was)[:500]}, which is read as {str(one)[:500]}")


def follow(run, client):
    """A reader at the end gets what is written afterwards."""
    topic = run.filled(client, "follow")
    finish = client.start("consume", topic=topic, count=3, **{"from": {"0": FEW}})
    try:
        time.sleep(0.3)
        more = [record(None, b"later %d" % number, partition=0) for number in range(3)]
        run.referee(client).ask("produce", topic=topic, records=more)
    finally:
        found = finish()
    values = [decode(one["value"]) for one in found]
    need(values == [b"later 0", b"later 1", b"later 2"], f"what came is {values}")


def seek_time(run, client):
    topic = run.topic(client, "times")
    sent = [
        record(None, b"%d" % at, partition=0, timestamp=SEEK_BASE_MS + at * SEEK_STEP_MS) for at in range(SEEK_RECORDS)
    ]
    # Two requests, so more batches than one.
    for half in (sent[: SEEK_RECORDS // 2], sent[SEEK_RECORDS // 2 :]):
        run.referee(client).ask("produce", topic=topic, records=half)
    for late_ms, due in [(-1, 0), (0, 0), (500, 1), (29_000, 29), (29_001, 30), (59_000, 59)]:
        found = client.ask("offset_at", topic=topic, partition=0, timestamp=SEEK_BASE_MS + late_ms)
        need(found == due, f"{late_ms} ms behind the first record: offset {found} instead of {due}")
    found = client.ask("offset_at", topic=topic, partition=0, timestamp=SEEK_BASE_MS + SEEK_RECORDS * SEEK_STEP_MS)
    # Clients have several words for "nothing is as young".
    need(found in (None, -1, SEEK_RECORDS), f"behind the last record: offset {found}")


def begin_and_end(run, client):
    topic = run.filled(client, "ends")
    run.referee(client).ask("trim", topic=topic, partition=0, before=7)
    found = client.ask("offsets", topic=topic, partition=0)
    need(found == {"begin": 7, "end": FEW}, f"the log goes from {found}")


def create(run, client):
    topic = f"{client.name}-made"
    client.ask("create", topic=topic, partitions=5, configs={})
    found = run.referee(client).ask("describe", topic=topic)
    need([one["partition"] for one in found] == list(range(5)), f"what was made is {found}")


def create_with_settings(run, client):
    topic = f"{client.name}-set"
    settings = {"retention.ms": "7200000", "cleanup.policy": "compact,delete", "compression.type": "zstd"}
    client.ask("create", topic=topic, partitions=1, configs=settings)
    has_settings(run.referee(client), topic, settings)


def has_settings(reader, topic, due):
    found = reader.ask("describe_config", topic=topic)
    for name, value in due.items():
        need(found.get(name) == value, f"{name} is {found.get(name)!r} instead of {value!r}")
    return found


def list_topics(run, client):
    topic = run.topic(client, "listed")
    found = client.ask("list")
    need(topic in found, f"{topic} is not among {found}")
    missing = set(run.written_topics()) - set(found)
    need(not missing, f"{missing} are not listed")


def describe(run, client):
    topic = run.topic(client, "described", 4)
    found = client.ask("describe", topic=topic)
    need([one["partition"] for one in found] == [0, 1, 2, 3], f"what is described is {found}")
    nodes = {one["leader"] for one in found}
    need(len(nodes) == 1 and all(one["replicas"] == one["isr"] == list(nodes) for one in found), f"replicas: {found}")


def describe_settings(run, client):
    topic = run.topic(client, "settings", **{"retention.ms": "7200000"})
    found = has_settings(client, topic, {"retention.ms": "7200000", "cleanup.policy": "delete", "retention.bytes": "-1"})
    need(len(found) >= 20, f"only {len(found)} settings: {sorted(found)}")


def alter_settings(run, client):
    topic = run.topic(client, "altered", **{"retention.ms": "7200000"})
    settings = {"retention.ms": "3600000", "max.message.bytes": "2000000"}
    client.ask("alter_config", topic=topic, configs=settings)
    has_settings(run.referee(client), topic, settings)


def add_partitions(run, client):
    topic = run.topic(client, "grown", 2)
    client.ask("grow", topic=topic, partitions=6)
    found = run.referee(client).ask("describe", topic=topic)
    need(len(found) == 6, f"it has {len(found)} partitions")
    # The new ones take records.
    run.referee(client).ask("produce", topic=topic, records=[record(None, b"new", partition=5)])


def delete_records(run, client):
    topic = run.filled(client, "trimmed")
    found = client.ask("trim", topic=topic, partition=0, before=12)
    need(found in (None, 12), f"the first record that is left is said to be {found}")
    ends = run.referee(client).ask("offsets", topic=topic, partition=0)
    need(ends == {"begin": 12, "end": FEW}, f"the log goes from {ends}")
    left = run.referee(client).ask("consume", topic=topic, count=FEW - 12, **{"from": {"0": 12}})
    need([decode(one["key"]) for one in left] == [b"%d" % at for at in range(12, FEW)], f"what is left is {left}")


def delete_topic(run, client):
    topic = run.filled(client, "deleted")
    client.ask("delete", topic=topic)
    need(topic not in run.referee(client).ask("list"), "it is still listed")


def refusal(run, client):
    """What is refused is refused with the reason that the client has a word for."""
    topic = run.topic(client, "twice")
    try:
        client.ask("create", topic=topic, partitions=1, configs={})
    except Refused as refused:
        need(re.search("exist", str(refused), re.IGNORECASE), f"a topic that exists is refused with: {refused}")
        return
    raise Failure("a topic that exists was made")


def auto_creation(run, client):
    topic = f"{client.name}-by-itself"
    client.ask("produce", topic=topic, records=[record(b"k", b"first")])
    found = read_all(run.referee(client), topic, 1, 1)
    need(decode(found[0]["value"]) == b"first", f"what is there is {found}")


def cluster(run, client):
    found = client.ask("cluster")
    need(found["brokers"] == [run.address], f"the brokers are {found['brokers']}")
    due = run.referee(client).ask("cluster")["id"]
    need(len(due) == 22 and found["id"] in (None, due), f"the cluster is {found['id']} instead of {due}")


def grouped(run, client, what):
    """A topic, and a group that has committed offset 5 in it and has no members."""
    topic = run.filled(client, what)
    group = f"g-{topic}"
    run.referee(client).ask("commit", group=group, topic=topic, offsets={"0": 5})
    return topic, group


@contextmanager
def member(run, client, what):
    """A topic, and a group with one member, which owns it."""
    topic = run.filled(client, what)
    group, joined = f"g-{topic}", threading.Event()
    words = [run.address, "a-member", group, topic, "range"]
    hear = lambda _, said: joined.set() if said[:1] == ["assigned"] and said[1:] else None
    one = Actor("librdkafka", "member", words, hear, run.data.parent / f"{group}.log")
    try:
        need(joined.wait(ACTOR_SECONDS_MAX), f"the member was not assigned anything: {one.words()}")
        yield topic, group
    finally:
        one.kill()


def list_groups(run, client):
    _, group = grouped(run, client, "group-listed")
    found = client.ask("groups")
    need(group in found, f"{group} is not among {found}")


def describe_group(run, client):
    _, group = grouped(run, client, "group-empty")
    found = client.ask("group", group=group)
    need(found == {"state": "empty", "members": []}, f"without members it is {found}")
    with member(run, client, "group-described") as (_, group):
        found = client.ask("group", group=group)
        need(found == {"state": "stable", "members": ["a-member"]}, f"with a member it is {found}")


def read_offsets(run, client):
    topic, group = grouped(run, client, "group-offsets")
    found = client.ask("committed", group=group, topic=topic)
    need(found == {"0": 5}, f"committed is {found}")


def alter_offsets(run, client):
    topic, group = grouped(run, client, "group-altered")
    client.ask("commit", group=group, topic=topic, offsets={"0": 3})
    found = run.referee(client).ask("committed", group=group, topic=topic)
    need(found == {"0": 3}, f"committed is {found}")


def delete_offsets(run, client):
    topic, group = grouped(run, client, "group-forgotten")
    client.ask("forget", group=group, topic=topic, partition=0)
    found = run.referee(client).ask("committed", group=group, topic=topic)
    need(found == {}, f"committed is {found}")


def delete_group(run, client):
    _, group = grouped(run, client, "group-deleted")
    client.ask("delete_group", group=group)
    need(group not in run.referee(client).ask("groups"), "it is still listed")
    with member(run, client, "group-alive") as (_, group):
        try:
            client.ask("delete_group", group=group)
        except Refused as refused:
            # Each client has its own word for it.
            words = re.sub(r"[^a-z]", "", str(refused).lower())
            need("nonempty" in words or "notempty" in words, f"a group with a member is refused with: {refused}")
        else:
            raise Failure("a group with a member was deleted")


def client_quotas(run, client):
    name = f"{client.name}-limited"
    client.ask("set_quotas", client_id=name, quotas={"producer_byte_rate": 1048576, "request_percentage": 12.5})
    found = client.ask("quotas", client_id=name)
    need(found == {"producer_byte_rate": 1048576, "request_percentage": 12.5}, f"the quotas are {found}")
    client.ask("set_quotas", client_id=name, quotas={"producer_byte_rate": None})
    found = client.ask("quotas", client_id=name)
    need(found == {"request_percentage": 12.5}, f"after one was taken away the quotas are {found}")


def transactions(run, client):
    topic, name = run.topic(client, "transactions", 2), f"{client.name}-transaction"
    producer = open_transaction(run.address, name, topic)
    found = client.ask("transactions")
    need(found.get(name) == "Ongoing", f"what is listed is {found}")
    found = client.ask("transaction", id=name)
    need(found == {"state": "Ongoing", "partitions": [f"{topic}:0"]}, f"it is described as {found}")
    producer.commit_transaction(PATIENCE_S)
    # The producer is answered when it is certain that the transaction will be committed, its markers come a moment later.
    deadline = time.monotonic() + PATIENCE_S
    while (found := client.ask("transaction", id=name)["state"]) != "CompleteCommit":
        need(time.monotonic() < deadline, f"after the commit it is {found}")


def abort_transaction(run, client):
    topic, name = run.topic(client, "hanging"), f"{client.name}-hanging"
    producer = open_transaction(run.address, name, topic)
    client.ask("abort", topic=topic, partition=0)
    try:
        client.ask("abort", topic=topic, partition=0)
    except Refused:
        producer.abort_transaction(PATIENCE_S)
        return
    raise Failure("it was aborted twice")


def open_transaction(address, name, topic):
    """A producer of the referee's kind, with a record in a transaction that has not ended."""
    settings = {"log_level": 3, "bootstrap.servers": address, "transactional.id": name, "transaction.timeout.ms": 600_000}
    producer = Producer(settings)
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    need(producer.flush(PATIENCE_S) == 0, "the record of the transaction was not acknowledged")
    return producer


CODECS = batches.CODECS

# Before anybody reads, all have written.
WRITING = {f"write {codec}": write_codec(codec) for codec in CODECS} | {
    "write idempotent": write_idempotent,
    "write acks=1": write_acks("1"),
    "write acks=0": write_acks("0"),
    "write 900 kB": write_large,
    "write nulls": write_nulls,
    "write headers": write_headers,
    "write null header": write_null_header,
    "write timestamps": write_timestamps,
    "partitioner": partitioner,
    "topic by itself": auto_creation,
}
READING = {f"read {codec}": read_codec(codec) for codec in CODECS} | {
    "read 900 kB": read_large,
    "read nulls": read_nulls,
    "read headers": read_headers,
    "read null header": read_null_header,
    "read timestamps": read_timestamps,
    "follow": follow,
    "seek by time": seek_time,
    "begin and end": begin_and_end,
    "create topic": create,
    "create with settings": create_with_settings,
    "list topics": list_topics,
    "describe topic": describe,
    "describe settings": describe_settings,
    "alter settings": alter_settings,
    "add partitions": add_partitions,
    "delete records": delete_records,
    "delete topic": delete_topic,
    "reason of a refusal": refusal,
    "describe cluster": cluster,
    "list groups": list_groups,
    "describe group": describe_group,
    "read offsets of a group": read_offsets,
    "alter offsets of a group": alter_offsets,
    "delete offsets of a group": delete_offsets,
    "delete group": delete_group,
    "quotas of clients": client_quotas,
    "transactions": transactions,
    "abort transaction": abort_transaction,
}
