{{/* The one pod part that speaks to the Kubernetes API: it reads a label of its node, and nothing else. */}}
{{- define "millrace.rackReader" -}}
- name: rack
  image: {{ include "millrace.image" (dict "root" . "name" "broker") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [millrace, kubernetes, node-label]
  args:
    - --label={{ .Values.brokers.rack.nodeLabel }}
    - --output=/run/millrace/rack
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 64Mi}
  securityContext:
    {{- include "millrace.securityContext" . | nindent 4 }}
  volumeMounts:
    - {name: rack, mountPath: /run/millrace}
    # Only here: the broker's container has no token.
    - {name: node-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end -}}

{{- define "millrace.rackVolumes" -}}
- name: rack
  emptyDir: {}
- name: node-token
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
{{- end -}}

{{- define "millrace.storageClass" -}}
{{- if eq .storageClass "-" -}}
storageClassName: ""
{{- else if .storageClass -}}
storageClassName: {{ .storageClass }}
{{- end -}}
{{- end -}}
