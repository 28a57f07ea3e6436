# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka's console tools for what a broker keeps for its clients: groups, transactions and quotas (see tools.py)."""

import json
import re
import time

from broker import Failure
from capabilities import need, open_transaction

CONSUMER_GROUPS = "consumer.group.ConsumerGroupCommand"


def has(said, *patterns):
    for pattern in patterns:
        need(re.search(pattern, said, re.MULTILINE), f"it does not say {pattern!r} but: {said[-1500:]}")


def table(said, *columns):
    """The rows of a table whose head names these columns, as dictionaries of all of them."""
    lines = [line.split() for line in said.splitlines() if line.strip()]
    for number, head in enumerate(lines):
        if set(columns) <= set(head):
            # The last column may be empty; a line of more words than columns is none of the table.
            rows = [line + [""] * (len(head) - len(line)) for line in lines[number + 1 :]]
            return [dict(zip(head, row)) for row in rows if len(row) == len(head)]
    raise Failure(f"no table with the columns {columns}: {said[-1500:]}")


def consumed(kit, topic, group, count):
    """A group that has consumed and committed so many records of a topic, and has no members now."""
    words = ["--topic", topic, "--group", group, "--from-beginning", "--max-messages", count, "--timeout-ms", 30_000]
    return kit.run("consumer.ConsoleConsumer", *words, "--command-property", "auto.commit.interval.ms=100").split()


def committed(kit, group):
    """Current offset, end and lag by topic and partition."""
    said = kit.run(CONSUMER_GROUPS, "--describe", "--group", group)
    rows = table(said, "GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG")
    return {(row["TOPIC"], row["PARTITION"]): (row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"]) for row in rows}


def console_group(kit):
    kit.fill("tool-group", 12)
    values = consumed(kit, "tool-group", "g-console", 7)
    need(values == [f"v{at}" for at in range(7)], f"it says {values}")
    values = consumed(kit, "tool-group", "g-console", 5)
    need(values == [f"v{at}" for at in range(7, 12)], f"it goes on with {values}")


def consumer_groups(kit):
    kit.fill("tool-groups", 9)
    consumed(kit, "tool-groups", "g-tool", 6)
    has(kit.run(CONSUMER_GROUPS, "--list"), r"^g-tool$")
    has(kit.run(CONSUMER_GROUPS, "--list", "--state", "Empty"), r"^g-tool\s+Empty")
    row = {("tool-groups", "0"): ("6", "9", "3")}
    need(committed(kit, "g-tool") == row, f"it is described as {committed(kit, 'g-tool')}")
    has(kit.run(CONSUMER_GROUPS, "--describe", "--group", "g-tool", "--state"), r"^g-tool\s.*\sEmpty\s+0")
    reset(kit, row)
    kit.run(CONSUMER_GROUPS, "--delete-offsets", "--group", "g-tool", "--topic", "tool-groups")
    # Nothing is left that would hold the group.
    said = kit.run(CONSUMER_GROUPS, "--list")
    if re.search(r"^g-tool$", said, re.MULTILINE):
        has(kit.run(CONSUMER_GROUPS, "--delete", "--group", "g-tool"), r"Deletion of requested consumer groups .* was successful")
    need("g-tool" not in kit.run(CONSUMER_GROUPS, "--list").split(), "the group is still listed")
    consumed(kit, "tool-groups", "g-tool-2", 1)
    has(kit.run(CONSUMER_GROUPS, "--delete", "--group", "g-tool-2"), r"Deletion of requested consumer groups .* was successful")
    need("g-tool-2" not in kit.run(CONSUMER_GROUPS, "--list").split(), "the other group is still listed")


def reset(kit, row):
    """What a preview shows is not done, what is executed is."""
    words = ["--reset-offsets", "--group", "g-tool", "--topic", "tool-groups"]
    for goal, due in [(["--to-earliest"], 0), (["--shift-by", -2], 4), (["--to-datetime", "2023-11-14T22:13:20.004Z"], 4)]:
        said = kit.run(CONSUMER_GROUPS, *words, *goal, "--dry-run")
        (shown,) = table(said, "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")
        need(shown["NEW-OFFSET"] == str(due), f"{goal} would go to {shown}")
    need(committed(kit, "g-tool") == row, "a dry run changed something")
    kit.run(CONSUMER_GROUPS, *words, "--to-offset", 3, "--execute")
    found = committed(kit, "g-tool")
    need(found == {("tool-groups", "0"): ("3", "9", "6")}, f"after --to-offset 3 it is {found}")


def groups(kit):
    kit.fill("tool-all", 3)
    consumed(kit, "tool-all", "g-all", 3)
    (row,) = [row for row in table(kit.run("GroupsCommand", "--list"), "GROUP", "TYPE", "PROTOCOL") if row["GROUP"] == "g-all"]
    need((row["TYPE"], row["PROTOCOL"]) == ("Classic", "consumer"), f"it is listed as {row}")
    need("g-all" not in kit.run("GroupsCommand", "--list", "--group-type", "consumer"), "a classic group is of the new kind")


def verifiable_consumer(kit):
    kit.fill("tool-verified", 20)
    words = ["--topic", "tool-verified", "--group-id", "g-verified", "--max-messages", 20, "--reset-policy", "earliest"]
    said = [json.loads(line) for line in kit.run("VerifiableConsumer", *words).splitlines()]
    count = sum(one["count"] for one in said if one["name"] == "records_consumed")
    done = [one for one in said if one["name"] == "offsets_committed"]
    need(count == 20 and done and all(one["success"] for one in done), f"it says {said}")
    need(done[-1]["offsets"][0]["offset"] == 20, f"it committed {done[-1]}")


def streams_reset(kit):
    kit.fill("tool-streams", 9)
    consumed(kit, "tool-streams", "app", 5)
    kit.create("app-counts-changelog", 1)
    said = kit.run("StreamsResetter", "--application-id", "app", "--input-topics", "tool-streams")
    has(said, r"Reset-offsets for input topics \[tool-streams\]", r"Deleting inferred internal topics \[app-counts-changelog\]")
    need(committed(kit, "app") == {("tool-streams", "0"): ("0", "9", "9")}, f"the offsets are {committed(kit, 'app')}")
    need("app-counts-changelog" not in kit.program.ask("list"), "the internal topic is still there")


def read_committed(kit, topic, count=0):
    """The first so many values of partition 0 that a reader of committed records gets, or all of two seconds."""
    words = ["--topic", topic, "--partition", 0, "--offset", "earliest", "--isolation-level", "read_committed"]
    until = ["--max-messages", count, "--timeout-ms", 60_000] if count else ["--timeout-ms", 2000]
    return kit.run("consumer.ConsoleConsumer", *words, *until).split()


def transactions(kit):
    kit.run_verb("TransactionsCommand", "list")
    kit.create("tool-txn", 1)
    producer = open_transaction(kit.address, "tool-id", "tool-txn")
    (row,) = [row for row in table(kit.run_verb("TransactionsCommand", "list"), "TransactionalId") if row["TransactionalId"] == "tool-id"]
    need(row["TransactionState"] == "Ongoing", f"it is listed as {row}")
    (row,) = table(kit.run_verb("TransactionsCommand", "describe", "--transactional-id", "tool-id"), "TransactionalId")
    need((row["TransactionState"], row["TopicPartitions"]) == ("Ongoing", "tool-txn-0"), f"it is described as {row}")
    where = ["--topic", "tool-txn", "--partition", 0]
    (row,) = table(kit.run_verb("TransactionsCommand", "describe-producers", *where), "ProducerId")
    need(row["CurrentTransactionStartOffset"] == "0", f"the producer is described as {row}")
    # Young ones do not hang.
    found = table(kit.run_verb("TransactionsCommand", "find-hanging", *where), "Topic", "Partition")
    need(found == [], f"they are said to hang: {found}")
    need(read_committed(kit, "tool-txn") == [], "what is open was read")
    kit.run_verb("TransactionsCommand", "abort", *where, "--start-offset", 0)
    (row,) = table(kit.run_verb("TransactionsCommand", "describe-producers", *where), "ProducerId")
    need(row["CurrentTransactionStartOffset"] == "None", f"after the abort the producer is described as {row}")
    producer.abort_transaction(30)
    kit.program.ask("produce", topic="tool-txn", records=[{"key": None, "value": "YWZ0ZXI=", "partition": 0}])
    values = read_committed(kit, "tool-txn", 1)
    need(values == ["after"], f"after the abort {values} is read")


def force_terminate(kit):
    kit.create("tool-force", 1)
    producer = open_transaction(kit.address, "tool-forced", "tool-force")
    kit.run_verb("TransactionsCommand", "forceTerminateTransaction", "--transactionalId", "tool-forced")
    deadline = time.monotonic() + 30
    # The tool takes the name over, which ends what was open; whether it is seen before that or behind is chance.
    while state(kit, "tool-forced") not in ("CompleteAbort", "Empty"):
        need(time.monotonic() < deadline, f"the transaction is {state(kit, 'tool-forced')} after it was ended")
    try:
        producer.commit_transaction(30)
    except Exception:  # Whoever was ended must not succeed; with which word is the client's business.
        need(read_committed(kit, "tool-force") == [], "what was ended was read")
        return
    raise Failure("a transaction that was ended could be committed")


def state(kit, name):
    return table(kit.run_verb("TransactionsCommand", "describe", "--transactional-id", name), "TransactionalId")[0]["TransactionState"]


def perf_transactions(kit):
    kit.create("tool-perf-txn", 1)
    words = ["--num-records", 3000, "--record-size", 100, "--throughput", -1, "--transaction-duration-ms", 100]
    said = kit.run("ProducerPerformance", "--topic", "tool-perf-txn", *words, "--transactional-id", "tool-perf")
    has(said, r"^3000 records sent, [\d.]+ records/sec")
    # Each record ends in a newline, and is one word of chance letters.
    need(len(read_committed(kit, "tool-perf-txn", 3000)) == 3000, "not all records were committed")
    found = kit.program.ask("offsets", topic="tool-perf-txn", partition=0)
    need(found["end"] > 3000, f"no marker lies in the log: {found}")


def quotas(kit):
    client = ["--entity-type", "clients", "--entity-name", "tool-client"]
    said = kit.run("ConfigCommand", "--alter", *client, "--add-config", "producer_byte_rate=1048576,request_percentage=150")
    has(said, r"^Completed updating config for client tool-client\.")
    said = kit.run("ConfigCommand", "--describe", *client)
    has(said, r"client-id 'tool-client' are .*producer_byte_rate=1048576", r"request_percentage=150")
    both = ["--entity-type", "users", "--entity-name", "tool-user", "--entity-type", "clients", "--entity-default"]
    kit.run("ConfigCommand", "--alter", *both, "--add-config", "consumer_byte_rate=2097152")
    said = kit.run("ConfigCommand", "--describe", *both)
    has(said, r"user-principal 'tool-user'.* the default client-id are consumer_byte_rate=2097152")
    address = ["--entity-type", "ips", "--entity-name", "192.0.2.1"]
    kit.run("ConfigCommand", "--alter", *address, "--add-config", "connection_creation_rate=20")
    has(kit.run("ConfigCommand", "--describe", *address), r"192\.0\.2\.1' are connection_creation_rate=20")
    for entity, names in [(client, "producer_byte_rate,request_percentage"), (both, "consumer_byte_rate")]:
        kit.run("ConfigCommand", "--alter", *entity, "--delete-config", names)
    kit.run("ConfigCommand", "--alter", *address, "--delete-config", "connection_creation_rate")
    said = kit.run("ConfigCommand", "--describe", *client)
    need("byte_rate" not in said and "request_percentage" not in said, f"a quota is still there: {said}")


def quotas_of_users(kit):
    users = ["--entity-type", "users"]
    default, named = [*users, "--entity-default"], [*users, "--entity-name", "tool-gardener"]
    kit.run("ConfigCommand", "--alter", *default, "--add-config", "consumer_byte_rate=2097152")
    kit.run("ConfigCommand", "--alter", *named, "--add-config", "producer_byte_rate=1048576")
    rate = r"user-principal 'tool-gardener' are producer_byte_rate=1048576"
    try:
        # It asks for their passwords, too.
        has(kit.run("ConfigCommand", "--describe", *users), r"default user.* are consumer_byte_rate=2097152", rate)
        has(kit.run("ConfigCommand", "--describe", *users, "--all"), rate)
        said = kit.run("ConfigCommand", "--describe", *named)
        has(said, rate)
        need("SCRAM" not in said, f"a user has a password: {said}")
        said = kit.run("ConfigCommand", "--describe", *users, "--entity-name", "tool-nobody")
        need("are" not in said, f"a user that nobody named has {said}")
    finally:
        kit.run("ConfigCommand", "--alter", *default, "--delete-config", "consumer_byte_rate")
        kit.run("ConfigCommand", "--alter", *named, "--delete-config", "producer_byte_rate")
    need("byte_rate" not in kit.run("ConfigCommand", "--describe", *users), "a quota is still there")


# By the name of its script, or of what it does where a tool does several things.
TOOLS = {
    "kafka-console-consumer --group": ("goes on where the group has committed", console_group),
    "kafka-consumer-groups": ("list, describe, state, reset (dry run, execute), delete offsets, delete", consumer_groups),
    "kafka-groups": ("list, by type", groups),
    "kafka-verifiable-consumer": ("20 records, committed", verifiable_consumer),
    "kafka-streams-application-reset": ("offsets and internal topics", streams_reset),
    "kafka-transactions": ("list, describe, producers, hanging, abort", transactions),
    "kafka-transactions forceTerminateTransaction": ("of a producer that is there", force_terminate),
    "kafka-producer-perf-test --transactional-id": ("3000 records in transactions, all committed", perf_transactions),
    "kafka-configs of quotas": ("clients, users with clients, addresses: set, describe, remove", quotas),
    "kafka-configs of users": ("set, describe (all, by name, default), remove", quotas_of_users),
}
