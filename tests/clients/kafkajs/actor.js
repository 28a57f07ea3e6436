// SPDX-License-Identifier: Apache-2.0
// kafkajs as a member of a group and as a loop with transactions (actors/acting.py says which words). Its transactions know the
// group's name only, not the generation, so only one loop runs at a time. It has one assignor, round robin.
'use strict';

const { Kafka, logLevel } = require('kafkajs');

const SESSION_TIMEOUT_MS = 3000;
const HEARTBEAT_MS = 300;
const TRANSACTION_RECORDS_MAX = 25;
const ABORTED_ONE_IN = 8;
const PAUSE_MS_MAX = 50;

const say = (...words) => process.stdout.write(`${words.join(' ')}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function connect(address, name) {
  return new Kafka({
    brokers: [address],
    clientId: name,
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 60 },
  });
}

async function join(kafka, group, topics, more) {
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: SESSION_TIMEOUT_MS,
    heartbeatInterval: HEARTBEAT_MS,
    rebalanceTimeout: 10_000,
    maxWaitTimeInMs: 200,
    ...more,
  });
  let said = null;
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const places = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => `${topic}:${partition}`),
    );
    const words = places.sort().join(' ');
    if (words !== said) say('assigned', words);
    said = words;
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    // It starts again by itself where it thinks that this helps.
    console.error(payload.error);
    if (!payload.restart) process.exit(3);
  });
  process.once('SIGTERM', async () => {
    await consumer.disconnect();
    process.exit(0);
  });
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  return consumer;
}

async function member(address, name, group, topics) {
  const consumer = await join(connect(address, name), group, topics.split(','), {});
  const eachBatch = async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
    const { topic, partition } = batch;
    for (let first = 0; first < batch.messages.length; first += TRANSACTION_RECORDS_MAX) {
      if (!isRunning() || isStale()) return;
      const messages = batch.messages.slice(first, first + TRANSACTION_RECORDS_MAX);
      for (const { offset, value } of messages) say('record', `${topic}:${partition}`, offset, value.toString());
      const next = String(Number(messages.at(-1).offset) + 1);
      await consumer.commitOffsets([{ topic, partition, offset: next }]);
      say('committed', `${topic}:${partition}`, next);
      resolveOffset(messages.at(-1).offset);
      await heartbeat();
    }
  };
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch });
}

// What becomes of a record: the reader of committed ones never sees the other kind.
function transformed({ partition }, { offset, value }, onPurpose) {
  if (onPurpose) return `aborted:${partition}:${offset}`;
  return `${partition}:${offset}:${value.toString().split('').reverse().join('')}`;
}

async function transact(producer, group, target, batch, messages) {
  const onPurpose = Math.floor(Math.random() * ABORTED_ONE_IN) === 0;
  const transaction = await producer.transaction();
  try {
    const { topic, partition } = batch;
    const sent = messages.map((one) => ({ partition, value: transformed(batch, one, onPurpose) }));
    await transaction.send({ topic: target, messages: sent });
    say('begun', messages.length);
    await pause(Math.random() * PAUSE_MS_MAX);
    if (!onPurpose) {
      const offset = String(Number(messages.at(-1).offset) + 1);
      await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic, partitions: [{ partition, offset }] }] });
      await transaction.commit();
      return true;
    }
  } catch (error) {
    // Whether it was committed is not known: whoever comes next with this name ends it, and asks where to go on.
    console.error(error);
    process.exit(2);
  }
  await transaction.abort();
  return false;
}

async function loop(address, name, group, source, target) {
  const kafka = connect(address, name);
  const producer = kafka.producer({
    transactionalId: name,
    transactionTimeout: 10_000,
    idempotent: true,
    maxInFlightRequests: 1,
  });
  await producer.connect();
  // The first one asks for the producer's id, which ends what the one before had begun.
  await (await producer.transaction()).abort();
  const consumer = await join(kafka, group, [source], { readUncommitted: false });
  const eachBatch = async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
    for (let first = 0; first < batch.messages.length; first += TRANSACTION_RECORDS_MAX) {
      if (!isRunning() || isStale()) return;
      const messages = batch.messages.slice(first, first + TRANSACTION_RECORDS_MAX);
      const isDone = await transact(producer, group, target, batch, messages);
      say(isDone ? 'committed' : 'aborted', messages.length);
      // What was not resolved is fetched again.
      if (!isDone) return;
      resolveOffset(messages.at(-1).offset);
      await heartbeat();
    }
  };
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch });
}

const [role, ...words] = process.argv.slice(2);
({ member, loop })[role](...words).catch((error) => {
  console.error(error);
  process.exit(2);
});
