{{/* A pod that `helm test` runs: (dict "root" $ "name" "records" "script" "..." "env" "..."). */}}
{{- define "millrace.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "millrace.fullname" .root }}-test-{{ .name }}
  labels:
    {{- include "millrace.labels" (dict "root" .root "component" "test") | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  {{- include "millrace.podSpec" (dict "root" .root "user" 1000 "account" "services") | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: {{ .name }}
      image: {{ include "millrace.image" (dict "root" .root "name" "cli") }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: [/bin/sh, -euc]
      args:
        - |
          {{- .script | trim | nindent 10 }}
      env:
        {{- include "millrace.kafkaEnv" .root | nindent 8 }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {memory: 512Mi}
      securityContext:
        {{- include "millrace.securityContext" .root | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- include "millrace.kafkaMounts" .root | nindent 8 }}
        {{- include "millrace.sinkMounts" .root | nindent 8 }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- include "millrace.kafkaVolumes" .root | nindent 4 }}
    {{- include "millrace.sinkVolumes" .root | nindent 4 }}
{{- end -}}

{{- define "millrace.recordsScript" -}}
topic={{ include "millrace.fullname" . }}-helm-test
id=$(cat /proc/sys/kernel/random/uuid)
millrace topics create "$topic" --if-not-exists --partitions 3 --config retention.ms=3600000
for n in 1 2 3 4 5 6 7 8 9 10; do echo "$id|$id-$n"; done | millrace produce "$topic" --key-separator '|'
millrace consume "$topic" --from-beginning --exit | grep "^$id-" | sort -u > /tmp/read
count=$(wc -l < /tmp/read)
[ "$count" -eq 10 ] || { echo "10 records were written and $count came back" >&2; exit 1; }
echo "10 records written, acknowledged by acks=all, and read back"
{{- end -}}

{{/* The generators' topics and the sinks that they flow into, as arguments of millrace verify; empty where nothing flows. */}}
{{- define "millrace.verifyArguments" -}}
{{- $topics := list -}}
{{- if .Values.weblogGenerator.enabled }}{{ $topics = append $topics .Values.weblogGenerator.topic }}{{ end -}}
{{- if .Values.bakeryProducer.enabled }}{{ $topics = append $topics .Values.bakeryProducer.topic }}{{ end -}}
{{- $sinks := list -}}
{{- if .Values.etl.enabled -}}
{{- if .Values.postgres.enabled }}{{ $sinks = append $sinks "postgres" }}{{ end -}}
{{- if .Values.opensearch.enabled }}{{ $sinks = append $sinks "opensearch" }}{{ end -}}
{{- end -}}
{{- if and .Values.archiver.enabled .Values.s3.enabled }}{{ $sinks = append $sinks "s3" }}{{ end -}}
{{- if and $topics $sinks -}}
{{- range $topics }}--topic {{ . }} {{ end -}}
{{- range $sinks }}--sink {{ . }} {{ end -}}
{{- end -}}
{{- end -}}
