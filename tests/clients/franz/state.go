// SPDX-License-Identifier: Apache-2.0

// What franz-go asks about groups, quotas and transactions.
package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

func (c client) group(ctx context.Context, name string) (any, error) {
	found, err := c.admin.DescribeGroups(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := found[name].Err; err != nil {
		return nil, err
	}
	members := []string{}
	for _, one := range found[name].Members {
		members = append(members, one.ClientID)
	}
	return map[string]any{"state": strings.ToLower(found[name].State), "members": members}, nil
}

func (c client) committed(ctx context.Context, asked request) (any, error) {
	found, err := c.admin.FetchOffsets(ctx, asked.Group)
	if err != nil {
		return nil, err
	}
	offsets := map[string]int64{}
	found.Each(func(one kadm.OffsetResponse) {
		if one.Topic == asked.Topic && one.At >= 0 {
			offsets[strconv.Itoa(int(one.Partition))] = one.At
		}
	})
	return offsets, nil
}

func (c client) setQuotas(ctx context.Context, asked request) error {
	entry := kadm.AlterClientQuotaEntry{Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &asked.ClientID}}}
	for name, value := range asked.Quotas {
		change := kadm.AlterClientQuotaOp{Key: name, Remove: value == nil}
		if value != nil {
			change.Value = *value
		}
		entry.Ops = append(entry.Ops, change)
	}
	found, err := c.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return err
	}
	return found[0].Err
}

func (c client) quotas(ctx context.Context, asked request) (any, error) {
	exactly := []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: &asked.ClientID}}
	found, err := c.admin.DescribeClientQuotas(ctx, true, exactly)
	if err != nil {
		return nil, err
	}
	quotas := map[string]float64{}
	for _, one := range found {
		for _, value := range one.Values {
			quotas[value.Key] = value.Value
		}
	}
	return quotas, nil
}

func (c client) transaction(ctx context.Context, id string) (any, error) {
	found, err := c.admin.DescribeTransactions(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := found[id].Err; err != nil {
		return nil, err
	}
	places := []string{}
	for _, one := range found[id].Topics.Sorted() {
		for _, partition := range one.Partitions {
			places = append(places, fmt.Sprintf("%s:%d", one.Topic, partition))
		}
	}
	return map[string]any{"state": found[id].State, "partitions": places}, nil
}

func (c client) abort(ctx context.Context, asked request) error {
	places := kadm.TopicsSet{}
	places.Add(asked.Topic, asked.Partition)
	described, err := c.admin.DescribeProducers(ctx, places)
	if err != nil {
		return err
	}
	for _, one := range described.SortedProducers() {
		if one.CurrentTxnStartOffset < 0 {
			continue
		}
		// -1 is what an administrator gives in the place of a coordinator's epoch.
		marker := kadm.TxnMarkers{
			ProducerID:       one.ProducerID,
			ProducerEpoch:    one.ProducerEpoch,
			CoordinatorEpoch: -1,
			Topics:           places,
		}
		written, err := c.admin.WriteTxnMarkers(ctx, marker)
		if err != nil {
			return err
		}
		for _, answer := range written[one.ProducerID].Topics[asked.Topic].Partitions {
			if answer.Err != nil {
				return answer.Err
			}
		}
		return nil
	}
	return fmt.Errorf("no transaction is open there")
}
