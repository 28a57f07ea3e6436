# SPDX-License-Identifier: Apache-2.0
"""Where Java's client puts a key: MurmurHash2 (32 bits) with Kafka's seed, its sign bit cleared, modulo the partitions."""

SEED = 0x9747B28C
MIX, SHIFT, WORD = 0x5BD1E995, 24, 0xFFFFFFFF


def murmur2(data):
    state = (SEED ^ len(data)) & WORD
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        part = int.from_bytes(data[at : at + 4], "little") * MIX & WORD
        part = (part ^ part >> SHIFT) * MIX & WORD
        state = (state * MIX & WORD) ^ part
    if len(data) > whole:
        state = (state ^ int.from_bytes(data[whole:], "little")) * MIX & WORD
    state = (state ^ state >> 13) * MIX & WORD
    return state ^ state >> 15


def partition(key, partitions):
    return (murmur2(key) & 0x7FFFFFFF) % partitions
