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

{{/* Variables of whoever is a client of Kafka. */}}
{{- define "millrace.kafkaEnv" -}}
{{- $properties := list -}}
{{- range $key, $value := .Values.kafka.properties -}}
{{- $properties = append $properties (printf "%s=%s" $key (include "millrace.scalar" $value)) -}}
{{- end -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ include "millrace.bootstrapServers" . | quote }}
{{- with $properties }}
- name: KAFKA_PROPERTIES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.kafka }}
{{- if ne .securityProtocol "PLAINTEXT" }}
- name: KAFKA_SECURITY_PROTOCOL
  value: {{ .securityProtocol }}
{{- end }}
{{- if hasPrefix "SASL" .securityProtocol }}
- name: KAFKA_SASL_MECHANISM
  value: {{ .sasl.mechanism }}
- name: KAFKA_SASL_USERNAME
  valueFrom:
    secretKeyRef: {name: {{ .sasl.existingSecret }}, key: {{ .sasl.usernameKey }}}
- name: KAFKA_SASL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .sasl.existingSecret }}, key: {{ .sasl.passwordKey }}}
{{- end }}
{{- if hasSuffix "SSL" .securityProtocol }}
{{- if .tls.caSecret }}
- name: KAFKA_SSL_CA_LOCATION
  value: /etc/millrace/kafka-ca/{{ .tls.caKey }}
{{- end }}
{{- if .tls.clientSecret }}
- name: KAFKA_SSL_CERTIFICATE_LOCATION
  value: /etc/millrace/kafka-client/tls.crt
- name: KAFKA_SSL_KEY_LOCATION
  value: /etc/millrace/kafka-client/tls.key
{{- end }}
{{- end }}
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
