package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// What kadm does with a topic's life, printed line by line.
func admin(ctx context.Context, cluster cluster, arguments []string) error {
	topic := arguments[0]
	client, err := cluster.client()
	if err != nil {
		return err
	}
	defer client.Close()
	kafka := kadm.NewClient(client)
	for _, step := range []func(context.Context, *kadm.Client, string) error{
		brokers, create, settings, grow, groups, remove,
	} {
		if err := step(ctx, kafka, topic); err != nil {
			return err
		}
	}
	return nil
}

func brokers(ctx context.Context, kafka *kadm.Client, _ string) error {
	metadata, err := kafka.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("brokers %v, a controller %t\n", metadata.Brokers.NodeIDs(), metadata.Controller > 0)
	versions, err := kafka.ApiVersions(ctx)
	if err != nil {
		return err
	}
	for _, broker := range versions.Sorted() {
		lowest, _ := broker.KeyMinVersion(0)
		fmt.Printf("broker %d: produce from %d\n", broker.NodeID, lowest)
	}
	return nil
}

func create(ctx context.Context, kafka *kadm.Client, topic string) error {
	configs := map[string]*string{"retention.ms": kadm.StringPtr("3600000")}
	created, err := kafka.CreateTopic(ctx, 3, -1, configs, topic)
	if err != nil {
		return err
	}
	fmt.Printf("created %s: partitions %d, replication factor %d, id %t\n",
		created.Topic, created.NumPartitions, created.ReplicationFactor, created.ID != kadm.TopicID{})
	_, err = kafka.CreateTopic(ctx, 3, -1, nil, topic)
	fmt.Printf("created again: %s\n", name(err))
	_, err = kafka.CreateTopic(ctx, 1, 4, nil, topic+"-wide")
	fmt.Printf("four replicas: %s\n", name(err))
	return show(ctx, kafka, topic)
}

func show(ctx context.Context, kafka *kadm.Client, topic string) error {
	return eventually(ctx, func() (bool, error) {
		details, err := kafka.ListTopics(ctx, topic)
		if err != nil {
			return false, err
		}
		led := 0
		for _, partition := range details[topic].Partitions {
			if partition.Leader > 0 && len(partition.ISR) == 3 {
				led++
			}
		}
		if led < 3 {
			return false, details[topic].Err
		}
		fmt.Printf("described: %d partitions, %d of them led and in sync\n", len(details[topic].Partitions), led)
		return true, nil
	})
}

// Every broker learns of a change by itself, in Kafka too: who asks another one may have to ask again.
func eventually(ctx context.Context, done func() (bool, error)) error {
	for {
		so, err := done()
		if so {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func settings(ctx context.Context, kafka *kadm.Client, topic string) error {
	changes := []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("2000000")},
		{Op: kadm.DeleteConfig, Name: "retention.ms"},
	}
	altered, err := kafka.AlterTopicConfigs(ctx, changes, topic)
	if err != nil {
		return err
	}
	if _, err := altered.On(topic, nil); err != nil {
		return err
	}
	bad := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("soon")}}
	altered, err = kafka.AlterTopicConfigs(ctx, bad, topic)
	if err != nil {
		return err
	}
	refused, _ := altered.On(topic, nil)
	fmt.Printf("retention.ms=soon: %s\n", name(refused.Err))
	return eventually(ctx, func() (bool, error) {
		described, err := kafka.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return false, err
		}
		configs, err := described.On(topic, nil)
		if err != nil {
			return false, err
		}
		var lines string
		for _, config := range configs.Configs {
			if config.Key == "max.message.bytes" || config.Key == "retention.ms" {
				lines += fmt.Sprintf("config %s=%s from %s\n", config.Key, config.MaybeValue(), config.Source)
			}
		}
		if !strings.Contains(lines, "2000000") {
			return false, configs.Err
		}
		fmt.Print(lines)
		return true, configs.Err
	})
}

func grow(ctx context.Context, kafka *kadm.Client, topic string) error {
	grown, err := kafka.UpdatePartitions(ctx, 5, topic)
	if err != nil {
		return err
	}
	if _, err := grown.On(topic, nil); err != nil {
		return err
	}
	shrunk, err := kafka.UpdatePartitions(ctx, 4, topic)
	if err == nil {
		_, err = shrunk.On(topic, nil)
		if err == nil {
			err = shrunk.Error()
		}
	}
	fmt.Printf("fewer partitions: %s\n", name(err))
	return eventually(ctx, func() (bool, error) {
		details, err := kafka.ListTopics(ctx, topic)
		if err != nil || len(details[topic].Partitions) == 3 {
			return false, err
		}
		fmt.Printf("grown to %d\n", len(details[topic].Partitions))
		return true, nil
	})
}

// A group that nobody is in: positions are committed, listed, deleted.
func groups(ctx context.Context, kafka *kadm.Client, topic string) error {
	group := topic + "-group"
	var positions kadm.Offsets
	positions.AddOffset(topic, 0, 0, -1)
	positions.AddOffset(topic, 1, 0, -1)
	if err := kafka.CommitAllOffsets(ctx, group, positions); err != nil {
		return err
	}
	fetched, err := kafka.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	fmt.Printf("committed %d positions\n", len(fetched.Offsets().Sorted()))
	listed, err := kafka.ListGroups(ctx)
	if err != nil {
		return err
	}
	lags, err := kafka.Lag(ctx, group)
	if err != nil {
		return err
	}
	lag := lags[group]
	fmt.Printf("group listed %t, state %s, lag %d\n", listed[group].Group == group, lag.State, lag.Lag.Total())
	one := kadm.TopicsSet{}
	one.Add(topic, 1)
	deleted, err := kafka.DeleteOffsets(ctx, group, one)
	if err != nil {
		return err
	}
	if err := deleted.Error(); err != nil {
		return err
	}
	fetched, err = kafka.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	fmt.Printf("positions left %d\n", len(fetched.Offsets().Sorted()))
	if _, err := kafka.DeleteGroup(ctx, group); err != nil {
		return err
	}
	_, err = kafka.DeleteGroup(ctx, group)
	fmt.Printf("group deleted again: %s\n", name(err))
	return nil
}

func remove(ctx context.Context, kafka *kadm.Client, topic string) error {
	if _, err := kafka.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	_, err := kafka.DeleteTopic(ctx, topic)
	fmt.Printf("deleted again: %s\n", name(err))
	return nil
}

// Kafka's name of an error.
func name(err error) string {
	if err == nil {
		return "no error"
	}
	if known, is := err.(*kerr.Error); is {
		return known.Message
	}
	return err.Error()
}
