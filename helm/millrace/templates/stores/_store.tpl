{{/* The bundled stores, one pod each, have this in common. */}}

{{/* (dict "root" $ "name" "postgres"): up to the pod's own spec. */}}
{{- define "millrace.storeHead" -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ include "millrace.fullname" .root }}-{{ .name }}
  labels:
    {{- include "millrace.labels" (dict "root" .root "component" .name) | nindent 4 }}
spec:
  serviceName: {{ include "millrace.fullname" .root }}-{{ .name }}
  replicas: 1
  selector:
    matchLabels:
      {{- include "millrace.selector" (dict "root" .root "component" .name) | nindent 6 }}
{{- $persistence := (get .root.Values .name).persistence }}
{{- if $persistence.enabled }}
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: {{ $persistence.whenDeleted }}
    whenScaled: Retain
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          {{- include "millrace.selector" (dict "root" .root "component" .name) | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- include "millrace.storageClass" $persistence | nindent 8 }}
        resources:
          requests:
            storage: {{ $persistence.size }}
{{- end }}
{{- end -}}

{{- define "millrace.storeService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "millrace.fullname" .root }}-{{ .name }}
  labels:
    {{- include "millrace.labels" (dict "root" .root "component" .name) | nindent 4 }}
spec:
  selector:
    {{- include "millrace.selector" (dict "root" .root "component" .name) | nindent 4 }}
  ports:
    - {name: {{ .port }}, port: {{ .number }}, targetPort: {{ .port }}}
{{- end -}}

{{- define "millrace.storePodMeta" -}}
labels:
  {{- include "millrace.podLabels" (dict "root" .root "component" .name) | nindent 2 }}
{{- end -}}

{{/* image, resources and security of the container. */}}
{{- define "millrace.storeContainer" -}}
{{- $values := get .root.Values .name -}}
image: {{ $values.image.repository }}:{{ $values.image.tag }}
imagePullPolicy: {{ $values.image.pullPolicy }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  {{- include "millrace.securityContext" .root | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{- define "millrace.storeData" -}}
{{- if not (get .root.Values .name).persistence.enabled -}}
- name: data
  emptyDir: {}
{{- end -}}
{{- end -}}
