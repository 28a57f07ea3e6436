# SPDX-License-Identifier: Apache-2.0
"""A broker of Furlong and one of Apache Kafka, both on free ports with the same settings, and the comparison between them."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(PACKAGE / "tests" / "kafka_tools"), str(PACKAGE / "tests" / "clients")]

import apache  # noqa: E402
import broker  # noqa: E402

# A partition of Kafka takes most of a megabyte, and every case makes some.
HEAP_MB = 800
# The records of the cases are years old, and retention must not take them in the middle of a case.
# Its topic of transactions would wait for three brokers.
KAFKA_SETTINGS = [
    "log.initial.task.delay.ms=3600000",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "transaction.state.log.num.partitions=5",
]
COMPARISON = ["cargo", "test", "-q", "--locked", "--test", "differential", "--", "--include-ignored", "--nocapture"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", default=str(PACKAGE / "target" / "release" / "furlong"))
    arguments.add_argument("--only", default="", help="cases whose names begin so")
    arguments = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="furlong-differential-"))
    kafka, furlong = None, None
    try:
        settings = ["node.id=1"]
        furlong = broker.Broker(arguments.program, directory / "furlong", directory / "furlong.log", settings)
        furlong.start()
        kafka = apache.Kafka(directory, KAFKA_SETTINGS, HEAP_MB)
        environment = {
            **os.environ,
            "FURLONG_ADDRESS": furlong.address,
            "KAFKA_ADDRESS": kafka.address,
            "FURLONG_DIFFERENTIAL_ONLY": arguments.only,
        }
        code = subprocess.run(COMPARISON, cwd=PACKAGE, env=environment, check=False).returncode
        if code != 0 and furlong.process.poll() is not None:
            print(furlong.state(), file=sys.stderr)
        return code
    except (apache.Failure, broker.Failure) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        if furlong is not None:
            furlong.kill()
        if kafka is not None:
            kafka.end()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
