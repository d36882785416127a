package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = []struct {
	name  string
	codec kgo.CompressionCodec
}{
	{"none", kgo.NoCompression()},
	{"gzip", kgo.GzipCompression()},
	{"snappy", kgo.SnappyCompression()},
	{"lz4", kgo.Lz4Compression()},
	{"zstd", kgo.ZstdCompression()},
}

// One record for each codec, by an idempotent producer with acks=all; then all of them through one group.
func produce(ctx context.Context, cluster cluster, arguments []string) error {
	prefix, value := arguments[0], arguments[1]
	var topics []string
	for _, one := range codecs {
		topic := prefix + "-" + one.name
		topics = append(topics, topic)
		if err := produceOne(ctx, cluster, topic, value, one.codec); err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
	}
	return readAll(ctx, cluster, topics, value)
}

func produceOne(ctx context.Context, cluster cluster, topic, value string, codec kgo.CompressionCodec) error {
	client, err := cluster.client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(codec))
	if err != nil {
		return err
	}
	defer client.Close()
	record := &kgo.Record{
		Topic:   topic,
		Key:     []byte(topic),
		Value:   []byte(value),
		Headers: []kgo.RecordHeader{{Key: "codec", Value: []byte(topic)}},
	}
	produced, err := client.ProduceSync(ctx, record).First()
	if err != nil {
		return err
	}
	if produced.ProducerID < 0 || produced.Offset != 0 {
		return fmt.Errorf("producer id %d, offset %d", produced.ProducerID, produced.Offset)
	}
	return nil
}

// Every topic has its record, with key, header and value as they were sent.
func readAll(ctx context.Context, cluster cluster, topics []string, value string) error {
	client, err := cluster.client(
		kgo.ConsumerGroup("franz-go-readers"),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.RangeBalancer()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	wanted := map[string]bool{}
	for _, topic := range topics {
		wanted[topic] = true
	}
	for len(wanted) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading, %d topics left: %w", len(wanted), err)
		}
		for _, record := range fetches.Records() {
			whole := string(record.Key) == record.Topic && string(record.Value) == value &&
				len(record.Headers) == 1 && string(record.Headers[0].Value) == record.Topic
			if !whole || !wanted[record.Topic] {
				return fmt.Errorf("unexpected record %s@%d: %q", record.Topic, record.Offset, record.Value)
			}
			delete(wanted, record.Topic)
		}
	}
	return client.CommitUncommittedOffsets(ctx)
}
