# SPDX-License-Identifier: Apache-2.0
"""Actors as processes of ours (actors/acting.py says what they are), and brokers that come back where they were."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from broker import Broker, Failure
from confluent_kafka.admin import AdminClient
from program import BUILT, HERE, JARS, JAVA, PYTHON, TARGET

sys.path.insert(0, str(HERE.parent / "kafka_tools"))

WAIT_SECONDS_MAX = 60
# For librdkafka where it is only the referee.
QUIET = {"log_level": 3}
COMMANDS = {
    "librdkafka": [PYTHON, "-B", HERE / "actors" / "confluent.py"],
    "kafka-python": [PYTHON, "-B", HERE / "actors" / "kafka_python.py"],
    "aiokafka": [PYTHON, "-B", HERE / "actors" / "aio.py"],
    "kafkajs": ["node", TARGET / "kafkajs" / "actor.js"],
    "Java": [*JAVA, "-cp", f"{JARS}/*:{TARGET / 'classes'}", "Actor"],
    "franz-go": [TARGET / "franz"],
}

# The assignors of each client; the first ones are those of short runs.
ASSIGNORS = {
    "librdkafka": ["range", "roundrobin", "cooperative-sticky"],
    "kafka-python": ["range", "roundrobin", "sticky", "cooperative-sticky"],
    "aiokafka": ["sticky", "range", "roundrobin"],
    "kafkajs": ["roundrobin"],
    "Java": ["cooperative-sticky", "range", "roundrobin", "sticky"],
    "franz-go": ["cooperative-sticky", "range", "roundrobin", "sticky"],
}


def present(clients):
    """Those of the clients that this machine has; franz-go alone may be missing, loudly."""
    missing = [name for name in clients if name in BUILT and not BUILT[name].exists()]
    for name in missing:
        if name != "franz-go":
            raise Failure(f"{name} is missing: run tests/clients/install first")
        print(f"SKIPPED: {name}: this machine has no go", flush=True)
    return [name for name in clients if name not in missing]


ADMINS, ADMINS_LOCK = {}, threading.Lock()


def admin(address):
    """Librdkafka's admin client, kept: it must not be let go by a thread of its own, as happens to one that nobody holds."""
    with ADMINS_LOCK:
        if address not in ADMINS:
            ADMINS[address] = AdminClient({"log_level": 0, "bootstrap.servers": address})
        return ADMINS[address]


class Actor:
    """One process. What it says goes line by line, split at spaces, to `hear`."""

    def __init__(self, client, role, words, hear, log):
        self.client, self.name, self.hear, self.log = client, words[1], hear, log
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in [*COMMANDS[client], role, *words]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            # Who is killed may leave half a line.
            if line.endswith("\n"):
                self.hear(self, line.split())

    def is_alive(self):
        return self.process.poll() is None

    def end(self, how):
        """Gives the code with which it ended, after everything that it said was heard."""
        if self.is_alive():
            self.process.send_signal(how)
        try:
            code = self.process.wait(WAIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failure(f"{self.client} {self.name} did not end within {WAIT_SECONDS_MAX} s: {self.words()}") from None
        self.reader.join(WAIT_SECONDS_MAX)
        return code

    def kill(self):
        self.end(signal.SIGKILL)

    def leave(self):
        if (code := self.end(signal.SIGTERM)) != 0:
            raise Failure(f"{self.client} {self.name} ended with {code} instead of leaving: {self.words()}")

    def words(self):
        return self.log.read_text(errors="replace")[-1500:]


PORTS = threading.Lock()
GIVEN = set()


def fixed_port():
    """A free port that the system gives to nobody who connects: a client that tries again and again to reach a broker that is
    down would be given that very port in the end, and be connected to itself."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    # Another run of these tests looks elsewhere: a broker takes a while until its port is seen to be taken.
    for port in range(first - 1 - os.getpid() % 800 * 20, 1024, -1):
        with PORTS, socket.socket() as one:
            if port in GIVEN:
                continue
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            GIVEN.add(port)
            return port
    raise Failure("no port is free")


class FixedBroker(Broker):
    """A broker that comes back where it was."""

    def start(self, began=None):
        self.address = self.address or f"127.0.0.1:{fixed_port()}"
        began = began or time.monotonic()
        start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as out:
            command = [self.program, "serve", "--data", self.data, "--listen", self.address, *self.settings]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        while time.monotonic() - began < WAIT_SECONDS_MAX:
            if b"serving on" in self.log.read_bytes()[start:]:
                return
            if self.process.poll() is not None:
                is_taken = b"in use by another process" in self.log.read_bytes()[start:]
                if not is_taken or time.monotonic() - began > WAIT_SECONDS_MAX:
                    raise Failure(self.state())
                # The one that was killed still holds it.
                time.sleep(0.5)
                return self.start(began)
            time.sleep(0.05)
        raise Failure("the broker did not come back")


class ApacheBroker:
    """A broker of Apache Kafka in the place of ours: what holds here must hold there."""

    def __init__(self, folder, settings):
        self.folder, self.settings, self.kafka, self.address = folder, settings, None, None

    def start(self):
        import apache

        try:
            if self.kafka is None:
                self.folder.mkdir(parents=True)
                self.kafka = apache.Kafka(self.folder, self.settings, port=fixed_port())
                self.address = self.kafka.address
            else:
                self.kafka.start()
        except apache.Failure as failure:
            raise Failure(str(failure)) from failure

    def kill(self):
        if self.kafka is not None:
            self.kafka.end()

    def stop(self):
        self.kafka.stop()

    def state(self):
        if self.kafka is None:
            return "there is no broker of Apache Kafka"
        return "the broker is one of Apache Kafka; its last words:\n" + self.kafka.words()


# What Apache Kafka must be told besides to be alone, and to come back soon after a kill.
APACHE = (
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "transaction.state.log.num.partitions=5",
    "offsets.topic.num.partitions=5",
    "broker.session.timeout.ms=2000",
    "broker.heartbeat.interval.ms=500",
)


def new_broker(options, folder, settings):
    """A broker of the kind that the command line asks for, not started yet."""
    if options.apache:
        return ApacheBroker(folder / "apache", (*settings, *APACHE))
    return FixedBroker(options.broker, folder / "data", folder / "broker.log", ("admin.listener=", *settings))
