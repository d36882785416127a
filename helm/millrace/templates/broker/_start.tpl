{{/* The start of a broker's container: who am I, by the pod's ordinal. Everything else is in the environment already. */}}
{{- define "millrace.brokerStart" -}}
{{- $external := .Values.brokers.external -}}
ordinal=${POD_NAME##*-}
export KAFKA_NODE_ID="$ordinal"
export KAFKA_PROCESS_ROLES=broker
export KAFKA_LISTENERS=PLAINTEXT://:9092
export KAFKA_ADVERTISED_LISTENERS="PLAINTEXT://$POD_NAME.{{ include "millrace.brokerDomain" . }}:9092"
# Voters are static; a broker beyond them follows the metadata log without a vote.
if [ "$ordinal" -lt {{ include "millrace.voters" . }} ]; then
  KAFKA_PROCESS_ROLES=broker,controller
  KAFKA_LISTENERS="$KAFKA_LISTENERS,CONTROLLER://:9093"
fi
{{- if $external.enabled }}
KAFKA_LISTENERS="$KAFKA_LISTENERS,EXTERNAL://:9094"
{{- if $external.hosts }}
set -- {{ join " " $external.hosts }}
shift "$ordinal"
host=$1
{{- else }}
host=${EXTERNAL_HOST:-$HOST_IP}
{{- end }}
# An IPv6 address stands in brackets.
case $host in *:*) host="[$host]" ;; esac
{{- if eq $external.type "NodePort" }}
port=$(({{ int $external.nodePortBase }} + ordinal))
{{- else }}
port={{ int $external.port }}
{{- end }}
KAFKA_ADVERTISED_LISTENERS="$KAFKA_ADVERTISED_LISTENERS,EXTERNAL://$host:$port"
{{- end }}
{{- if .Values.brokers.rack.fromNode }}
KAFKA_BROKER_RACK=$(cat /run/millrace/rack)
export KAFKA_BROKER_RACK
{{- else if .Values.brokers.rack.values }}
set -- {{ join " " .Values.brokers.rack.values }}
shift $((ordinal % $#))
export KAFKA_BROKER_RACK="$1"
{{- end }}
exec millrace-broker /etc/millrace/server.properties
{{- end -}}

{{- define "millrace.brokerEnv" -}}
{{- $brokers := .Values.brokers -}}
{{ include "millrace.podName" . }}
- name: CLUSTER_ID
  valueFrom:
    secretKeyRef: {name: {{ include "millrace.secretName" . }}, key: cluster-id}
- name: KAFKA_CONTROLLER_QUORUM_VOTERS
  value: {{ include "millrace.quorumVoters" . }}
- name: KAFKA_CONTROLLER_LISTENER_NAMES
  value: CONTROLLER
- name: KAFKA_INTER_BROKER_LISTENER_NAME
  value: PLAINTEXT
- name: KAFKA_LISTENER_SECURITY_PROTOCOL_MAP
  value: PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT
- name: KAFKA_LOG_DIRS
  value: /var/lib/kafka/data/logs
- name: KAFKA_HTTP_LISTEN
  value: 0.0.0.0:9644
- name: KAFKA_DEFAULT_REPLICATION_FACTOR
  value: {{ include "millrace.replicationFactor" . | quote }}
- name: KAFKA_MIN_INSYNC_REPLICAS
  value: {{ include "millrace.minInsyncReplicas" . | quote }}
- name: KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR
  value: {{ include "millrace.replicationFactor" . | quote }}
- name: KAFKA_CONTROLLED_SHUTDOWN_TIMEOUT_MS
  value: {{ int $brokers.controlledShutdownTimeoutMs | quote }}
- name: LOG_LEVEL
  value: {{ $brokers.logLevel | quote }}
{{- if and $brokers.external.enabled (not $brokers.external.hosts) }}
- name: EXTERNAL_HOST
  value: {{ $brokers.external.host | quote }}
- name: HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
{{- end }}
{{- include "millrace.tracing" . }}
{{- with $brokers.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
