# SPDX-License-Identifier: Apache-2.0
"""What the client programs in Python share: the loop over requests, and bytes as base64.

A client program is started with the address of the broker. Each line of its standard input is one request, a JSON object with a
`verb`; each line of its standard output is the answer to it: `{"ok": ...}`, `{"error": "..."}`, or `{"unsupported": "..."}` where
the client itself has no such thing. Keys, values and header values are base64 or null. Whatever a library prints goes to the
standard error. The verbs (the same in every language):

version                                                      the version of the client
produce {topic, codec, idempotent, acks, records}            [partition, offset] in the order of the records, or nulls where it
                                                             does not say; without acknowledgements they mean nothing
consume {topic, from: {partition: offset}, count}            that many records of the assigned partitions
offsets {topic, partition}                                   {begin, end}
offset_at {topic, partition, timestamp}                      the first offset that is not older, or null
create {topic, partitions, configs}, delete {topic}, list {}
describe {topic}                                             [{partition, leader, replicas, isr}], by partition
describe_config {topic}, alter_config {topic, configs}
grow {topic, partitions}
trim {topic, partition, before}                              the first offset that is left, or null where it does not say
cluster {}                                                   {id, brokers: ["host:port"]}
groups {}                                                    their names
group {group}                                                {state, members: [client id]}, the state in small letters
committed {group, topic}                                     {partition: offset} of what is committed
commit {group, topic, offsets}                               changes them
forget {group, topic, partition}                             takes one away
delete_group {group}
set_quotas {client_id, quotas: {name: number or null}}       null takes one away
quotas {client_id}                                           {name: number}
transactions {}                                              {transactional id: state}
transaction {id}                                             {state, partitions: ["topic:partition"]}
abort {topic, partition}                                     aborts what is open there, whoever began it
"""

import base64
import inspect
import json
import os
import sys

# How long a client waits for what it asked for.
PATIENCE_S = 30


class Unsupported(Exception):
    """The client has no such thing; the text says what."""


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


class Record:
    """A record to be sent, decoded."""

    def __init__(self, sent):
        self.partition, self.timestamp = sent.get("partition"), sent.get("timestamp")
        self.key, self.value = decode(sent["key"]), decode(sent["value"])
        self.headers = [(name, decode(value)) for name, value in sent.get("headers", [])]


def received(partition, offset, key, value, headers, timestamp):
    """A record that was read, for the answer."""
    return {
        "partition": partition,
        "offset": offset,
        "key": encode(key),
        "value": encode(value),
        "headers": [[name, encode(value)] for name, value in headers or []],
        "timestamp": timestamp,
    }


def answer(client, request):
    verb = request.pop("verb")
    try:
        handler = getattr(client, verb, None)
        if handler is None:
            raise Unsupported(f"no {verb}")
        done = handler(**request)
        if inspect.iscoroutine(done):
            done = client.loop.run_until_complete(done)
        return {"ok": done}
    except Unsupported as missing:
        return {"unsupported": str(missing)}
    except Exception as error:  # Whatever a client throws is a finding, not an end.
        return {"error": f"{type(error).__name__}: {error}"}


def serve(make_client):
    """Answers until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    client = make_client(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(answer(client, json.loads(line))), file=out, flush=True)
    client.close()
