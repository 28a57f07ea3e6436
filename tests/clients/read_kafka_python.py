# SPDX-License-Identifier: Apache-2.0
"""Reads a topic through kafka-python: the values of partition N go into the file part-N of a folder, one a line."""

import sys

from kafka import KafkaConsumer, TopicPartition


def read_partition(consumer, at, path):
    consumer.assign([at])
    offset = consumer.beginning_offsets([at])[at]
    end = consumer.end_offsets([at])[at]
    consumer.seek(at, offset)
    with open(path, "wb", buffering=1 << 20) as out:
        while offset < end:
            records = consumer.poll(timeout_ms=30_000, max_records=20_000).get(at, [])
            if not records:
                sys.exit(f"{at}: nothing came for 30 s at offset {offset} of {end}")
            for record in records:
                if record.offset != offset:
                    sys.exit(f"{at}: offset {record.offset} where {offset} was due")
                out.write(record.value + b"\n")
                offset += 1


def main():
    server, topic, partitions, folder = sys.argv[1:]
    consumer = KafkaConsumer(
        bootstrap_servers=server,
        group_id=None,
        enable_auto_commit=False,
        check_crcs=True,
        max_partition_fetch_bytes=8 << 20,
    )
    for partition in range(int(partitions)):
        read_partition(consumer, TopicPartition(topic, partition), f"{folder}/part-{partition}")
    consumer.close()


main()
