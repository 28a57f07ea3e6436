# SPDX-License-Identifier: Apache-2.0
"""What the actors in Python share: the words that they say, and what a loop does with a record.

An actor is a program in the language of one client, killed and started again by groups.py, assignments.py and eos.py, that says
what happened to it in lines:

    member ADDRESS NAME GROUP TOPICS ASSIGNOR         consumes and commits; TOPICS is a list with commas. For librdkafka and Java:
                                                      consumer:NAME is an assignor of the broker's (KIP-848), ^TOPICS a pattern
        assigned topic:partition ...                  all that it owns, at each change
        record topic:partition OFFSET VALUE
        committed topic:partition OFFSET              after the broker has acknowledged it
    loop ADDRESS NAME GROUP INPUT OUTPUT              consumes, transforms and produces in transactions; NAME is its
        begun COUNT                                   transactional id. COUNT records are in the transaction
        committed COUNT
        aborted COUNT                                 on purpose, or because the client asked for it

SIGTERM lets it leave and end with 0. A loop that cannot go on ends with another code and is started again: that is all its
recovery. The same words are said by kafkajs/actor.js, java/Actor.java and franz/actor.go.
"""

import random
import signal
import sys
import threading

# Few, so that many transactions are under way at any instant.
TRANSACTION_RECORDS_MAX = 25
# One transaction in so many is aborted on purpose.
ABORTED_ONE_IN = 8
# Between the records and the end of a transaction, so that a kill often falls there.
PAUSE_SECONDS_MAX = 0.05
SESSION_TIMEOUT_MS, HEARTBEAT_MS = 3000, 300


def say(*words):
    print(*words, flush=True)


class Assigned:
    """Says what a member is assigned whenever that changes."""

    def __init__(self):
        self.said = None

    def tell(self, places):
        places = sorted(f"{topic}:{partition}" for topic, partition in places)
        if places != self.said:
            say("assigned", *places)
            self.said = places


def ends_on_sigterm():
    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    return ends


def is_aborted_on_purpose():
    return random.randrange(ABORTED_ONE_IN) == 0


def pause_seconds():
    return random.random() * PAUSE_SECONDS_MAX


def transformed(partition, offset, value, on_purpose):
    """What a loop makes of a record. A reader of committed records never sees the other kind."""
    if on_purpose:
        return b"aborted:%d:%d" % (partition, offset)
    return b"%d:%d:%s" % (partition, offset, value[::-1])


def act(roles):
    """Plays what the command line says."""
    role, *words = sys.argv[1:]
    roles[role](*words)
