{{/* The four services differ in their variables only. */}}

{{/* Those of this release, as JSON: {"list": [{"component", "key"}]}. A consumer without a sink has nothing to do. */}}
{{- define "millrace.services" -}}
{{- $list := list -}}
{{- if .Values.weblogGenerator.enabled -}}
{{- $list = append $list (dict "component" "weblog-generator" "key" "weblogGenerator") -}}
{{- end -}}
{{- if .Values.bakeryProducer.enabled -}}
{{- $list = append $list (dict "component" "bakery-producer" "key" "bakeryProducer") -}}
{{- end -}}
{{- if and .Values.etl.enabled (or .Values.postgres.enabled .Values.opensearch.enabled) -}}
{{- $list = append $list (dict "component" "etl" "key" "etl") -}}
{{- end -}}
{{- if and .Values.archiver.enabled .Values.s3.enabled -}}
{{- $list = append $list (dict "component" "archiver" "key" "archiver") -}}
{{- end -}}
{{- dict "list" $list | toJson -}}
{{- end -}}

{{/* A generator's variables: (dict "root" $ "values" .Values.weblogGenerator "variable" "WEBLOG_TOPIC"). */}}
{{- define "millrace.generatorEnv" -}}
- name: {{ .variable }}
  value: {{ .values.topic }}
- name: RATE
  value: {{ include "millrace.scalar" .values.rate | quote }}
{{- range .root.Values.topics.list }}
{{- if eq .name $.values.topic }}
{{- with .partitions }}
- name: TOPIC_PARTITIONS
  value: {{ int . | quote }}
{{- end }}
{{- with .replicationFactor }}
- name: TOPIC_REPLICATION_FACTOR
  value: {{ int . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.weblog-generatorEnv" -}}
{{ include "millrace.generatorEnv" (dict "root" . "values" .Values.weblogGenerator "variable" "WEBLOG_TOPIC") }}
{{- end -}}

{{- define "millrace.bakery-producerEnv" -}}
{{ include "millrace.generatorEnv" (dict "root" . "values" .Values.bakeryProducer "variable" "BAKERY_TOPIC") }}
{{- end -}}

{{- define "millrace.etlEnv" -}}
- name: WEBLOG_TOPIC
  value: {{ .Values.etl.weblogTopic }}
- name: BAKERY_TOPIC
  value: {{ .Values.etl.bakeryTopic }}
- name: GROUP_PREFIX
  value: {{ .Values.etl.groupPrefix }}
{{- if .Values.postgres.enabled }}
{{ include "millrace.postgresEnv" . }}
{{- end }}
{{- if .Values.opensearch.enabled }}
{{ include "millrace.opensearchEnv" . }}
{{- end }}
{{- end -}}

{{- define "millrace.archiverEnv" -}}
- name: ARCHIVER_CONFIG
  value: /etc/millrace/archiver/s3_conn_config.json
{{- if .Values.s3.createBucket }}
- name: ARCHIVER_CREATE_BUCKET
  value: "true"
{{- end }}
{{ include "millrace.s3Env" . }}
{{- end -}}

{{/* What makes the pods of a service new when it changes outside of them. */}}
{{- define "millrace.serviceChecksums" -}}
{{- if eq .component "archiver" -}}
checksum/config: {{ include (print .root.Template.BasePath "/services/archiver.yaml") .root | sha256sum | trunc 32 }}
{{- end }}
{{- if and (eq .component "etl") .root.Values.postgres.enabled }}
{{- if .root.Values.postgres.bundled }}
checksum/postgres: {{ include "millrace.secretChecksum" (dict "root" .root "keys" (list "postgres-password")) | quote }}
{{- else if .root.Values.postgres.external.existingSecret }}
checksum/postgres: {{ include "millrace.secretVersion" (dict "root" .root "name" .root.Values.postgres.external.existingSecret) | quote }}
{{- end }}
{{- end }}
{{- if eq .component "archiver" }}
{{- if .root.Values.s3.bundled }}
checksum/s3: {{ include "millrace.secretChecksum" (dict "root" .root "keys" (list "s3-access-key" "s3-secret-key")) | quote }}
{{- else if .root.Values.s3.external.existingSecret }}
checksum/s3: {{ include "millrace.secretVersion" (dict "root" .root "name" .root.Values.s3.external.existingSecret) | quote }}
{{- end }}
{{- end }}
{{- end -}}
