# SPDX-License-Identifier: Apache-2.0
"""Reads a topic through confluent-kafka: the values of partition N go into the file part-N of a folder, one a line."""

import sys

from confluent_kafka import Consumer, TopicPartition


def read_partition(server, topic, partition, path):
    consumer = Consumer(
        {
            "bootstrap.servers": server,
            "group.id": "round-trip",
            "enable.auto.commit": False,
            "check.crcs": True,
            "allow.auto.create.topics": False,
        }
    )
    try:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        consumer.assign([TopicPartition(topic, partition, low)])
        offset = low
        with open(path, "wb", buffering=1 << 20) as out:
            while offset < end:
                # It waits for as many as it is asked for, so not for more than there are.
                messages = consumer.consume(num_messages=min(10_000, end - offset), timeout=30)
                if not messages:
                    sys.exit(f"{topic}-{partition}: nothing came for 30 s at offset {offset} of {end}")
                for message in messages:
                    if message.error():
                        sys.exit(f"{topic}-{partition}: {message.error()}")
                    if message.offset() != offset:
                        sys.exit(f"{topic}-{partition}: offset {message.offset()} where {offset} was due")
                    out.write(message.value() + b"\n")
                    offset += 1
    finally:
        consumer.close()


def main():
    server, topic, partitions, folder = sys.argv[1:]
    for partition in range(int(partitions)):
        read_partition(server, topic, partition, f"{folder}/part-{partition}")


main()
