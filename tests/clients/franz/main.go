// SPDX-License-Identifier: Apache-2.0

// franz-go as a client program: one request a line in, one answer a line out (programs/serve.py says which).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	patience   = 30 * time.Second
	batchBytes = 16384
	lineBytes  = 64 << 20
)

// header is a name and a value that may be null.
type header [2]any

// record is one to be sent or one that was read. Bytes become base64 by themselves, nil becomes null.
type record struct {
	Partition *int32   `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
	Timestamp *int64   `json:"timestamp"`
}

type request struct {
	Verb       string              `json:"verb"`
	Topic      string              `json:"topic"`
	Codec      string              `json:"codec"`
	Idempotent bool                `json:"idempotent"`
	Acks       string              `json:"acks"`
	Records    []record            `json:"records"`
	From       map[string]int64    `json:"from"`
	Count      int                 `json:"count"`
	Partition  int32               `json:"partition"`
	Timestamp  int64               `json:"timestamp"`
	Configs    map[string]string   `json:"configs"`
	Partitions int32               `json:"partitions"`
	Before     int64               `json:"before"`
	Group      string              `json:"group"`
	Offsets    map[string]int64    `json:"offsets"`
	ClientID   string              `json:"client_id"`
	Quotas     map[string]*float64 `json:"quotas"`
	ID         string              `json:"id"`
}

type client struct {
	server string
	admin  *kadm.Client
}

func main() {
	if len(os.Args) > 2 {
		if err := act(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	base, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer base.Close()
	one := client{server: os.Args[1], admin: kadm.NewClient(base)}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytes)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := answers.Encode(one.answer(lines.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func (c client) answer(line []byte) map[string]any {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return map[string]any{"error": err.Error()}
	}
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	found, err := c.handle(ctx, asked)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"ok": found}
}

func (c client) handle(ctx context.Context, asked request) (any, error) {
	switch asked.Verb {
	case "version":
		return version()
	case "produce":
		return c.produce(ctx, asked)
	case "consume":
		return c.consume(ctx, asked)
	case "offsets":
		return c.offsets(ctx, asked)
	case "offset_at":
		return c.offsetAt(ctx, asked)
	case "create":
		configs := map[string]*string{}
		for name, value := range asked.Configs {
			configs[name] = kadm.StringPtr(value)
		}
		_, err := c.admin.CreateTopic(ctx, asked.Partitions, 1, configs, asked.Topic)
		return nil, err
	case "delete":
		_, err := c.admin.DeleteTopic(ctx, asked.Topic)
		return nil, err
	case "list":
		found, err := c.admin.ListTopics(ctx)
		return found.Names(), err
	case "describe":
		return c.describe(ctx, asked.Topic)
	case "describe_config":
		return c.describeConfig(ctx, asked.Topic)
	case "alter_config":
		return nil, c.alterConfig(ctx, asked)
	case "grow":
		found, err := c.admin.UpdatePartitions(ctx, int(asked.Partitions), asked.Topic)
		if err != nil {
			return nil, err
		}
		return nil, found.Error()
	case "trim":
		return c.trim(ctx, asked)
	case "cluster":
		return c.cluster(ctx)
	}
	return c.handleState(ctx, asked)
}

// handleState answers what is asked about groups, quotas and transactions.
func (c client) handleState(ctx context.Context, asked request) (any, error) {
	switch asked.Verb {
	case "groups":
		found, err := c.admin.ListGroups(ctx)
		return found.Groups(), err
	case "group":
		return c.group(ctx, asked.Group)
	case "committed":
		return c.committed(ctx, asked)
	case "commit":
		offsets := kadm.Offsets{}
		for at, offset := range asked.Offsets {
			partition, err := strconv.Atoi(at)
			if err != nil {
				return nil, err
			}
			offsets.AddOffset(asked.Topic, int32(partition), offset, -1)
		}
		return nil, c.admin.CommitAllOffsets(ctx, asked.Group, offsets)
	case "forget":
		places := kadm.TopicsSet{}
		places.Add(asked.Topic, asked.Partition)
		found, err := c.admin.DeleteOffsets(ctx, asked.Group, places)
		if err != nil {
			return nil, err
		}
		return nil, found.Error()
	case "delete_group":
		found, err := c.admin.DeleteGroup(ctx, asked.Group)
		if err != nil {
			return nil, err
		}
		return nil, found.Err
	case "set_quotas":
		return nil, c.setQuotas(ctx, asked)
	case "quotas":
		return c.quotas(ctx, asked)
	case "transactions":
		found, err := c.admin.ListTransactions(ctx, nil, nil)
		states := map[string]string{}
		for id, one := range found {
			states[id] = one.State
		}
		return states, err
	case "transaction":
		return c.transaction(ctx, asked.ID)
	case "abort":
		return nil, c.abort(ctx, asked)
	}
	return nil, fmt.Errorf("no such verb: %s", asked.Verb)
}

func version() (any, error) {
	built, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, fmt.Errorf("the program does not say what it was built from")
	}
	for _, module := range built.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return module.Version[1:], nil
		}
	}
	return nil, fmt.Errorf("the program was built without the client")
}

func (c client) produce(ctx context.Context, asked request) (any, error) {
	codecs := map[string]kgo.CompressionCodec{
		"":       kgo.NoCompression(),
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.server),
		kgo.ProducerBatchCompression(codecs[asked.Codec]),
		kgo.ProducerLinger(20 * time.Millisecond),
		kgo.AllowAutoTopicCreation(),
	}
	// Many small batches, unless a record alone is larger.
	if len(asked.Records[0].Value) < batchBytes {
		options = append(options, kgo.ProducerBatchMaxBytes(batchBytes))
	}
	switch asked.Acks {
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if !asked.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if asked.Records[0].Partition != nil {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	producer, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	var sent []*kgo.Record
	for _, one := range asked.Records {
		sent = append(sent, toSend(asked.Topic, one))
	}
	results := producer.ProduceSync(ctx, sent...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	offsets := make([][2]int64, len(sent))
	for number, one := range sent {
		offsets[number] = [2]int64{int64(one.Partition), one.Offset}
	}
	return offsets, nil
}

func toSend(topic string, one record) *kgo.Record {
	sent := &kgo.Record{Topic: topic, Key: one.Key, Value: one.Value}
	if one.Partition != nil {
		sent.Partition = *one.Partition
	}
	if one.Timestamp != nil {
		sent.Timestamp = time.UnixMilli(*one.Timestamp)
	}
	for _, held := range one.Headers {
		sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: held[0].(string), Value: decoded(held[1])})
	}
	return sent
}

func decoded(text any) []byte {
	var bytes []byte
	quoted, err := json.Marshal(text)
	if err == nil {
		err = json.Unmarshal(quoted, &bytes)
	}
	if err != nil {
		panic(err)
	}
	return bytes
}

func (c client) consume(ctx context.Context, asked request) (any, error) {
	places := map[int32]kgo.Offset{}
	for text, offset := range asked.From {
		partition, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, err
		}
		places[int32(partition)] = kgo.NewOffset().At(offset)
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(c.server),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{asked.Topic: places}),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var found []record
	for len(found) < asked.Count {
		fetched := consumer.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d records came: %w", len(found), asked.Count, err)
		}
		for _, one := range fetched.Records() {
			if kind := one.Attrs.TimestampType(); kind != 0 {
				return nil, fmt.Errorf("kind of timestamp %d", kind)
			}
			found = append(found, received(one))
		}
	}
	return found, nil
}

func received(one *kgo.Record) record {
	when := one.Timestamp.UnixMilli()
	got := record{Partition: &one.Partition, Offset: one.Offset, Key: one.Key, Value: one.Value, Timestamp: &when}
	got.Headers = []header{}
	for _, held := range one.Headers {
		got.Headers = append(got.Headers, header{held.Key, held.Value})
	}
	return got
}

func (c client) offsets(ctx context.Context, asked request) (any, error) {
	begins, err := c.admin.ListStartOffsets(ctx, asked.Topic)
	if err != nil {
		return nil, err
	}
	ends, err := c.admin.ListEndOffsets(ctx, asked.Topic)
	if err != nil {
		return nil, err
	}
	begin, end := begins[asked.Topic][asked.Partition], ends[asked.Topic][asked.Partition]
	if begin.Err != nil {
		return nil, begin.Err
	}
	return map[string]int64{"begin": begin.Offset, "end": end.Offset}, end.Err
}

// The end stands where nothing is as young.
func (c client) offsetAt(ctx context.Context, asked request) (any, error) {
	found, err := c.admin.ListOffsetsAfterMilli(ctx, asked.Timestamp, asked.Topic)
	if err != nil {
		return nil, err
	}
	one := found[asked.Topic][asked.Partition]
	return one.Offset, one.Err
}

func (c client) describe(ctx context.Context, topic string) (any, error) {
	found, err := c.admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := found[topic].Err; err != nil {
		return nil, err
	}
	var partitions []map[string]any
	for _, one := range found[topic].Partitions.Sorted() {
		partitions = append(partitions, map[string]any{
			"partition": one.Partition, "leader": one.Leader, "replicas": one.Replicas, "isr": one.ISR,
		})
	}
	return partitions, nil
}

func (c client) describeConfig(ctx context.Context, topic string) (any, error) {
	found, err := c.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	one, err := found.On(topic, nil)
	if err != nil {
		return nil, err
	}
	values := map[string]*string{}
	for _, entry := range one.Configs {
		values[entry.Key] = entry.Value
	}
	return values, one.Err
}

func (c client) alterConfig(ctx context.Context, asked request) error {
	var changes []kadm.AlterConfig
	for name, value := range asked.Configs {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr(value)})
	}
	found, err := c.admin.AlterTopicConfigs(ctx, changes, asked.Topic)
	if err != nil {
		return err
	}
	one, err := found.On(asked.Topic, nil)
	if err != nil {
		return err
	}
	return one.Err
}

func (c client) trim(ctx context.Context, asked request) (any, error) {
	offsets := kadm.Offsets{}
	offsets.AddOffset(asked.Topic, asked.Partition, asked.Before, -1)
	found, err := c.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return nil, err
	}
	one, ok := found.Lookup(asked.Topic, asked.Partition)
	if !ok {
		return nil, fmt.Errorf("the answer does not name the partition")
	}
	return one.LowWatermark, one.Err
}

func (c client) cluster(ctx context.Context) (any, error) {
	found, err := c.admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, err
	}
	brokers := []string{}
	for _, one := range found.Brokers {
		brokers = append(brokers, fmt.Sprintf("%s:%d", one.Host, one.Port))
	}
	return map[string]any{"id": found.Cluster, "brokers": brokers}, nil
}
