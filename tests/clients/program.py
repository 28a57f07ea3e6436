# SPDX-License-Identifier: Apache-2.0
"""A client program as a process of ours: one request, one answer (programs/serve.py says which)."""

import base64
import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path

from broker import Failure

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target" / "clients"
JARS = TARGET / "java"
ANSWER_SECONDS_MAX = 90

# The JVM's own start is most of what a short run costs.
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
PYTHON = TARGET / "venv" / "bin" / "python"


def python(name):
    return [PYTHON, "-B", HERE / "programs" / name]


# The columns of the table, in their order.
COMMANDS = {
    "kcat": python("kcat.py"),
    "librdkafka": python("confluent.py"),
    "kafka-python": python("kafka_python.py"),
    "aiokafka": python("aio.py"),
    "kafkajs": ["node", TARGET / "kafkajs" / "client.js"],
    "rskafka": [TARGET / "debug" / "rskafka-client"],
    "Java": [*JAVA, "-cp", f"{JARS}/*:{TARGET / 'classes'}", "Client"],
    "franz-go": [TARGET / "franz"],
}

# What `install` makes for each, beside the program that the command names.
BUILT = {
    "kafkajs": TARGET / "kafkajs" / "node_modules",
    "Java": TARGET / "classes" / "Client.class",
    "franz-go": TARGET / "franz",
    "rskafka": TARGET / "debug" / "rskafka-client",
}
# What `install` does not bring: without it the column is left out, loudly.
LANGUAGES = {"franz-go": "go"}


def lacking(names):
    """Clients whose language this machine lacks, with what it lacks. The others must be there."""
    found = {}
    for name in names:
        language = LANGUAGES.get(name)
        if language and not shutil.which(language):
            found[name] = language
        elif not shutil.which(str(COMMANDS[name][0])) or (name in BUILT and not BUILT[name].exists()):
            raise Failure(f"{name} is missing: run tests/clients/install first")
    return found


class Unsupported(Exception):
    """The client has no such thing; the text says what."""


class Refused(Failure):
    """The client says that something went wrong."""


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


class Program:
    """One client under its broker's address. Several threads may ask; they wait for each other."""

    def __init__(self, name, server, log):
        self.name, self.log, self.turn = name, log, threading.Lock()
        self.answers = queue.SimpleQueue()
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in COMMANDS[name]] + [server],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(b"")

    def ask(self, verb, **request):
        return self.start(verb, **request)()

    def start(self, verb, **request):
        """Sends a request; what is returned waits for the answer."""
        self.turn.acquire()
        try:
            self.process.stdin.write(json.dumps({"verb": verb, **request}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            self.turn.release()
            raise Failure(f"{self.name} is gone: {error}; its last words: {self.words()}") from None

        def finish():
            try:
                line = self.answers.get(timeout=ANSWER_SECONDS_MAX)
            except queue.Empty:
                # Whatever it says later would be taken for the next answer.
                self.process.kill()
                raise Failure(f"{self.name} did not answer {verb} within {ANSWER_SECONDS_MAX} s") from None
            finally:
                self.turn.release()
            if not line:
                raise Failure(f"{self.name} ended over {verb}: {self.words()}")
            return self.judge(verb, json.loads(line))

        return finish

    def judge(self, verb, answer):
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "error" in answer:
            raise Refused(f"{self.name} says of {verb}: {answer['error']}")
        return answer["ok"]

    def words(self):
        return self.log.read_text(errors="replace")[-1000:]

    def end(self):
        try:
            self.process.stdin.close()
            self.process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
