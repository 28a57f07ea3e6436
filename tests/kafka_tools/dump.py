# SPDX-License-Identifier: Apache-2.0
"""What Apache Kafka's own tools say about our files.

Records go in with every codec, through kcat with idempotence and through `furlong produce`, into topics of several
partitions with small segments, so that each partition rolls several times. In between the broker is killed with -9, and at
the end it is stopped with SIGTERM. Then Kafka's DumpLogSegments reads every file:

* `.log` with --deep-iteration and --print-data-log: every checksum, offsets without a gap, and the records that it prints
  must be the records that were sent;
* `.index` and `.timeindex` twice: --index-sanity-check (what Kafka asks when it opens a log), and without it, where it
  looks up every entry in the log;
* `.snapshot`: the producers must be those of the log.

The checkpoint files are read by Kafka's classes (Checkpoints.java): the epochs must begin where they begin in the log.
At last each kind of file is damaged, and the tool must notice: else this test proves nothing.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "clients"))

from broker import Broker, Failure, call  # noqa: E402

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
PRODUCERS = ["kcat", "furlong"]
PARTITIONS = 3
SEGMENT_BYTES = 1 << 15
SEALED_MIN = 2
# Records that one `furlong produce` gets: it fills its batches, and a batch must fit into a segment.
CHUNK_RECORDS = 120
TOOL_SECONDS_MAX = 600

# Words with which the tool complains; it ends with 0 all the same.
COMPLAINTS = re.compile(
    r"mismatch|non-consecutive|not found|invalid bytes|isvalid: false|out of order|exception|corrupt|error|failed", re.IGNORECASE
)
DUMPING = re.compile(r"^Dumping (\S+)$")
BATCH = re.compile(
    r"^baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*producerId: (-?\d+) .*partitionLeaderEpoch: (\d+) .*"
    r"compresscodec: (\w+) .*isvalid: true$"
)
RECORD = re.compile(r"^\| offset: (\d+) .*? key: (k\d+) payload: (.*)$")
PRODUCER = re.compile(r"^producerId: (\d+) .*lastOffset: (\d+)\)?")
EPOCH = re.compile(r"^(\S+) epoch (\d+) from (\d+)$")


def values(count, seed):
    """Lines that look alike enough to compress, and far enough from ASCII to hurt."""
    chance = random.Random(seed)
    words = (PACKAGE / "LICENSE").read_text(encoding="utf-8").split() + ["Gänsefüßchen", "ночь", "田んぼ", "🌾", "%s", "{}"]
    return [f"{number:07d} " + " ".join(chance.choices(words, k=chance.randint(1, 40))) for number in range(count)]


def as_text(records):
    return "".join(f"{key}\t{value}\n" for key, value in records).encode()


class Tool:
    """Kafka's programs."""

    def __init__(self, jars):
        self.java = ["java", "-Xmx512m", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", f"{jars}/*"]

    def say(self, *arguments):
        """The lines that one program prints, and whether it ended well."""
        command = [*self.java, *[str(argument) for argument in arguments]]
        done = subprocess.run(command, capture_output=True, timeout=TOOL_SECONDS_MAX)
        errors = [line for line in done.stderr.decode(errors="replace").splitlines() if not line.startswith("SLF4J")]
        return done.stdout.decode().splitlines() + errors, done.returncode == 0

    def dump(self, files, *options):
        """What the dump tool says about files: a list of lines for each, and the lines that are complaints."""
        names = ",".join(str(file) for file in files)
        lines, is_well = self.say("kafka.tools.DumpLogSegments", *options, "--files", names)
        said, current = defaultdict(list), None
        for line in lines:
            if found := DUMPING.match(line):
                current = Path(found.group(1))
                said[current] = []
            else:
                said[current].append(line)
        # A record may say anything in its own words.
        complaints = [line for line in lines if not line.startswith("| offset") and COMPLAINTS.search(line.split("/")[0])]
        if not is_well:
            complaints.append("the tool ended with an error")
        return said, complaints


def accepted(tool, files, *options):
    """The dump of files that the tool must have nothing to say against."""
    if not files:
        raise Failure(f"no files for {options}")
    said, complaints = tool.dump(files, *options)
    if complaints:
        raise Failure(f"Kafka's tool with {options} says:\n  " + "\n  ".join(complaints[:20]))
    if missing := set(files) - set(said):
        raise Failure(f"Kafka's tool did not get to {sorted(missing)[0]}")
    return said


class Filled:
    """A broker that is filled, killed, filled again, and stopped."""

    def __init__(self, options, folder):
        self.furlong, self.records, self.data = options.furlong, options.records, folder / "data"
        self.broker = Broker(self.furlong, self.data, folder / "broker.log")
        self.sent = defaultdict(list)

    def fill(self):
        self.broker.start()
        for producer in PRODUCERS:
            for codec in CODECS:
                settings = ["--config", f"internal.segment.bytes={SEGMENT_BYTES}", "--config", "index.interval.bytes=1024"]
                server = ["--bootstrap-server", self.broker.address]
                command = [self.furlong, "topic", "create", f"{producer}-{codec}", "--partitions", PARTITIONS]
                call([*command, *settings, *server], stdout=subprocess.DEVNULL)
        for life in range(2):
            for producer in PRODUCERS:
                for codec in CODECS:
                    self.produce(producer, codec, life)
            if life == 0:
                self.broker.kill()
                self.broker.start()
        self.broker.stop()

    def produce(self, producer, codec, life):
        topic = f"{producer}-{codec}"
        lines = [(f"k{len(self.sent[topic]) + n}", value) for n, value in enumerate(values(self.records // 2, life))]
        self.sent[topic] += lines
        if producer == "kcat":
            command = ["kcat", "-P", "-b", self.broker.address, "-t", topic, "-z", codec, "-K", "\\t"]
            for setting in ["acks=all", "enable.idempotence=true", "batch.num.messages=50", "linger.ms=2"]:
                command += ["-X", setting]
            call(command, input=as_text(lines))
        else:
            command = [self.furlong, "produce", topic, "-z", codec, "-K", "\\t", "-b", self.broker.address]
            for start in range(0, len(lines), CHUNK_RECORDS):
                call(command, input=as_text(lines[start : start + CHUNK_RECORDS]))


class Log:
    """One partition as the tool prints it."""

    def __init__(self):
        self.batches, self.records = [], []

    def add(self, lines):
        for line in lines:
            if found := BATCH.match(line):
                first, last, count, producer, epoch = (int(found.group(at)) for at in range(1, 6))
                self.batches.append((first, last, count, producer, epoch, found.group(6)))
            elif found := RECORD.match(line):
                self.records.append((int(found.group(1)), found.group(2), found.group(3)))
            elif line.startswith(("baseOffset", "|")):
                raise Failure(f"a line that is not understood: {line}")

    def check(self, name, codec):
        offsets = [offset for offset, _, _ in self.records]
        if offsets != list(range(len(offsets))) or not offsets:
            raise Failure(f"{name} does not hold the offsets from 0 on without a gap")
        if sum(batch[2] for batch in self.batches) != len(offsets):
            raise Failure(f"{name} has batches that count wrong")
        # A producer may send a batch as it is that its codec does not make smaller.
        codecs = {batch[5] for batch in self.batches}
        if codec not in codecs or not codecs <= {codec, "none"}:
            raise Failure(f"{name} is compressed with {sorted(codecs)}, not with {codec}")
        numbers = [int(key[1:]) for _, key, _ in self.records]
        if numbers != sorted(numbers):
            raise Failure(f"{name} is not in the order in which it was sent")

    def epochs(self):
        """The first offset of each epoch that has records."""
        first = {}
        for batch in self.batches:
            first.setdefault(batch[4], batch[0])
        return first

    def producers_below(self, offset):
        """The newest offset of each idempotent producer, as a snapshot at an offset must have it."""
        return {batch[3]: batch[1] for batch in self.batches if batch[3] >= 0 and batch[1] < offset}


def read_logs(tool, data):
    """Every partition of every topic, whole and in order."""
    files = sorted(data.glob("*-*/*.log"))
    said = accepted(tool, [f for f in files if "__" not in f.parent.name], "--deep-iteration", "--print-data-log")
    accepted(tool, [f for f in files if "__" in f.parent.name], "--deep-iteration")
    logs = defaultdict(Log)
    for file in sorted(said):
        if file is not None:
            logs[file.parent.name].add(said[file])
    return logs


def check_records(filled, logs):
    for topic, sent in filled.sent.items():
        found = []
        for partition in range(PARTITIONS):
            log = logs[f"{topic}-{partition}"]
            log.check(f"{topic}-{partition}", topic.rsplit("-", 1)[1])
            found += [(key, value) for _, key, value in log.records]
            segments = len(list((filled.data / f"{topic}-{partition}").glob("*.log")))
            if segments <= SEALED_MIN:
                raise Failure(f"{topic}-{partition} has only {segments} segments")
        if sorted(found) != sorted(sent):
            raise Failure(f"{topic}: {len(found)} records are not the {len(sent)} that were sent")


def check_indexes(tool, data):
    counts = {}
    for suffix in ["index", "timeindex"]:
        files = sorted(data.glob(f"*-*/*.{suffix}"))
        said = accepted(tool, files, "--index-sanity-check")
        # A segment that is shorter than the index interval has no entry; the tool says so instead of passing it.
        full = [file for file in files if file.stat().st_size > 0]
        if refused := [file for file in full if not any("passed sanity check" in line for line in said[file])]:
            raise Failure(f"{refused[0]} did not pass the sanity check: {said[refused[0]]}")
        said = accepted(tool, files)
        counts[suffix] = sum(len(said[file]) for file in files)
        if counts[suffix] < len(files):
            raise Failure(f"{counts[suffix]} entries in {len(files)} files of .{suffix}: too few to prove anything")
    return counts


def check_snapshots(tool, data, logs):
    said = accepted(tool, sorted(data.glob("kcat-*/*.snapshot")))
    for file, lines in said.items():
        if file is None:
            continue
        found = [PRODUCER.match(line) for line in lines]
        if not all(found):
            raise Failure(f"{file} holds lines that are not understood: {lines[:3]}")
        # The newest entry of a producer comes last, and is the one that Kafka keeps.
        newest = {int(entry.group(1)): int(entry.group(2)) for entry in found}
        expected = logs[file.parent.name].producers_below(int(file.stem))
        if newest != expected:
            raise Failure(f"{file} says {newest}, the log says {expected}")
    return len(said)


def check_checkpoints(tool, data, logs):
    lines, is_well = tool.say(HERE / "Checkpoints.java", data)
    if not is_well:
        raise Failure("Kafka's classes refuse a checkpoint file:\n  " + "\n  ".join(lines[-20:]))
    epochs = defaultdict(dict)
    for found in filter(None, map(EPOCH.match, lines)):
        epochs[found.group(1)][int(found.group(2))] = int(found.group(3))
    for name, log in logs.items():
        expected = log.epochs()
        wrong = {epoch: first for epoch, first in expected.items() if epochs[name].get(epoch) != first}
        if wrong or len(expected) < 2:
            raise Failure(f"{name}: the checkpoint says {epochs[name]}, the log says {expected}")
    return sum(map(len, epochs.values()))


def check_that_damage_is_noticed(tool, data, folder):
    """One byte of one file of each kind: the tool must complain about each."""
    for suffix, options, back in [
        ("log", ["--deep-iteration", "--print-data-log"], 10),
        ("index", [], 1),
        ("timeindex", [], 1),
        ("snapshot", [], 1),
    ]:
        # The largest there is: a quick machine writes a whole segment within a millisecond or two, and then its time
        # index has a single entry or none.
        largest = max(sorted(data.glob(f"kcat-*/*.{suffix}")), key=lambda file: file.stat().st_size)
        copy = folder / f"damaged-{suffix}"
        shutil.copytree(largest.parent, copy)
        victim = copy / largest.name
        contents = bytearray(victim.read_bytes())
        contents[-back] ^= 0x40
        victim.write_bytes(contents)
        _, complaints = tool.dump([victim], *options)
        if not complaints:
            raise Failure(f"Kafka's tool has nothing to say against a damaged .{suffix}: this test is blind")
        print(f"damaged .{suffix}: {complaints[0][:140]}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=6000, help="records of each topic (default 6000)")
    parser.add_argument("--furlong", default=PACKAGE / "target/release/furlong")
    parser.add_argument("--jars", type=Path, default=PACKAGE / "target/kafka-tools")
    parser.add_argument("--keep", action="store_true", help="leaves the files where they are")
    return parser.parse_args()


def main():
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="kafka-tools-", dir=PACKAGE / "target"))
    filled, tool = Filled(options, folder), Tool(options.jars)
    try:
        filled.fill()
        logs = read_logs(tool, filled.data)
        check_records(filled, logs)
        records = sum(len(log.records) for log in logs.values())
        segments = len(list(filled.data.glob("*-*/*.log")))
        print(f"{records} records in {segments} segments of {len(logs)} partitions: as sent")
        for suffix, count in check_indexes(tool, filled.data).items():
            print(f".{suffix}: {count} lines of entries, each found in its log")
        print(f".snapshot: {check_snapshots(tool, filled.data, logs)} files agree with their logs")
        print(f"leader-epoch-checkpoint: {check_checkpoints(tool, filled.data, logs)} epochs, as in the logs")
        check_that_damage_is_noticed(tool, filled.data, folder)
    except Failure as failure:
        sys.exit(f"FAILED: {failure}\n{filled.broker.state()}")
    finally:
        filled.broker.kill()
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("kafka tools: accepted")


if __name__ == "__main__":
    main()
