# SPDX-License-Identifier: Apache-2.0
"""Copies the commands of README.md into a shell, as somebody new would.

Every block of shell commands under the headings of the tour is run in the order of the page, in the root of the package. A line
that starts a broker goes to a terminal of its own, all others to one shell that stays. Each must succeed, and what the page says
that it shows must be shown.
"""

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent
HEADINGS = ["Five minutes", "Commands", "What it says of itself"]
SECONDS_MAX = 60

# What a command must print, by the beginning of its line.
SHOWN = {
    "furlong consume garden --from-beginning": ["peas", "beans", "carrots"],
    "furlong topic describe garden": ["garden", "partition 2"],
    "kcat -C": ["peas", "leeks", "onions"],
    "furlong log dump": ["baseOffset: ", "isvalid: true"],
    "furlong check": ["io_uring"],
    "furlong consume garden -e --tail": ["bed1", "beans", "season=spring"],
    "furlong consume garden -e --from -1h": ["peas", "onions"],
    "furlong config describe": ["retention.ms", "86400000"],
    "furlong cluster describe": ["127.0.0.1:9092"],
    "furlong consume garden --group readers --exit-at-end": ["peas", "onions", "beans"],
    "furlong consume garden --group walkers": ["peas", "onions", "beans"],
    "furlong group list": ["readers", "classic", "Empty"],
    "furlong group describe readers": ["LAG SECONDS", "garden"],
    "furlong group seek readers --topic garden --to-earliest  ": ["nothing was changed"],
    "furlong group seek readers --topic garden --to-earliest --execute": ["committed 3 offsets"],
    "furlong group seek readers --from-file": ["committed 3 offsets"],
    "furlong group delete": ["deleted group readers and its 3 offsets"],
    "curl": ["furlong_"],
}
# What the page promises of the kill.
AFTER_THE_KILL = "furlong consume garden --from-beginning --exit-at-end"


def bring_up_loopback():
    """A new network namespace has its loopback device down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up_and_running, set_flags = 0x1 | 0x40, 0x8914
        fcntl.ioctl(control, set_flags, struct.pack("16sh14x", b"lo", up_and_running))


def commands(text):
    """The commands of the page, in order; a line that ends in a backslash goes on."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        heading, _, body = section.partition("\n")
        if heading in HEADINGS:
            for block in re.findall(r"^```sh\n(.*?)^```", body, flags=re.M | re.S):
                yield from block.replace("\\\n", " ").splitlines()


class Shell:
    """A shell that gets one line after the other."""

    def __init__(self, environment):
        self.process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=PACKAGE,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, line):
        """What the line prints, and its exit code."""
        self.process.stdin.write(f"{line}\necho \"<$?>\"\n".encode())
        self.process.stdin.flush()
        printed, until = b"", time.monotonic() + SECONDS_MAX
        os.set_blocking(self.process.stdout.fileno(), False)
        while not (end := re.search(rb"<(\d+)>\n\Z", printed)):
            if time.monotonic() > until:
                sys.exit(f"FAILED: {line}\n{printed.decode()}\nstill runs after {SECONDS_MAX} s")
            printed += self.process.stdout.read() or b""
            time.sleep(0.02)
        return printed[: end.start()].decode(errors="replace"), int(end.group(1))


def start_broker(shell, environment):
    """Starts the broker as in a terminal of its own, and waits until it says that it serves."""
    path = shell.run('printf %s "$PATH"')[0]
    broker = subprocess.Popen(
        ["furlong", "serve"],
        cwd=PACKAGE,
        env={**environment, "PATH": path},
        executable=shutil.which("furlong", path=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said = broker.stdout.readline().decode()
    if "is serving on 127.0.0.1:9092" not in said:
        sys.exit(f"FAILED: furlong serve says: {said}")
    return broker


def main():
    bring_up_loopback()
    folder = Path(tempfile.mkdtemp(prefix="tour-", dir=PACKAGE / "target"))
    data = PACKAGE / "furlong-data"
    was_there = data.exists()
    data.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", folder, data], check=True)
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder)}
    shell, brokers, count = Shell(environment), [], 0
    for line in commands((PACKAGE / "README.md").read_text(encoding="utf-8")):
        count += 1
        if line.strip() == "furlong serve":
            brokers.append(start_broker(shell, environment))
            continue
        printed, code = shell.run(line)
        expected = [words for start, words in SHOWN.items() if line.startswith(start)]
        missing = [word for words in expected[-1:] for word in words if word not in printed]
        if code != 0 or missing:
            sys.exit(f"FAILED: {line}\n{printed}\nexit code {code}, not shown: {missing}")
        print(f"ok: {line}")
    after, code = shell.run(AFTER_THE_KILL)
    kept = [word for word in ["peas", "beans", "carrots", "leeks", "onions"] if word in after]
    brokers[-1].terminate()
    is_stopped = brokers[-1].wait(SECONDS_MAX) == 0
    subprocess.run(["umount", data], check=True)
    shutil.rmtree(folder)
    if not was_there:
        data.rmdir()
    if code != 0 or len(kept) < 5 or len(brokers) < 2 or count < 15 or not is_stopped:
        sys.exit(f"FAILED: {count} commands, {len(brokers)} brokers, kept {kept}, clean stop {is_stopped}")
    print(f"{count} commands of README.md: all as the page says")


main()
