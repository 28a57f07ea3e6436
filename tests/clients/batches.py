# SPDX-License-Identifier: Apache-2.0
"""The headers of the record batches that lie in the broker's files, read without any client.

A batch begins (big-endian): base offset 8, length 4, leader epoch 4, magic 1, checksum 4, attributes 2, last offset delta 4, base
timestamp 8, largest timestamp 8, producer id 8, producer epoch 2, base sequence 4, count 4. Behind the last batch are zeros.
"""

import struct
from collections import namedtuple

HEADER = struct.Struct(">qiibIhiqqqhii")
LENGTH_BEGINS_BEHIND = 12
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

Batch = namedtuple("Batch", "base_offset codec producer_id base_sequence count")


def read(data, topic, partition):
    """The batches of a partition, in their order."""
    found = []
    for path in sorted((data / f"{topic}-{partition}").glob("*.log")):
        written = path.read_bytes()
        at = 0
        while at + HEADER.size <= len(written):
            base, length, _, magic, _, attributes, *_, producer, _, sequence, count = HEADER.unpack_from(written, at)
            if length == 0:
                break
            if magic != 2:
                raise ValueError(f"{path} holds magic {magic} at {at}")
            found.append(Batch(base, CODECS[attributes & 7], producer, sequence, count))
            at += LENGTH_BEGINS_BEHIND + length
    return found
