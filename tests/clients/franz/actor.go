// SPDX-License-Identifier: Apache-2.0

// franz-go as a member of a group and as a loop with transactions (actors/acting.py says which words).
package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	sessionTimeout        = 3 * time.Second
	heartbeatInterval     = 300 * time.Millisecond
	transactionRecordsMax = 25
	abortedOneIn          = 8
	pauseMax              = 50 * time.Millisecond
)

// owned is what a member has, told at each change.
type owned struct {
	mutex  sync.Mutex
	places map[string]bool
}

func (o *owned) change(places map[string][]int32, isOwned bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for topic, partitions := range places {
		for _, partition := range partitions {
			if isOwned {
				o.places[fmt.Sprintf("%s:%d", topic, partition)] = true
			} else {
				delete(o.places, fmt.Sprintf("%s:%d", topic, partition))
			}
		}
	}
	var words []string
	for place := range o.places {
		words = append(words, place)
	}
	sort.Strings(words)
	fmt.Println("assigned " + strings.Join(words, " "))
}

func memberOptions(address, name, group, topics, assignor string, has *owned) []kgo.Opt {
	balancers := map[string]kgo.GroupBalancer{
		"range":              kgo.RangeBalancer(),
		"roundrobin":         kgo.RoundRobinBalancer(),
		"sticky":             kgo.StickyBalancer(),
		"cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	gained := func(_ context.Context, _ *kgo.Client, places map[string][]int32) { has.change(places, true) }
	lost := func(_ context.Context, _ *kgo.Client, places map[string][]int32) { has.change(places, false) }
	return []kgo.Opt{
		kgo.SeedBrokers(address),
		kgo.ClientID(name),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(strings.Split(topics, ",")...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.Balancers(balancers[assignor]),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeatInterval),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(gained),
		kgo.OnPartitionsRevoked(lost),
		kgo.OnPartitionsLost(lost),
	}
}

func endsOnSigterm() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	return ctx
}

func member(address, name, group, topics, assignor string) error {
	ctx := endsOnSigterm()
	options := memberOptions(address, name, group, topics, assignor, &owned{places: map[string]bool{}})
	// Nothing is taken away between the records and their commit.
	client, err := kgo.NewClient(append(options, kgo.BlockRebalanceOnPoll())...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		polled := client.PollRecords(ctx, transactionRecordsMax)
		behind := map[string]int64{}
		for _, one := range polled.Records() {
			place := fmt.Sprintf("%s:%d", one.Topic, one.Partition)
			fmt.Println("record", place, one.Offset, string(one.Value))
			behind[place] = one.Offset + 1
		}
		if len(behind) > 0 {
			if err := client.CommitRecords(context.Background(), polled.Records()...); err != nil {
				fmt.Fprintln(os.Stderr, err)
			} else {
				for place, offset := range behind {
					fmt.Println("committed", place, offset)
				}
			}
		}
		client.AllowRebalance()
	}
	return nil
}

func loop(address, name, group, source, target string) error {
	ctx := endsOnSigterm()
	options := memberOptions(address, name, group, source, "cooperative-sticky", &owned{places: map[string]bool{}})
	session, err := kgo.NewGroupTransactSession(append(
		options,
		kgo.TransactionalID(name),
		kgo.TransactionTimeout(10*time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)...)
	if err != nil {
		return err
	}
	defer session.Close()
	for ctx.Err() == nil {
		polled := session.PollRecords(ctx, transactionRecordsMax).Records()
		if len(polled) == 0 {
			continue
		}
		isDone, err := transact(session, target, polled)
		if err != nil {
			return err
		}
		if isDone {
			fmt.Println("committed", len(polled))
		} else {
			fmt.Println("aborted", len(polled))
		}
	}
	return nil
}

func transact(session *kgo.GroupTransactSession, target string, polled []*kgo.Record) (bool, error) {
	ctx := context.Background()
	isOnPurpose := rand.Intn(abortedOneIn) == 0
	if err := session.Begin(); err != nil {
		return false, err
	}
	var sent []*kgo.Record
	for _, one := range polled {
		value := transformed(one, isOnPurpose)
		sent = append(sent, &kgo.Record{Topic: target, Partition: one.Partition, Value: []byte(value)})
	}
	failure := session.ProduceSync(ctx, sent...).FirstErr()
	fmt.Println("begun", len(polled))
	time.Sleep(time.Duration(rand.Int63n(int64(pauseMax))))
	return session.End(ctx, kgo.TransactionEndTry(failure == nil && !isOnPurpose))
}

// transformed is what becomes of a record: the reader of committed ones never sees the other kind.
func transformed(one *kgo.Record, isOnPurpose bool) string {
	if isOnPurpose {
		return fmt.Sprintf("aborted:%d:%d", one.Partition, one.Offset)
	}
	value := slices.Clone(one.Value)
	slices.Reverse(value)
	return fmt.Sprintf("%d:%d:%s", one.Partition, one.Offset, value)
}

// act plays what the command line says.
func act(words []string) error {
	roles := map[string]func(address, name, group, topics, assignor string) error{"member": member, "loop": loop}
	return roles[words[0]](words[1], words[2], words[3], words[4], words[5])
}
