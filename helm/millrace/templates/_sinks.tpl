{{/* Where the sinks are and with which credentials: variables, mounts and volumes of the ETL, the archiver and verify. */}}

{{- define "millrace.postgresEnv" -}}
{{- $postgres := .Values.postgres -}}
- name: DATABASE_URL
{{- if $postgres.bundled }}
  value: postgres://millrace@{{ include "millrace.fullname" . }}-postgres:5432/millrace
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "millrace.secretName" . }}, key: postgres-password}
{{- else }}
  value: {{ $postgres.external.url | quote }}
{{- with $postgres.external.existingSecret }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $postgres.external.passwordKey }}}
{{- end }}
{{- if $postgres.external.caSecret }}
- name: PGSSLROOTCERT
  value: /etc/millrace/postgres-ca/{{ $postgres.external.caKey }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.opensearchEnv" -}}
{{- $external := .Values.opensearch.external -}}
- name: OPENSEARCH_URL
{{- if .Values.opensearch.bundled }}
  value: http://{{ include "millrace.fullname" . }}-opensearch:9200
{{- else }}
{{- if $external.existingSecret }}
  valueFrom:
    secretKeyRef: {name: {{ $external.existingSecret }}, key: {{ $external.urlKey }}}
{{- else }}
  value: {{ $external.url | quote }}
{{- end }}
{{- if $external.caSecret }}
- name: OPENSEARCH_CA_FILE
  value: /etc/millrace/opensearch-ca/{{ $external.caKey }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.s3Env" -}}
{{- $s3 := .Values.s3 -}}
{{- $secret := dict "name" (include "millrace.secretName" .) "access" "s3-access-key" "secret" "s3-secret-key" -}}
{{- if not $s3.bundled -}}
{{- $secret = dict "name" $s3.external.existingSecret "access" $s3.external.accessKeyKey "secret" $s3.external.secretKeyKey -}}
{{- end -}}
- name: S3_BUCKET
  value: {{ $s3.bucket }}
- name: AWS_REGION
  value: {{ $s3.region }}
{{- with include "millrace.s3Endpoint" . }}
- name: S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if $secret.name }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ $secret.name }}, key: {{ $secret.access }}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ $secret.name }}, key: {{ $secret.secret }}}
{{- end }}
{{- end -}}

{{- define "millrace.s3Endpoint" -}}
{{- if .Values.s3.bundled }}http://{{ include "millrace.fullname" . }}-s3:7070{{ else }}{{ .Values.s3.external.endpointUrl }}{{ end -}}
{{- end -}}

{{/* The authorities of the external stores. */}}
{{- define "millrace.sinkMounts" -}}
{{- range $store := list "postgres" "opensearch" }}
{{- $values := get $.Values $store }}
{{- if and $values.enabled (not $values.bundled) $values.external.caSecret }}
- {name: {{ $store }}-ca, mountPath: /etc/millrace/{{ $store }}-ca, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "millrace.sinkVolumes" -}}
{{- range $store := list "postgres" "opensearch" }}
{{- $values := get $.Values $store }}
{{- if and $values.enabled (not $values.bundled) $values.external.caSecret }}
- name: {{ $store }}-ca
  secret: {secretName: {{ $values.external.caSecret }}}
{{- end }}
{{- end }}
{{- end -}}
