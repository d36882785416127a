// Scenarios of franz-go, the Go client, against a cluster. Each exits with 0 when everything was as it must be.
//
//	franz-go produce BROKERS PREFIX VALUE   VALUE into PREFIX-CODEC with each codec, and read back by a group
//	franz-go group BROKERS TOPIC            members of a cooperative-sticky group come and go while records flow
//	franz-go offsets BROKERS TOPIC          offsets by start, end, timestamp and greatest timestamp
//	franz-go admin BROKERS TOPIC            what kadm does with topics, configs and groups
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How long one scenario may take.
const limit = 120 * time.Second

type scenario func(ctx context.Context, cluster cluster, arguments []string) error

// The addresses to begin with.
type cluster []string

// A client of the cluster with franz-go's own defaults: idempotent, acks=all.
func (c cluster) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c...)}, options...)...)
}

func main() {
	scenarios := map[string]struct {
		run       scenario
		arguments int
	}{
		"produce": {produce, 2},
		"group":   {group, 1},
		"offsets": {offsets, 1},
		"admin":   {admin, 1},
	}
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: franz-go SCENARIO BROKERS ..."))
	}
	chosen, known := scenarios[os.Args[1]]
	if !known || len(os.Args) != 3+chosen.arguments {
		fail(fmt.Errorf("no such scenario, or not its arguments: %q", os.Args[1:]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := chosen.run(ctx, strings.Split(os.Args[2], ","), os.Args[3:]); err != nil {
		fail(fmt.Errorf("%s: %w", os.Args[1], err))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
