{{/* What a schema cannot say: values that contradict one another. Each message names the value and a way out. */}}

{{- define "millrace.checks" -}}
{{- $problems := concat (include "millrace.checkKafka" . | fromJsonArray) (include "millrace.checkSinks" . | fromJsonArray) (include "millrace.checkServices" . | fromJsonArray) -}}
{{- if .Values.brokers.enabled -}}
{{- $problems = concat $problems (include "millrace.checkBrokers" . | fromJsonArray) (include "millrace.checkExternal" . | fromJsonArray) -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values cannot work together:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "millrace.checkBrokers" -}}
{{- $brokers := .Values.brokers -}}
{{- $replicas := int $brokers.replicas -}}
{{- $factor := int (include "millrace.replicationFactor" .) -}}
{{- $grace := int (include "millrace.gracePeriod" .) -}}
{{- $problems := list -}}
{{- if gt $factor $replicas -}}
{{- $problems = append $problems (printf "brokers.replicationFactor is %d, but brokers.replicas is %d: a partition has at most one copy on each broker" $factor $replicas) -}}
{{- end -}}
{{- if gt (int (include "millrace.minInsyncReplicas" .)) $factor -}}
{{- $problems = append $problems (printf "brokers.minInsyncReplicas is %s, but brokers.replicationFactor is %d: acks=all could never be answered" (include "millrace.minInsyncReplicas" .) $factor) -}}
{{- end -}}
{{- if le (mul $grace 1000) (int $brokers.controlledShutdownTimeoutMs) -}}
{{- $problems = append $problems (printf "brokers.terminationGracePeriodSeconds is %d, but a broker may take brokers.controlledShutdownTimeoutMs = %d ms to hand over: leave it null, or give more seconds than that" $grace (int $brokers.controlledShutdownTimeoutMs)) -}}
{{- end -}}
{{- if and $brokers.rack.fromNode $brokers.rack.values -}}
{{- $problems = append $problems "brokers.rack.values and brokers.rack.fromNode are both set: the rack comes from one of them" -}}
{{- end -}}
{{- $own := dict "node.id" "the pod's ordinal" "broker.id" "the pod's ordinal" "process.roles" "the pod's ordinal" "listeners" "brokers.external" "advertised.listeners" "brokers.external" "listener.security.protocol.map" "brokers.external" "inter.broker.listener.name" "the chart" "controller.listener.names" "the chart" "controller.quorum.voters" "the chart" "log.dirs" "brokers.persistence" "log.dir" "brokers.persistence" "metadata.log.dir" "brokers.persistence" "http.listen" "the chart" "cluster.id" "the Secret" "broker.rack" "brokers.rack" "default.replication.factor" "brokers.replicationFactor" "min.insync.replicas" "brokers.minInsyncReplicas" "offsets.topic.replication.factor" "brokers.replicationFactor" "controlled.shutdown.timeout.ms" "brokers.controlledShutdownTimeoutMs" -}}
{{- range $key, $_ := $brokers.config -}}
{{- if hasKey $own $key -}}
{{- $problems = append $problems (printf "brokers.config has %s, which is set by %s" $key (get $own $key)) -}}
{{- end -}}
{{- end -}}
{{- range .Values.topics.list -}}
{{- if gt (int (default 0 .replicationFactor)) $replicas -}}
{{- $problems = append $problems (printf "topics.list: %s has replicationFactor %d, but brokers.replicas is %d" .name (int .replicationFactor) $replicas) -}}
{{- end -}}
{{- end -}}
{{- $installed := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-broker" (include "millrace.fullname" .)) -}}
{{- $voters := dig "metadata" "annotations" "millrace.io/voters" "" (default dict $installed) -}}
{{- if and $voters (ne $voters (include "millrace.voters" .)) -}}
{{- $problems = append $problems (printf "brokers.replicas is %d, which would make the metadata quorum one of %s voters, but it was installed with %s: with three voters keep three brokers or more; a cluster of one cannot become one of three" $replicas (include "millrace.voters" .) $voters) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "millrace.checkExternal" -}}
{{- $external := .Values.brokers.external -}}
{{- $replicas := int .Values.brokers.replicas -}}
{{- $problems := list -}}
{{- if $external.enabled -}}
{{- if and (eq $external.type "LoadBalancer") (not $external.hosts) -}}
{{- $problems = append $problems "brokers.external.hosts is empty: with type LoadBalancer it names the host of each broker's load balancer, in the order of the ordinals" -}}
{{- else if and $external.hosts (lt (len $external.hosts) $replicas) -}}
{{- $problems = append $problems (printf "brokers.external.hosts has %d entries, but brokers.replicas is %d: one for each broker" (len $external.hosts) $replicas) -}}
{{- end -}}
{{- if eq $external.type "NodePort" -}}
{{- $last := sub (add (int $external.nodePortBase) $replicas) 1 -}}
{{- if gt (int $last) 65535 -}}
{{- $problems = append $problems (printf "brokers.external.nodePortBase is %d: broker %d would have port %d" (int $external.nodePortBase) (sub $replicas 1) $last) -}}
{{- end -}}
{{- if and (ge (int $external.bootstrapNodePort) (int $external.nodePortBase)) (le (int $external.bootstrapNodePort) (int $last)) -}}
{{- $problems = append $problems (printf "brokers.external.bootstrapNodePort %d is one of the brokers' own ports, %d to %d" (int $external.bootstrapNodePort) (int $external.nodePortBase) $last) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "millrace.checkKafka" -}}
{{- $kafka := .Values.kafka -}}
{{- $problems := list -}}
{{- if .Values.brokers.enabled -}}
{{- if $kafka.bootstrapServers -}}
{{- $problems = append $problems "kafka.bootstrapServers is set, but the services use this release's brokers: set brokers.enabled=false for an existing Kafka" -}}
{{- end -}}
{{- if ne $kafka.securityProtocol "PLAINTEXT" -}}
{{- $problems = append $problems (printf "kafka.securityProtocol is %s, but this release's brokers offer PLAINTEXT only" $kafka.securityProtocol) -}}
{{- end -}}
{{- else if not $kafka.bootstrapServers -}}
{{- $problems = append $problems "kafka.bootstrapServers is empty: with brokers.enabled=false it names an existing Kafka, as HOST:PORT,..." -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $kafka.securityProtocol) (not $kafka.sasl.existingSecret) -}}
{{- $problems = append $problems (printf "kafka.sasl.existingSecret is empty: with securityProtocol %s it names the Secret of user name and password" $kafka.securityProtocol) -}}
{{- end -}}
{{- range $key, $value := $kafka.properties -}}
{{- if contains "," (toString $value) -}}
{{- $problems = append $problems (printf "kafka.properties: the value of %s has a comma, which separates properties" $key) -}}
{{- end -}}
{{- if eq $key "security.protocol" -}}
{{- $problems = append $problems "kafka.properties has security.protocol, which is set by kafka.securityProtocol" -}}
{{- end -}}
{{- if regexMatch "password|secret" $key -}}
{{- $problems = append $problems (printf "kafka.properties has %s: passwords belong into a Secret, see kafka.sasl.existingSecret" $key) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "millrace.checkSinks" -}}
{{- $problems := list -}}
{{- with .Values.postgres -}}
{{- if and .enabled (not .bundled) (not .external.url) -}}
{{- $problems = append $problems "postgres.external.url is empty: with postgres.bundled=false it says where PostgreSQL is" -}}
{{- end -}}
{{- end -}}
{{- with .Values.opensearch -}}
{{- if and .enabled (not .bundled) -}}
{{- if and .external.url .external.existingSecret -}}
{{- $problems = append $problems "opensearch.external.url and opensearch.external.existingSecret are both set: the address comes from one of them" -}}
{{- else if not (or .external.url .external.existingSecret) -}}
{{- $problems = append $problems "opensearch.external.url is empty: with opensearch.bundled=false it, or opensearch.external.existingSecret, says where OpenSearch is" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "millrace.checkServices" -}}
{{- $root := . -}}
{{- $problems := list -}}
{{- range $name := list "weblogGenerator" "bakeryProducer" "etl" "archiver" -}}
{{- with (get $root.Values $name).autoscaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas is %d, more than maxReplicas = %d" $name (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
