# Every target is one line of `make help`. The work is done by scripts/ and cargo.
.DEFAULT_GOAL := help
SHELL := /bin/bash
STACK_COMMAND := scripts/stack

.PHONY: up down cluster cluster-down status env verify logs clean-data images help \
	test test-unit test-cluster test-compat test-e2e test-dashboards test-helm test-images test-compose dashboards sim lint fmt

up: ## Start the whole mesh (STACK=docker|native), and wait until records have reached every sink
	@$(STACK_COMMAND) up

down: ## Stop the whole mesh; the data stays
	@$(STACK_COMMAND) down

cluster: ## Start the three brokers alone, in the background
	@$(STACK_COMMAND) up --only brokers

cluster-down: ## Stop the three brokers
	@$(STACK_COMMAND) down --only brokers

status: ## Show every part: state, pid or container, address (FORMAT=json for programs)
	@$(STACK_COMMAND) status --format "$(FORMAT)"

env: ## Print the stack's addresses and credentials: eval "$$(make -s env)"
	@$(STACK_COMMAND) env

verify: ## Compare every record with what the sinks hold (millrace verify --wait 60s)
	@$(STACK_COMMAND) millrace verify --wait 60s

logs: ## Show the logs of all parts, or of one (SERVICE=etl)
	@$(STACK_COMMAND) logs $(SERVICE)

clean-data: ## Remove the data of a stopped stack
	@$(STACK_COMMAND) clean-data

images: ## Build all images and print their sizes (MILLRACE_REGISTRY, BUILDER, BASE, CA_BUNDLE, PROFILE)
	@scripts/images

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | sed 's/[$$][$$]/$$/g' \
		| while IFS='|' read -r name text; do printf '  %-16s %s\n' "$$name" "$$text"; done

test: ## Run every suite that CI runs, and print each one's counts
	@scripts/test unit fuzz bugs dashboards helm cluster compat e2e

test-unit: ## Unit and property tests, the simulation and the rules of the house
	@scripts/test unit

test-cluster: ## Real brokers: killed, stopped, cut off, starved, out of room
	@scripts/test cluster

test-compat: ## Other people's Kafka clients and Kafka's own tools against three brokers
	@scripts/test compat

test-e2e: ## The whole mesh on real stores, with everything killed once
	@scripts/test e2e

test-dashboards: ## Dashboards, alerts (promtool) and runbooks, as far as that needs no mesh
	@scripts/test dashboards

test-helm: ## The Helm chart: every variant rendered, validated and looked through, wrong values refused
	@scripts/test helm

dashboards: ## Write grafana/dashboards from grafana/source
	@cd grafana && python3 -m source

test-compose: ## The mesh in containers: docker-compose.yaml for real, with brokers killed, paused and cut off
	@scripts/test compose

.PHONY: test-k8s
test-k8s: ## The Helm chart on a real Kubernetes: KUBECONFIG's, else a throwaway one that is built once
	@scripts/k8s test

.PHONY: chaos
chaos: ## Three real brokers hurt in every way: DURATION=10m SEED=7 FORMAT=text|json
	@scripts/stack install build,faults,clients
	@cargo build --locked -q --workspace --bins
	@target/debug/chaos --duration $(or $(DURATION),10m) --seed $(or $(SEED),7) --format $(or $(FORMAT),text)

.PHONY: chaos-mesh
chaos-mesh: ## The whole mesh hurt while records flow, and verified: DURATION=10m SEED=7 FORMAT=text|json
	@scripts/stack install build,stores
	@cargo build --locked -q --workspace --bins
	@target/debug/chaos-mesh --duration $(or $(DURATION),10m) --seed $(or $(SEED),7) --format $(or $(FORMAT),text)

sim: ## Simulated lives: SEEDS=20 FIRST=1 JOBS=2; SEED=7 replays one, with TRACE=1 all of it
	@scripts/stack install build
	@SEEDS=$(or $(SEEDS),20) FIRST=$(or $(FIRST),1) cargo run --locked -q -p sim

.PHONY: sim-long
sim-long: ## As many lives as wanted; an interrupted run goes on: SEEDS=10000 FIRST=1 RESULTS=target/sim-long.jsonl
	@scripts/stack install build
	@SEEDS=$(or $(SEEDS),10000) FIRST=$(or $(FIRST),1) RESULTS=$(or $(RESULTS),target/sim-long.jsonl) \
		CARGO_TARGET_DIR=target/sim-long cargo run --locked -q --config tests/sim/long.toml -p sim

.PHONY: sim-bugs
sim-bugs: ## Bugs that are put into a copy of the tree, each of which the simulator must find: BUG=name SEEDS=100
	@scripts/stack install build
	@python3 tests/sim/bugs/run.py $(BUG)

.PHONY: hostile
hostile: ## Crowds that do not behave beside a client that does: SECONDS=10 IDLE=10000 BUSY=1000 SLOW=1000 FORMAT=text|json
	@scripts/stack install build,clients
	@cargo build --locked -q --release -p millrace-broker
	@cargo build --locked -q --workspace --bins
	@MILLRACE_BROKER=$(CURDIR)/target/release/millrace-broker target/debug/hostile --seconds $(or $(SECONDS),10) \
		--idle $(or $(IDLE),10000) --busy $(or $(BUSY),1000) --slow $(or $(SLOW),1000) --format $(or $(FORMAT),text)

.PHONY: fuzz
fuzz: ## Any bytes to every decoder and to whole connections, guided by coverage: DURATION=10m TARGET=name
	@scripts/stack install build
	@DURATION=$(or $(DURATION),10m) TARGET=$(TARGET) scripts/fuzz

.PHONY: mutants
mutants: ## Decisions that are changed one at a time, which tests must notice; an interrupted run goes on: DURATION=4h
	@scripts/stack install build
	@DURATION=$(or $(DURATION),4h) scripts/mutants

test-images: ## The images for real: alone, and in a compose file written for apache/kafka
	@scripts/test images

lint: ## Formatting, clippy with warnings denied, and cargo-deny where it is installed
	@scripts/lint

fmt: ## Format all code
	@cargo fmt --all
