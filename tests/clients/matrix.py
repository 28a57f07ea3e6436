# SPDX-License-Identifier: Apache-2.0
"""What each foreign client can do with the real program: a table of client and capability, each cell a check that ran.

The capabilities are in capabilities.py, Apache Kafka's console tools in tools.py. A cell is `ok`; `-` where the client has no
such thing, which skips.txt must say with a reason; or FAILED. The run fails as well if skips.txt excuses what works, or if the
tables in tests/README.md are not what ran (`--write-tables` writes them there).
"""

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import capabilities
import tools
from broker import Broker, Failure
from program import COMMANDS, TARGET, Program, Unsupported, lacking

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
SKIPS = HERE / "skips.txt"
BEGIN, END = "<!-- Written by tests/clients/matrix.py --write-tables. -->\n", "<!-- End of what it writes. -->\n"
OK, SKIP, FAILED = "ok", "-", "FAILED"
CELLS = {**capabilities.WRITING, **capabilities.READING}
# They read what the others have written.
REFEREES = ["librdkafka", "kafka-python"]


def read_skips():
    """By client and capability: the reason."""
    skips = {}
    for number, line in enumerate(SKIPS.read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            client, capability, reason = (part.strip() for part in line.split("|"))
            known = tools.TOOLS if client == tools.COLUMN else CELLS
            if capability not in known or not reason:
                raise Failure(f"skips.txt, line {number}: no such capability, or no reason: {line}")
            skips[client, capability] = reason
    return skips


class Matrix:
    """The cells, as they come."""

    def __init__(self, run, wanted):
        self.run, self.wanted = run, wanted
        self.cells, self.notes, self.seconds = {}, [], {}

    def stage(self, checks, clients, jobs):
        """One client after the other asks for everything; several clients at once."""
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            for done in [pool.submit(self.client, checks, client) for client in clients]:
                done.result()

    def client(self, checks, client):
        for capability, check in checks.items():
            if self.wanted(capability):
                self.cell(client, capability, lambda: check(self.run, self.run.programs[client]))

    def cell(self, client, capability, check):
        began = time.monotonic()
        try:
            check()
            self.cells[client, capability] = OK
        except Unsupported as missing:
            self.cells[client, capability] = SKIP
            self.notes.append(f"skipped: {client}: {capability}: {missing}")
        except Exception as failure:  # A check that breaks has failed, and the others go on.
            self.cells[client, capability] = FAILED
            self.notes.append(f"FAILED: {client}: {capability}: {type(failure).__name__}: {str(failure)[:2000]}")
        self.seconds[client, capability] = time.monotonic() - began


def judge_skips(cells, skips, is_whole):
    """Sentences about skips that nobody excused, and excuses for what works."""
    wrong = []
    for (client, capability), cell in cells.items():
        if cell == SKIP and (client, capability) not in skips:
            wrong.append(f"{client}: {capability} is skipped, and skips.txt gives no reason")
        if cell == OK and (client, capability) in skips:
            wrong.append(f"{client}: {capability} works; take it out of skips.txt")
    if is_whole:
        clients = {client for client, _ in cells}
        for client, capability in skips:
            if client in clients and (client, capability) not in cells:
                wrong.append(f"{client}: {capability} of skips.txt did not run")
            if client not in [*COMMANDS, tools.COLUMN]:
                wrong.append(f"skips.txt knows a client that is not there: {client}")
    return wrong


def table(cells, names, rows, head):
    """Markdown, with the versions in the head."""
    lines = ["| " + " | ".join([head, *names.values()]) + " |", "|---" * (len(names) + 1) + "|"]
    for row, label in rows.items():
        found = [cells.get((name, row), "") for name in names]
        if any(found):
            lines.append("| " + " | ".join([label, *found]) + " |")
    return "\n".join(lines) + "\n"


def tables(cells, versions):
    """Both tables as they stand in the README."""
    clients = {name: f"{name} {version}" for name, version in versions.items() if name != tools.COLUMN}
    text = "\n" + table(cells, clients, {row: row for row in CELLS}, "capability") + "\n"
    named = {name: f"`{name}`: {what}" for name, (what, _) in tools.TOOLS.items()}
    return text + table(cells, {tools.COLUMN: versions.get(tools.COLUMN, "")}, named, f"{tools.COLUMN} of Apache Kafka") + "\n"


def committed():
    before, found, rest = README.read_text().partition(BEGIN)
    inside, ended, after = rest.partition(END)
    if not found or not ended:
        raise Failure(f"tests/README.md has no place for the tables, between {BEGIN.strip()} and {END.strip()}")
    return before, inside, after


def judge_tables(text, is_written):
    before, inside, after = committed()
    if inside == text:
        return []
    if is_written:
        README.write_text(before + BEGIN + text + END + after)
        return []
    old, new = inside.splitlines(), text.splitlines()
    other = [line for line in new if line not in old][:5]
    return ["the tables in tests/README.md are not what ran (--write-tables writes them): " + "; ".join(other)]


def arguments():
    names = lambda text: text.split(",")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=names, default=[*COMMANDS, tools.COLUMN], help="only these columns")
    parser.add_argument("--only", default="", help="only capabilities with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="clients at once (default 2)")
    parser.add_argument("--furlong", type=Path, default=HERE.parent.parent / "target" / "release" / "furlong")
    parser.add_argument("--write-tables", action="store_true", help="write the tables into tests/README.md")
    parser.add_argument("--times", action="store_true", help="say what each cell took")
    options = parser.parse_args()
    if unknown := set(options.clients) - {*COMMANDS, tools.COLUMN}:
        parser.error(f"no such client: {', '.join(unknown)}; there are {', '.join([*COMMANDS, tools.COLUMN])}")
    return options


def wanted(only):
    """What is read must have been written."""
    return lambda capability: only in capability or only in capability.replace("write ", "read ", 1)


def measure(options, folder, broker, clients):
    """Runs every cell. Gives the matrix and the versions."""
    broker.start()
    with ExitStack() as ends:

        def start(name, log):
            program = Program(name, broker.address, folder / log)
            ends.callback(program.end)
            return program

        started = {name: start(name, f"{name}.log") for name in clients}
        # Processes of their own: a client that waits for a record must not keep the one that writes it.
        referees = {name: start(name, f"referee-{name}.log") for name in REFEREES}
        run = capabilities.Run(broker.address, folder / "data", started, referees)
        matrix = Matrix(run, wanted(options.only))
        versions = {name: started[name].ask("version") for name in clients}
        matrix.stage(capabilities.WRITING, clients, options.jobs)
        matrix.stage(capabilities.READING, clients, options.jobs)
        if tools.COLUMN in options.clients:
            versions[tools.COLUMN] = tools.version()
            run_tools(matrix, tools.Kit(broker.address, folder, referees["librdkafka"]), options.jobs)
    broker.stop()
    return matrix, versions


def run_tools(matrix, kit, jobs):
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for name, (_, check) in tools.TOOLS.items():
            if matrix.wanted(name):
                pool.submit(matrix.cell, tools.COLUMN, name, lambda check=check: check(kit))


def main():
    options = arguments()
    try:
        sys.exit(judged(options))
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")


def judged(options):
    """Runs, prints, judges. Gives the exit code."""
    skips = read_skips()
    asked = [name for name in COMMANDS if name in options.clients]
    missing = lacking(asked)
    for name, what in missing.items():
        print(f"SKIPPED: {name}: this machine has no {what}", flush=True)
    clients = [name for name in asked if name not in missing]
    folder = Path(tempfile.mkdtemp(prefix="matrix-", dir=TARGET))
    # kafkajs reads through a group, every tool that joins one is alone, and an actor is given up soon.
    settings = ["group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000"]
    broker = Broker(options.furlong, folder / "data", folder / "broker.log", settings)
    try:
        matrix, versions = measure(options, folder, broker, clients)
    except Failure as failure:
        raise Failure(f"{failure}\n{broker.state()}") from failure
    finally:
        broker.kill()
        said = (folder / "broker.log").read_text(errors="replace")[-3000:] if (folder / "broker.log").exists() else ""
        shutil.rmtree(folder, ignore_errors=True)
    is_whole = not options.only and set(versions) == {*COMMANDS, tools.COLUMN}
    text = tables(matrix.cells, versions)
    print(text, *matrix.notes, sep="\n")
    if options.times:
        for cell, seconds in sorted(matrix.seconds.items(), key=lambda one: -one[1])[:25]:
            print(f"{seconds:6.2f} s  {': '.join(cell)}")
    wrong = judge_skips(matrix.cells, skips, not options.only)
    failed = [cell for cell, found in matrix.cells.items() if found == FAILED]
    if is_whole and not failed:
        wrong += judge_tables(text, options.write_tables)
    if failed:
        print(f"the broker's last words:\n{said}")
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    counts = {word: sum(1 for found in matrix.cells.values() if found == word) for word in (OK, FAILED, SKIP)}
    print(f"capabilities: {counts[OK]} passed, {counts[FAILED] + len(wrong)} failed, {counts[SKIP]} skipped")
    return 1 if failed or wrong or not counts[OK] else 0


main()
