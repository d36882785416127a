package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 6

// What the members of a group have told, all of them in one process.
type ledger struct {
	sync.Mutex
	owners map[int32]string
	seen   map[int]int
	sent   int
	wrong  error
	news   chan struct{}
}

func (l *ledger) change(what func()) {
	l.Lock()
	what()
	l.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *ledger) blame(err error) {
	if l.wrong == nil {
		l.wrong = err
	}
}

// Waits until the condition holds, which is looked at whenever a member has told something.
func (l *ledger) until(ctx context.Context, what string, condition func() bool) error {
	for {
		l.Lock()
		done, wrong := condition(), l.wrong
		owners := fmt.Sprint(l.owners)
		l.Unlock()
		if wrong != nil || done {
			return wrong
		}
		select {
		case <-l.news:
		case <-ctx.Done():
			return fmt.Errorf("%s: not in time; owners are %s", what, owners)
		}
	}
}

func (l *ledger) owned(name string) (count int) {
	for _, owner := range l.owners {
		if owner == name {
			count++
		}
	}
	return
}

type member struct {
	name   string
	client *kgo.Client
	ended  chan struct{}
	// Partitions that were taken away while it stayed.
	lost int
}

func join(cluster cluster, ledger *ledger, topic, name string) (*member, error) {
	m := &member{name: name, ended: make(chan struct{})}
	assigned := func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
		ledger.change(func() {
			for _, partition := range got[topic] {
				if owner, taken := ledger.owners[partition]; taken {
					ledger.blame(fmt.Errorf("partition %d given to %s while %s owns it", partition, name, owner))
				}
				ledger.owners[partition] = name
			}
		})
	}
	revoked := func(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
		err := client.CommitUncommittedOffsets(ctx)
		ledger.change(func() {
			if err != nil {
				ledger.blame(fmt.Errorf("%s cannot commit: %w", name, err))
			}
			for _, partition := range gone[topic] {
				delete(ledger.owners, partition)
				m.lost++
			}
		})
	}
	client, err := cluster.client(
		kgo.ConsumerGroup(topic),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(assigned),
		kgo.OnPartitionsRevoked(revoked),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) {
			ledger.change(func() { ledger.blame(fmt.Errorf("%s was thrown out", name)) })
		}),
	)
	if err != nil {
		return nil, err
	}
	m.client = client
	go m.poll(ledger)
	return m, nil
}

func (m *member) poll(ledger *ledger) {
	defer close(m.ended)
	for {
		fetches := m.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		ledger.change(func() {
			fetches.EachError(func(_ string, _ int32, err error) { ledger.blame(err) })
			fetches.EachRecord(func(record *kgo.Record) {
				number, err := strconv.Atoi(string(record.Value))
				if err != nil {
					ledger.blame(err)
				}
				ledger.seen[number]++
			})
		})
		m.client.AllowRebalance()
	}
}

// Leaves the group: what it owned is revoked, with a commit, and goes to the others.
func (m *member) leave() {
	m.client.CloseAllowingRebalance()
	<-m.ended
}

// Members of a cooperative-sticky group join and leave while records flow. Every record is seen exactly once, no
// partition has two owners, and who stays keeps what it can.
func group(ctx context.Context, cluster cluster, arguments []string) error {
	topic := arguments[0]
	ledger := &ledger{owners: map[int32]string{}, seen: map[int]int{}, news: make(chan struct{}, 1)}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	written := make(chan error, 1)
	go func() { written <- write(writing, cluster, ledger, topic) }()

	first, err := join(cluster, ledger, topic, "first")
	if err != nil {
		return err
	}
	owning := func(counts map[string]int) error {
		return ledger.until(ctx, fmt.Sprintf("shares %v", counts), func() bool {
			for name, count := range counts {
				if ledger.owned(name) != count {
					return false
				}
			}
			return true
		})
	}
	if err := owning(map[string]int{"first": 6}); err != nil {
		return err
	}
	second, err := join(cluster, ledger, topic, "second")
	if err != nil {
		return err
	}
	if err := owning(map[string]int{"first": 3, "second": 3}); err != nil {
		return err
	}
	if first.lost != partitions/2 {
		return fmt.Errorf("the first member lost %d partitions to the second, not only those that moved", first.lost)
	}
	third, err := join(cluster, ledger, topic, "third")
	if err != nil {
		return err
	}
	if err := owning(map[string]int{"first": 2, "second": 2, "third": 2}); err != nil {
		return err
	}
	second.leave()
	if err := owning(map[string]int{"first": 3, "second": 0, "third": 3}); err != nil {
		return err
	}
	first.leave()
	if err := owning(map[string]int{"third": 6}); err != nil {
		return err
	}
	stop()
	if err := <-written; err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if err := ledger.until(ctx, "every record is seen", func() bool { return len(ledger.seen) == ledger.sent }); err != nil {
		return err
	}
	third.leave()
	for number, times := range ledger.seen {
		if times != 1 {
			return fmt.Errorf("record %d was seen %d times", number, times)
		}
	}
	fmt.Printf("%d records, each seen once\n", ledger.sent)
	return ledger.wrong
}

// Writes numbers, some hundreds a second, until it is told to stop.
func write(ctx context.Context, cluster cluster, ledger *ledger, topic string) error {
	client, err := cluster.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		batch := make([]*kgo.Record, partitions)
		ledger.change(func() {
			for i := range batch {
				batch[i] = &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(ledger.sent))}
				ledger.sent++
			}
		})
		if err := client.ProduceSync(context.Background(), batch...).FirstErr(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}
