{{/* Pieces of NetworkPolicies. */}}

{{- define "millrace.ownPods" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "millrace.metricsIngress" -}}
{{- with .Values.networkPolicy.metricsClients -}}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
    - port: http
{{- end -}}
{{- end -}}

{{- define "millrace.dnsEgress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* The collector's port, wherever it is. */}}
{{- define "millrace.tracingEgress" -}}
{{- with .Values.tracing.endpoint -}}
- ports:
    - port: {{ regexFind ":[0-9]+(/|$)" . | trimPrefix ":" | trimSuffix "/" | default (hasPrefix "https" . | ternary "443" "80") }}
{{- end -}}
{{- end -}}

{{/* Not empty where services reach something that is not of this release. */}}
{{- define "millrace.anythingExternal" -}}
{{- if not .Values.brokers.enabled }}kafka{{ end -}}
{{- range list "postgres" "opensearch" "s3" -}}
{{- with get $.Values . -}}
{{- if and .enabled (not .bundled) }}store{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
