# SPDX-License-Identifier: Apache-2.0
"""The real program as a process, for the tests that come from outside: started on a free port, watched, ended by its id."""

import re
import signal
import subprocess
import time
from pathlib import Path

READY = re.compile(r"serving on (127\.0\.0\.1:\d+)")
READY_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 1800


class Failure(Exception):
    """One step went wrong; the text says which and how."""


def call(command, **options):
    """Runs one command; its last words are the failure when it fails."""
    done = subprocess.run(
        [str(part) for part in command], stderr=subprocess.PIPE, timeout=COMMAND_SECONDS_MAX, **options
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()[-500:]
        raise Failure(f"{Path(command[0]).name} ended with {done.returncode}: {words}")


class Broker:
    """The real program, on a port of its own choosing."""

    def __init__(self, program, data, log, settings=()):
        self.program, self.data, self.log = program, data, log
        self.settings = [part for setting in settings for part in ("--set", setting)]
        self.process, self.address = None, None

    def start(self):
        start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [self.program, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *self.settings],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        began = time.monotonic()
        while time.monotonic() - began < READY_SECONDS_MAX:
            said = self.log.read_bytes()[start:].decode(errors="replace")
            if found := READY.search(said):
                self.address = found.group(1)
                return time.monotonic() - began
            if self.process.poll() is not None:
                raise Failure(f"the broker ended with {self.process.returncode}: {said[-500:]}")
            time.sleep(0.02)
        raise Failure(f"the broker was not ready after {READY_SECONDS_MAX} s: {said[-500:]}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def state(self):
        """Whether it runs, and its last words."""
        code = self.process.poll() if self.process else "not started"
        said = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
        return f"the broker {'runs' if code is None else f'has ended: {code}'}; its last words:\n{said}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        if code != 0:
            raise Failure(f"the broker ended with {code} after SIGTERM")
