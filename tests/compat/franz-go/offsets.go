package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Offsets of records whose timestamps do not grow with them, printed line by line.
func offsets(ctx context.Context, cluster cluster, arguments []string) error {
	topic := arguments[0]
	client, err := cluster.client(kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	after := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	// Two batches, the greatest timestamp in the middle of the first.
	for _, batch := range [][]int{{10, 50, 30}, {40, 20}} {
		var records []*kgo.Record
		for _, seconds := range batch {
			records = append(records, &kgo.Record{Value: []byte("x"), Timestamp: after(seconds)})
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
	}
	kafka := kadm.NewClient(client)
	since := func(seconds int) func(context.Context, ...string) (kadm.ListedOffsets, error) {
		return func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return kafka.ListOffsetsAfterMilli(ctx, after(seconds).UnixMilli(), topics...)
		}
	}
	for _, question := range []struct {
		name string
		ask  func(context.Context, ...string) (kadm.ListedOffsets, error)
	}{
		{"start", kafka.ListStartOffsets},
		{"end", kafka.ListEndOffsets},
		{"committed", kafka.ListCommittedOffsets},
		{"greatest", kafka.ListMaxTimestampOffsets},
		{"since 10", since(10)},
		{"since 11", since(11)},
		{"since 51", since(51)},
	} {
		listed, err := question.ask(ctx, topic)
		if err != nil {
			return fmt.Errorf("%s: %w", question.name, err)
		}
		found, _ := listed.Lookup(topic, 0)
		if found.Err != nil {
			return fmt.Errorf("%s: %w", question.name, found.Err)
		}
		seconds := int64(-1)
		if found.Timestamp > 0 {
			seconds = (found.Timestamp - began.UnixMilli()) / 1000
		}
		fmt.Printf("%s: offset %d, timestamp %d\n", question.name, found.Offset, seconds)
	}
	return nil
}
