# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka's console tools against the real program: each check looks at what the tool says, and at what it did."""

import json
import re
import subprocess

import tools_of_state
from broker import Failure
from capabilities import need, record
from program import JARS, JAVA, Unsupported, decode
from tools_of_state import has

COLUMN = "console tools"
TOOL_SECONDS_MAX = 120
# What a tool says where the broker has no such API.
NO_API = re.compile(r"UnsupportedVersionException.*", re.DOTALL)


def version():
    jars = list(JARS.glob("kafka-tools-[0-9]*.jar"))
    need(len(jars) == 1, "the console tools are missing: run tests/clients/install first")
    return jars[0].stem.removeprefix("kafka-tools-")


def main(name):
    """The class of a tool. That of kafka-configs is still in the broker's package."""
    return f"kafka.admin.{name}" if name == "ConfigCommand" else f"org.apache.kafka.tools.{name}"


class Kit:
    """The broker, a client that checks what the tools did, and a place for files."""

    def __init__(self, address, folder, program):
        self.address, self.folder, self.program = address, folder, program

    def run(self, name, *words, given="", code=0):
        """What a tool says."""
        return self.call(name, ["--bootstrap-server", self.address, *map(str, words)], given, code)

    def run_verb(self, name, verb, *words):
        """What a tool says whose verb comes first, or whose verb has words of its own."""
        words = list(map(str, words))
        where = ["--bootstrap-server", self.address]
        return self.call(name, [*where, verb, *words] if name == "TransactionsCommand" else [verb, *words, *where])

    def call(self, name, words, given="", code=0):
        command = [*JAVA, "-cp", f"{JARS}/*", main(name), *words]
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=TOOL_SECONDS_MAX, check=False
        )
        said = done.stdout + done.stderr
        if done.returncode != code:
            if found := NO_API.search(said):
                raise Unsupported(found[0].splitlines()[0])
            raise Failure(f"{name} {' '.join(words)} ended with {done.returncode}: {said[-1500:]}")
        return done.stdout

    def create(self, topic, partitions=1, **settings):
        self.program.ask("create", topic=topic, partitions=partitions, configs=settings)

    def fill(self, topic, count):
        self.create(topic)
        sent = [
            record(b"k%d" % at, b"v%d" % at, partition=0, timestamp=1_700_000_000_000 + at, headers=[["h", "MQ=="]])
            for at in range(count)
        ]
        self.program.ask("produce", topic=topic, records=sent)


def topics(kit):
    said = kit.run("TopicCommand", "--create", "--topic", "tool-topics", "--partitions", 3, "--config", "retention.ms=7200000")
    has(said, r"^Created topic tool-topics\.")
    has(kit.run("TopicCommand", "--list"), r"^tool-topics$")
    kit.run("TopicCommand", "--alter", "--topic", "tool-topics", "--partitions", 5)
    said = kit.run("TopicCommand", "--describe", "--topic", "tool-topics")
    has(said, r"PartitionCount: 5\s+ReplicationFactor: 1\s+Configs: .*retention\.ms=7200000")
    has(said, *(rf"Partition: {at}\s+Leader: (\d+)\s+Replicas: \1\s+Isr: \1" for at in range(5)))
    need(kit.run("TopicCommand", "--describe", "--under-replicated-partitions").strip() == "", "something is under-replicated")
    has(kit.run("TopicCommand", "--create", "--topic", "tool-topics", code=1), r"tool-topics.* exists")
    kit.run("TopicCommand", "--delete", "--topic", "tool-topics")
    need("tool-topics" not in kit.program.ask("list"), "the topic is still there")


def configs(kit):
    kit.create("tool-configs")
    entity = ["--entity-type", "topics", "--entity-name", "tool-configs"]
    said = kit.run("ConfigCommand", "--alter", *entity, "--add-config", "retention.ms=3600000,cleanup.policy=[compact,delete]")
    has(said, r"^Completed updating config for topic tool-configs\.")
    said = kit.run("ConfigCommand", "--describe", *entity)
    has(said, r"retention\.ms=3600000 .*DYNAMIC_TOPIC_CONFIG:retention\.ms=3600000", r"cleanup\.policy=compact,delete")
    kit.run("ConfigCommand", "--alter", *entity, "--delete-config", "cleanup.policy")
    found = kit.program.ask("describe_config", topic="tool-configs")
    need((found["retention.ms"], found["cleanup.policy"]) == ("3600000", "delete"), f"the settings are {found}")
    broker = ["--entity-type", "brokers", "--entity-default"]
    kit.run("ConfigCommand", "--alter", *broker, "--add-config", "log.retention.ms=86400001")
    has(kit.run("ConfigCommand", "--describe", *broker), r"log\.retention\.ms=86400001")
    kit.run("ConfigCommand", "--alter", *broker, "--delete-config", "log.retention.ms")
    need("86400001" not in kit.run("ConfigCommand", "--describe", *broker), "the setting is still there")


def group_configs(kit):
    group = ["--entity-type", "groups", "--entity-name", "tool-group-configs"]
    said = kit.run("ConfigCommand", "--alter", *group, "--add-config", "consumer.session.timeout.ms=50000")
    has(said, r"^Completed updating config for group tool-group-configs\.")
    said = kit.run("ConfigCommand", "--describe", *group)
    has(said, r"consumer\.session\.timeout\.ms=50000 .*DYNAMIC_GROUP_CONFIG:consumer\.session\.timeout\.ms=50000")
    has(kit.run("ConfigCommand", "--describe", *group, "--all"), r"consumer\.heartbeat\.interval\.ms=5000 ")
    # All groups that have settings.
    has(kit.run("ConfigCommand", "--describe", "--entity-type", "groups"), r"tool-group-configs")
    kit.run("ConfigCommand", "--alter", *group, "--add-config", "consumer.session.timeout.ms=1", code=1)
    kit.run("ConfigCommand", "--alter", *group, "--delete-config", "consumer.session.timeout.ms")
    need("50000" not in kit.run("ConfigCommand", "--describe", *group), "the setting is still there")


def console_producer(kit):
    kit.create("tool-producer", 1)
    given = "one:1\ntwo:2\nthree:a:b\n"
    words = ["--topic", "tool-producer", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
    kit.run("ConsoleProducer", *words, "--compression-codec", "zstd", given=given)
    found = kit.program.ask("consume", topic="tool-producer", count=3, **{"from": {"0": 0}})
    found = [(decode(one["key"]), decode(one["value"])) for one in found]
    need(found == [(b"one", b"1"), (b"two", b"2"), (b"three", b"a:b")], f"what was written is {found}")


def console_consumer(kit):
    kit.fill("tool-consumer", 5)
    shown = [f"print.{what}=true" for what in ("key", "timestamp", "partition", "offset", "headers")]
    shown = [word for one in shown for word in ("--formatter-property", one)]
    where = ["--topic", "tool-consumer", "--partition", 0]
    line = "CreateTime:170000000000{0}\tPartition:0\tOffset:{0}\th:1\tk{0}\tv{0}\n"
    said = kit.run("consumer.ConsoleConsumer", *where, "--offset", "earliest", "--max-messages", 5, *shown)
    need(said == "".join(line.format(at) for at in range(5)), f"it says {said}")
    said = kit.run("consumer.ConsoleConsumer", *where, "--offset", 3, "--max-messages", 2, *shown)
    need(said == line.format(3) + line.format(4), f"it says {said}")


def get_offsets(kit):
    kit.fill("tool-offsets", 9)
    kit.program.ask("trim", topic="tool-offsets", partition=0, before=2)
    for when, due in [("latest", 9), ("earliest", 2), ("max-timestamp", 8), (1_700_000_000_004, 4)]:
        said = kit.run("GetOffsetShell", "--topic", "tool-offsets", "--time", when)
        need(said.strip() == f"tool-offsets:0:{due}", f"--time {when} says {said}")


def delete_records(kit):
    kit.fill("tool-records", 9)
    path = kit.folder / "records.json"
    path.write_text(json.dumps({"version": 1, "partitions": [{"topic": "tool-records", "partition": 0, "offset": 4}]}))
    said = kit.run("DeleteRecordsCommand", "--offset-json-file", path)
    has(said, r"partition: tool-records-0\s+low_watermark: 4")
    found = kit.program.ask("offsets", topic="tool-records", partition=0)
    need(found == {"begin": 4, "end": 9}, f"the log goes from {found}")


def log_dirs(kit):
    kit.fill("tool-dirs", 9)
    said = kit.run("LogDirsCommand", "--describe", "--topic-list", "tool-dirs")
    (broker,) = json.loads(said.splitlines()[-1])["brokers"]
    (directory,) = broker["logDirs"]
    need(directory["error"] is None and directory["logDir"] == str(kit.folder / "data"), f"it says {said}")
    (partition,) = directory["partitions"]
    need(partition["partition"] == "tool-dirs-0" and 0 < partition["size"] < 4096, f"it says {said}")
    need(partition["offsetLag"] == 0 and not partition["isFuture"], f"it says {said}")


def cluster(kit):
    due = kit.program.ask("cluster")["id"]
    has(kit.run_verb("ClusterTool", "cluster-id"), rf"^Cluster ID: {re.escape(due)}$")
    host, port = kit.address.split(":")
    has(kit.run_verb("ClusterTool", "list-endpoints"), rf"^\d+\s+{re.escape(host)}\s+{port}\s")


def features(kit):
    said = kit.run("FeatureCommand", "describe")
    has(said, r"^Feature: metadata\.version\s.*SupportedMaxVersion: 4\.3\S*\s+FinalizedVersionLevel: 4\.3")
    has(said, r"Epoch: \d+")


def metadata_quorum(kit):
    said = kit.run("MetadataQuorumCommand", "describe", "--status")
    due = kit.program.ask("cluster")["id"]
    has(said, rf"^ClusterId:\s+{re.escape(due)}$", r"^LeaderId:\s+\d+$", r"^LeaderEpoch:\s+\d+$", r"^HighWatermark:\s+[1-9]\d*$")
    has(said, r"^MaxFollowerLag:\s+0$", r"^CurrentVoters:\s+\[.*\d+.*\]$")
    said = kit.run("MetadataQuorumCommand", "describe", "--replication")
    has(said, r"^NodeId\s.*LogEndOffset\s.*Lag", r"^\d+\s.*\s0\s.*Leader\s*$")


def producer_perf(kit):
    kit.create("tool-perf", 1)
    said = kit.run(
        "ProducerPerformance", "--topic", "tool-perf", "--num-records", 5000, "--record-size", 100, "--throughput", -1
    )
    has(said, r"^5000 records sent, [\d.]+ records/sec .* ms 99\.9th")
    found = kit.program.ask("offsets", topic="tool-perf", partition=0)
    need(found == {"begin": 0, "end": 5000}, f"the log goes from {found}")


def verifiable_producer(kit):
    kit.create("tool-verifiable", 1)
    said = kit.run("VerifiableProducer", "--topic", "tool-verifiable", "--max-messages", 20, "--acks", -1)
    sent = [json.loads(line) for line in said.splitlines()]
    offsets = [one["offset"] for one in sent if one["name"] == "producer_send_success"]
    need(offsets == list(range(20)), f"it says {said}")
    found = kit.program.ask("consume", topic="tool-verifiable", count=20, **{"from": {"0": 0}})
    need([decode(one["value"]) for one in found] == [b"%d" % at for at in range(20)], f"what is there is {found}")


def broker_api_versions(kit):
    said = kit.run("BrokerApiVersionsCommand")
    usable = re.findall(r"^\s*(\w+)\((\d+)\): .*\[usable: (\d+)\]", said, re.MULTILINE)
    found = {name: int(version) for name, _, version in usable}
    # The tool's own newest versions are those of the Kafka that we say we are.
    for name, version in [("Produce", 13), ("Fetch", 18), ("ListOffsets", 11), ("Metadata", 13), ("CreateTopics", 7)]:
        need(found.get(name) == version, f"{name} is usable up to {found.get(name)}")
    need(len(found) >= 20, f"only {len(found)} are usable: {said}")
    has(said, r"^" + re.escape(kit.address) + r" \(id: \d+ rack: null.*\) -> \(")


def leader_election(kit):
    kit.create("tool-election", 1)
    words = ["--election-type", "preferred", "--topic", "tool-election", "--partition", 0]
    has(kit.run("LeaderElectionCommand", *words), r"Valid replica already elected for partitions tool-election-0")


# By the name of its script: what is checked, and the check.
TOOLS = {
    "kafka-topics": ("create, list, alter, describe, delete, a refusal", topics),
    "kafka-configs": ("topics and brokers: set, describe with synonyms, remove", configs),
    "kafka-configs of groups": ("set, describe (all, by name), a refusal, remove", group_configs),
    "kafka-console-producer": ("keys, zstd, idempotent", console_producer),
    "kafka-console-consumer": ("a partition from an offset: times, headers, keys", console_consumer),
    "kafka-get-offsets": ("latest, earliest, by largest time, by time", get_offsets),
    "kafka-delete-records": ("up to an offset", delete_records),
    "kafka-log-dirs": ("directory and size of a partition", log_dirs),
    "kafka-cluster": ("id, endpoints", cluster),
    "kafka-features": ("describe", features),
    "kafka-metadata-quorum": ("status, replication", metadata_quorum),
    "kafka-leader-election": ("preferred leader of a partition", leader_election),
    "kafka-producer-perf-test": ("5000 records, all there", producer_perf),
    "kafka-verifiable-producer": ("20 records, each with its offset", verifiable_producer),
    "kafka-broker-api-versions": ("usable versions", broker_api_versions),
    **tools_of_state.TOOLS,
}
