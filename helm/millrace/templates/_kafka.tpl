{{/* How the brokers of this release are laid out, and how its services reach Kafka. */}}

{{/* Voters are static: the first three, or the first. */}}
{{- define "millrace.voters" -}}
{{- if ge (int .Values.brokers.replicas) 3 }}3{{ else }}1{{ end -}}
{{- end -}}

{{- define "millrace.replicationFactor" -}}
{{- if not (kindIs "invalid" .Values.brokers.replicationFactor) }}{{ int .Values.brokers.replicationFactor }}{{ else if ge (int .Values.brokers.replicas) 3 }}3{{ else }}1{{ end -}}
{{- end -}}

{{- define "millrace.minInsyncReplicas" -}}
{{- if not (kindIs "invalid" .Values.brokers.minInsyncReplicas) }}{{ int .Values.brokers.minInsyncReplicas }}{{ else if ge (int .Values.brokers.replicas) 3 }}2{{ else }}1{{ end -}}
{{- end -}}

{{/* How many brokers may be away while every acks=all producer goes on and the quorum has a majority. */}}
{{- define "millrace.maxUnavailable" -}}
{{- if not (kindIs "invalid" .Values.brokers.podDisruptionBudget.maxUnavailable) -}}
{{- int .Values.brokers.podDisruptionBudget.maxUnavailable -}}
{{- else -}}
{{- $spare := sub (int (include "millrace.replicationFactor" .)) (int (include "millrace.minInsyncReplicas" .)) -}}
{{- min $spare (div (sub (int (include "millrace.voters" .)) 1) 2) -}}
{{- end -}}
{{- end -}}

{{- define "millrace.gracePeriod" -}}
{{- if not (kindIs "invalid" .Values.brokers.terminationGracePeriodSeconds) -}}
{{- int .Values.brokers.terminationGracePeriodSeconds -}}
{{- else -}}
{{- add (div (add (int .Values.brokers.controlledShutdownTimeoutMs) 999) 1000) 15 -}}
{{- end -}}
{{- end -}}

{{/* The DNS domain of the broker pods. */}}
{{- define "millrace.brokerDomain" -}}
{{ include "millrace.fullname" . }}-broker-headless.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- define "millrace.quorumVoters" -}}
{{- $root := . -}}
{{- $voters := list -}}
{{- range $ordinal := until (int (include "millrace.voters" .)) -}}
{{- $voters = append $voters (printf "%d@%s-broker-%d.%s:9093" $ordinal (include "millrace.fullname" $root) $ordinal (include "millrace.brokerDomain" $root)) -}}
{{- end -}}
{{- join "," $voters -}}
{{- end -}}

{{- define "millrace.bootstrapServers" -}}
{{- if .Values.brokers.enabled -}}
{{ include "millrace.fullname" . }}-bootstrap:9092
{{- else -}}
{{ .Values.kafka.bootstrapServers }}
{{- end -}}
{{- end -}}

{{/* Further librdkafka settings as NAME=VALUE,...: what secures the connection, and the user's own. */}}
{{- define "millrace.kafkaProperties" -}}
{{- $kafka := .Values.kafka -}}
{{- $properties := list -}}
{{- if ne $kafka.securityProtocol "PLAINTEXT" -}}
{{- $properties = append $properties (printf "security.protocol=%s" $kafka.securityProtocol) -}}
{{- end -}}
{{- if hasPrefix "SASL" $kafka.securityProtocol -}}
{{- /* The kubelet puts the Secret's values in. */ -}}
{{- $properties = concat $properties (list (printf "sasl.mechanism=%s" $kafka.sasl.mechanism) "sasl.username=$(KAFKA_SASL_USERNAME)" "sasl.password=$(KAFKA_SASL_PASSWORD)") -}}
{{- end -}}
{{- if hasSuffix "SSL" $kafka.securityProtocol -}}
{{- if $kafka.tls.caSecret -}}
{{- $properties = append $properties (printf "ssl.ca.location=/etc/millrace/kafka-ca/%s" $kafka.tls.caKey) -}}
{{- end -}}
{{- if $kafka.tls.clientSecret -}}
{{- $properties = concat $properties (list "ssl.certificate.location=/etc/millrace/kafka-client/tls.crt" "ssl.key.location=/etc/millrace/kafka-client/tls.key") -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $kafka.properties -}}
{{- $properties = append $properties (printf "%s=%s" $key (include "millrace.scalar" $value)) -}}
{{- end -}}
{{- join "," $properties -}}
{{- end -}}

{{/* Variables of whoever is a client of Kafka. */}}
{{- define "millrace.kafkaEnv" -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ include "millrace.bootstrapServers" . | quote }}
{{- with .Values.kafka }}
{{- if hasPrefix "SASL" .securityProtocol }}
- name: KAFKA_SASL_USERNAME
  valueFrom:
    secretKeyRef: {name: {{ .sasl.existingSecret }}, key: {{ .sasl.usernameKey }}}
- name: KAFKA_SASL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .sasl.existingSecret }}, key: {{ .sasl.passwordKey }}}
{{- end }}
{{- end }}
{{- with include "millrace.kafkaProperties" . }}
- name: KAFKA_PROPERTIES
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "millrace.kafkaMounts" -}}
{{- with .Values.kafka }}
{{- if hasSuffix "SSL" .securityProtocol }}
{{- if .tls.caSecret }}
- {name: kafka-ca, mountPath: /etc/millrace/kafka-ca, readOnly: true}
{{- end }}
{{- if .tls.clientSecret }}
- {name: kafka-client, mountPath: /etc/millrace/kafka-client, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.kafkaVolumes" -}}
{{- with .Values.kafka }}
{{- if hasSuffix "SSL" .securityProtocol }}
{{- with .tls.caSecret }}
- name: kafka-ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .tls.clientSecret }}
- name: kafka-client
  secret: {secretName: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
