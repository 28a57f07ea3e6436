// SPDX-License-Identifier: Apache-2.0
// kafkajs as a client program: one request a line in, one answer a line out (programs/serve.py says which). It reads through
// groups only, so each `consume` joins a group of its own and seeks.
'use strict';

const readline = require('node:readline');
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs');
const lz4 = require('lz4js');
const xxh32 = require('lz4js/xxh32.js');
const snappy = require('snappyjs');
const { ZstdCodec } = require('zstd-codec');

const PATIENCE_MS = 30_000;
// Records of one `send` make one batch a partition.
const BATCH_RECORDS = 40;
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async (encoder) => Buffer.from(snappy.compress(encoder.buffer)),
  decompress: async (buffer) => unsnap(buffer),
});
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => independent(Buffer.from(lz4.compress(encoder.buffer))),
  decompress: async (buffer) => Buffer.from(lz4.decompress(withoutBlockSums(buffer))),
});

// Java and some others write snappy in chunks behind a head: 8 bytes of a name, two versions, then each chunk behind its length.
const CHUNKED = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const CHUNKED_HEAD_BYTES = 16;

function unsnap(buffer) {
  if (!buffer.subarray(0, CHUNKED.length).equals(CHUNKED)) return Buffer.from(snappy.uncompress(buffer));
  const chunks = [];
  for (let at = CHUNKED_HEAD_BYTES; at < buffer.length; ) {
    const size = buffer.readInt32BE(at);
    chunks.push(Buffer.from(snappy.uncompress(buffer.subarray(at + 4, at + 4 + size))));
    at += 4 + size;
  }
  return Buffer.concat(chunks);
}

// lz4js looks for the checksum of a block before it, where it does not stand: some clients' frames have them behind each block.
const BLOCK_SUMS = 0x10;
const CONTENT_SIZE = 0x08;

function withoutBlockSums(frame) {
  if ((frame[4] & BLOCK_SUMS) === 0) return frame;
  const head = 7 + (frame[4] & CONTENT_SIZE ? 8 : 0);
  const parts = [Buffer.from(frame.subarray(0, head))];
  parts[0][4] &= ~BLOCK_SUMS;
  let at = head;
  for (let size; (size = frame.readUInt32LE(at) & 0x7fffffff) !== 0; at += 4 + size + 4) {
    parts.push(frame.subarray(at, at + 4 + size));
  }
  parts.push(frame.subarray(at));
  return Buffer.concat(parts);
}

// Java's reader wants the frame to say that no block needs another one, which is true of a frame of one block; the byte behind the
// two of the descriptor is their checksum.
function independent(frame) {
  frame[4] |= 0x20;
  frame[6] = (xxh32.hash(0, frame, 4, 2) >> 8) & 0xff;
  return frame;
}

const encode = (data) => (data === null || data === undefined ? null : data.toString('base64'));
const decode = (text) => (text === null ? null : Buffer.from(text, 'base64'));

class Unsupported extends Error {}

class Client {
  constructor(server, zstd) {
    CompressionCodecs[CompressionTypes.ZSTD] = () => ({
      compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
      // Others do not say in the frame how much it holds.
      decompress: async (buffer) => Buffer.from(zstd.streaming.decompress(buffer)),
    });
    this.readers = 0;
    this.kafka = new Kafka({
      brokers: [server],
      logLevel: logLevel.NOTHING,
      requestTimeout: PATIENCE_MS,
      retry: { retries: 5 },
    });
    this.admin = this.kafka.admin();
  }

  async version() {
    return require('kafkajs/package.json').version;
  }

  async produce({ topic, codec = 'none', idempotent = false, acks = 'all', records }) {
    if (records.some(({ headers = [] }) => headers.some(([, value]) => value === null))) {
      throw new Unsupported('headers without a value');
    }
    // Without this it has several requests under way, and an idempotent producer of it may not.
    const producer = this.kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : null });
    await producer.connect();
    try {
      for (let first = 0; first < records.length; first += BATCH_RECORDS) {
        const messages = records.slice(first, first + BATCH_RECORDS).map(message);
        const wanted = acks === 'all' ? -1 : Number(acks);
        await producer.send({ topic, acks: wanted, timeout: PATIENCE_MS, compression: CODECS[codec], messages });
      }
      return records.map(() => null);
    } finally {
      await producer.disconnect();
    }
  }

  async consume({ topic, from, count }) {
    this.readers += 1;
    const groupId = `kafkajs-reader-${process.pid}-${this.readers}`;
    const consumer = this.kafka.consumer({ groupId, maxWaitTimeInMs: 100, allowAutoTopicCreation: false });
    // What was on its way before the seek may come as well, so each place counts once.
    const found = new Map();
    await consumer.connect();
    try {
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${found.size} of ${count} records came`)), PATIENCE_MS);
        const eachMessage = async ({ partition, message }) => {
          const first = from[partition];
          if (first !== undefined && Number(message.offset) >= first) found.set(`${partition}:${message.offset}`, received(partition, message));
          if (found.size < count) return;
          clearTimeout(timer);
          resolve();
        };
        consumer.run({ autoCommit: false, eachMessage }).catch(reject);
        for (const [partition, offset] of Object.entries(from)) {
          consumer.seek({ topic, partition: Number(partition), offset: String(offset) });
        }
      });
      return [...found.values()];
    } finally {
      await consumer.disconnect();
    }
  }

  async offsets({ topic, partition }) {
    const found = (await this.admin.fetchTopicOffsets(topic)).find((one) => one.partition === partition);
    return { begin: Number(found.low), end: Number(found.high) };
  }

  async offset_at({ topic, partition, timestamp }) {
    const found = await this.admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
    return Number(found.find((one) => one.partition === partition).offset);
  }

  async create({ topic, partitions, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    const isNew = await this.admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
    });
    // Of all reasons for a refusal this one is not thrown.
    if (!isNew) throw new Error('the topic exists already');
    return null;
  }

  async delete({ topic }) {
    await this.admin.deleteTopics({ topics: [topic] });
    return null;
  }

  async list() {
    return (await this.admin.listTopics()).sort();
  }

  async describe({ topic }) {
    const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0].partitions
      .map(({ partitionId, leader, replicas, isr }) => ({ partition: partitionId, leader, replicas, isr }))
      .sort((one, other) => one.partition - other.partition);
  }

  async describe_config({ topic }) {
    const { resources } = await this.admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
    });
    return Object.fromEntries(resources[0].configEntries.map((one) => [one.configName, one.configValue]));
  }

  async alter_config({ topic, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    await this.admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }],
    });
    return null;
  }

  async grow({ topic, partitions }) {
    await this.admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] });
    return null;
  }

  async trim({ topic, partition, before }) {
    // It looks for the leader before it has asked for the topic, unless something else did.
    await this.admin.fetchTopicOffsets(topic);
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
    return null;
  }

  async cluster() {
    const { clusterId, brokers } = await this.admin.describeCluster();
    return { id: clusterId, brokers: brokers.map(({ host, port }) => `${host}:${port}`) };
  }

  async groups() {
    return (await this.admin.listGroups()).groups.map((one) => one.groupId);
  }

  async group({ group }) {
    const { state, members } = (await this.admin.describeGroups([group])).groups[0];
    return { state: state.toLowerCase(), members: members.map((one) => one.clientId) };
  }

  async committed({ group, topic }) {
    const [{ partitions }] = await this.admin.fetchOffsets({ groupId: group, topics: [topic] });
    const there = partitions.filter((one) => Number(one.offset) >= 0);
    return Object.fromEntries(there.map((one) => [one.partition, Number(one.offset)]));
  }

  async commit({ group, topic, offsets }) {
    const partitions = Object.entries(offsets).map(([at, offset]) => ({ partition: Number(at), offset: String(offset) }));
    await this.admin.setOffsets({ groupId: group, topic, partitions });
    return null;
  }

  async delete_group({ group }) {
    await this.admin.deleteGroups([group]);
    return null;
  }
}

function received(partition, { offset, timestamp, key, value, headers }) {
  // Those of one name are a list.
  const pairs = Object.entries(headers ?? {}).flatMap(([name, held]) => [held].flat().map((one) => [name, encode(one)]));
  return { partition, offset: Number(offset), timestamp: Number(timestamp), key: encode(key), value: encode(value), headers: pairs };
}

// Headers are an object here, so those of one name are a list.
function message({ partition, timestamp, key, value, headers = [] }) {
  const named = {};
  for (const [name, held] of headers) {
    named[name] = name in named ? [].concat(named[name], [decode(held)]) : decode(held);
  }
  const one = { key: decode(key), value: decode(value), headers: named };
  if (partition !== undefined && partition !== null) one.partition = partition;
  if (timestamp !== undefined && timestamp !== null) one.timestamp = String(timestamp);
  return one;
}

async function answer(client, { verb, ...request }) {
  if (typeof client[verb] !== 'function') return { unsupported: `no ${verb}` };
  try {
    return { ok: await client[verb](request) };
  } catch (error) {
    if (error instanceof Unsupported) return { unsupported: error.message };
    const inner = [...(error.errors ?? []), ...(error.groups ?? []).map((one) => one.error)].map((one) => one.message);
    return { error: [error.message, error.type, ...inner].filter(Boolean).join('; ') };
  }
}

async function main() {
  const zstd = await new Promise((resolve) =>
    ZstdCodec.run((made) => resolve(Object.assign(new made.Simple(), { streaming: new made.Streaming() }))),
  );
  const client = new Client(process.argv[2], zstd);
  await client.admin.connect();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(client, JSON.parse(line)))}\n`);
  }
  await client.admin.disconnect();
}

main();
