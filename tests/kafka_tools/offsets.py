# SPDX-License-Identifier: Apache-2.0
"""What Apache Kafka's own tool reads in `__consumer_offsets`.

Groups of kcat consume a topic and commit, and a member of the new protocol (Kafka's Java client, with a pattern of topics) joins and
is killed; the broker is killed with -9 in between and stopped with SIGTERM at the end. Then
DumpLogSegments with --offsets-decoder reads every partition of the topic of groups: each record must be one that it knows,
each group must be there with its members and its last offset, or with its epochs, assignments and topics, and must lie in the
partition where Kafka looks for it."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "clients"))

from broker import Broker, Failure, call  # noqa: E402
from dump import Tool  # noqa: E402

RECORDS = 50
NEW_GROUP, NEW_PATTERN = "g-new", "t|no-such-topic"
NEW_SECONDS_MAX = 60
GROUPS = ["g1", "orders-ü", "polygenelubricants", "a.group_with-everything"]
RECORD = re.compile(r"^\| offset: \d+ .* key: (\{.*\}) payload: (.*)$")


def hash_of(text):
    """What Java makes of a string."""
    units = text.encode("utf-16-be")
    number = 0
    for place in range(0, len(units), 2):
        number = (number * 31 + int.from_bytes(units[place : place + 2], "big")) & 0xFFFFFFFF
    signed = number - (1 << 32) if number >> 31 else number
    return 0 if signed == -(1 << 31) else abs(signed)


def consume(address, group):
    command = ["kcat", "-b", address, "-X", "auto.offset.reset=earliest", "-G", group, "-e", "-q", "t"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    return len(done.stdout.split())


def join_new(jars, address):
    """A member of the new protocol joins, reads the topic, and is killed."""
    program = HERE.parent / "clients" / "java" / "Actor.java"
    words = ["member", address, "new-member", NEW_GROUP, f"^{NEW_PATTERN}", "consumer:range"]
    command = ["java", "-cp", f"{jars}/*", program, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as member:
        ends = threading.Timer(NEW_SECONDS_MAX, member.kill)
        ends.start()
        read = 0
        for line in member.stdout:
            read += line.startswith("record ")
            if read == RECORDS:
                break
        ends.cancel()
        member.kill()
    if read != RECORDS:
        raise Failure(f"the member of the new protocol read {read} records instead of {RECORDS}")


def check_new(found):
    """The records of the group of the new protocol, each of its kinds."""
    partition = hash_of(NEW_GROUP) % 50
    ours = {}
    for (place, kind, key), value in found.items():
        if json.loads(key).get("groupId", json.loads(key).get("group")) == NEW_GROUP and value:
            if place != partition:
                raise Failure(f"a record of kind {kind} of {NEW_GROUP} is in partition {place}")
            ours[kind] = (json.loads(key), value["data"])
    if not {"3", "5", "6", "7", "8", "16"} <= set(ours):
        raise Failure(f"{NEW_GROUP}: there are only records of the kinds {sorted(ours)}")
    epoch, target, current = ours["3"][1], ours["6"][1], ours["8"][1]
    if epoch["epoch"] != 1 or target["assignmentEpoch"] != 1 or current["memberEpoch"] != 1:
        raise Failure(f"{NEW_GROUP}: the epochs are {epoch}, {target}, {current}")
    if ours["5"][1]["subscribedTopicRegex"] != NEW_PATTERN or ours["5"][1]["clientId"] != "new-member":
        raise Failure(f"{NEW_GROUP}: the member is {ours['5']}")
    if ours["16"][0]["regularExpression"] != NEW_PATTERN or ours["16"][1]["topics"] != ["t"]:
        raise Failure(f"{NEW_GROUP}: the pattern is {ours['16']}")
    if [one["partitions"] for one in ours["7"][1]["topicPartitions"]] != [[0]]:
        raise Failure(f"{NEW_GROUP}: the target is {ours['7']}")
    if [one["partitions"] for one in current["assignedPartitions"]] != [[0]]:
        raise Failure(f"{NEW_GROUP}: the assignment is {current}")


def decoded(tool, folder):
    """The last value of each key, by partition."""
    found = {}
    for segment in sorted(folder.glob("__consumer_offsets-*/*.log")):
        lines, ended_well = tool.say("kafka.tools.DumpLogSegments", "--offsets-decoder", "--files", segment)
        if not ended_well:
            raise Failure(f"the tool failed on {segment}: {lines[-3:]}")
        partition = int(segment.parent.name.rsplit("-", 1)[1])
        for line in lines:
            if not line.startswith("| "):
                continue
            match = RECORD.match(line)
            if not match:
                raise Failure(f"the tool does not know a record of {segment}: {line[:200]}")
            key, value = json.loads(match.group(1)), match.group(2)
            value = None if value == "<DELETE>" else json.loads(value)
            found[(partition, key["type"], json.dumps(key["data"]))] = value
    return found


def check(found):
    for group in GROUPS:
        partition = hash_of(group) % 50
        key = json.dumps({"group": group, "topic": "t", "partition": 0})
        offset = found.get((partition, "1", key))
        if not offset or offset["data"]["offset"] != 2 * RECORDS:
            raise Failure(f"{group}: the offset in partition {partition} is {offset}")
        state = found.get((partition, "2", json.dumps({"group": group})))
        if not state or state["data"]["protocolType"] != "consumer" or state["data"]["members"]:
            raise Failure(f"{group}: the group in partition {partition} is {state}")
    if {key for key in found if key[1] not in ("1", "2", "3", "4", "5", "6", "7", "8", "16")}:
        raise Failure("there are records that are neither of groups nor of offsets")
    check_new(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", type=Path, default=PACKAGE / "target/release/furlong")
    parser.add_argument("--jars", type=Path, default=PACKAGE / "target/kafka-tools")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="furlong-offsets-"))
    settings = ["group.initial.rebalance.delay.ms=50", "admin.listener="]
    broker = Broker(options.broker, folder / "data", folder / "log", settings)
    try:
        broker.start()
        for turn in range(2):
            call(["kcat", "-b", broker.address, "-t", "t", "-P"], input=b"x\n" * RECORDS)
            for group in GROUPS:
                if (got := consume(broker.address, group)) != RECORDS:
                    raise Failure(f"{group} consumed {got} records instead of {RECORDS}")
            if turn == 0:
                join_new(options.jars, broker.address)
            broker.kill()
            broker.start()
        broker.stop()
        found = decoded(Tool(options.jars), folder / "data")
        check(found)
        print(f"Kafka's tool reads {len(found)} keys of __consumer_offsets, and they are what {len(GROUPS)} groups committed")
        found[(hash_of("g1") % 50, "2", json.dumps({"group": "g1"}))] = None
        try:
            check(found)
        except Failure:
            return 0
        print("FAILED: a group that is missing was not noticed", file=sys.stderr)
    except (Failure, subprocess.SubprocessError) as failure:
        print(f"FAILED: {failure}\n{broker.state()}", file=sys.stderr)
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
