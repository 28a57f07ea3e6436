# SPDX-License-Identifier: Apache-2.0
"""One broker of Apache Kafka as a process: KRaft, broker and controller in one, from the jars that `install` brings."""

import socket
import subprocess
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent
JARS = PACKAGE / "target" / "kafka-tools" / "*"
PATIENCE_S = 120


class Failure(Exception):
    """Something is not as it must be."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Kafka:
    """One broker of Apache Kafka, on a free port."""

    def __init__(self, directory, settings=(), heap_mb=400, port=None):
        self.directory = directory
        # The controller's is kept: a broker that comes back looks for itself where it was.
        self.port, controller = port or free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.settings = directory / "server.properties"
        self.settings.write_text(
            "process.roles=broker,controller\nnode.id=1\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
            f"listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}\n"
            "controller.listener.names=CONTROLLER\n"
            f"log.dirs={directory / 'data'}\n"
            "offsets.topic.replication.factor=1\n"
            + "".join(f"{setting}\n" for setting in settings)
        )
        self.java = ["java", f"-Xmx{heap_mb}m", "-cp", str(JARS)]
        made = subprocess.run(
            [*self.java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", self.settings],
            capture_output=True, text=True, check=False,
        )
        if made.returncode != 0:
            raise Failure(f"Kafka's directory cannot be made: {made.stdout}{made.stderr}")
        self.start()

    def start(self):
        """Starts it, for the first time or after it was stopped or killed."""
        with open(self.directory / "broker.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([*self.java, "kafka.Kafka", self.settings], stdout=log, stderr=log)
        try:
            self.wait()
        except Failure:
            self.end()
            raise

    def wait(self):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure("Kafka ended: " + self.words())
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise Failure("Kafka does not start")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("Kafka does not stop") from None

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def words(self):
        """The last ones."""
        return (self.directory / "broker.log").read_text(errors="replace")[-3000:]
