{{/* Generated once: what the Secret in the cluster holds is kept, and within one rendering nothing is drawn twice. */}}
{{- define "millrace.generate" -}}
{{- if not (hasKey .Values "generated") -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "millrace.secretName" .) -}}
{{- $known := default dict (get (default dict $secret) "data") -}}
{{- $values := dict -}}
{{- $_ := set $values "cluster-id" (randBytes 16 | replace "+" "A" | replace "/" "B" | trimSuffix "==") -}}
{{- range list "postgres-password" "s3-secret-key" -}}
{{- $_ := set $values . (randAlphaNum 32) -}}
{{- end -}}
{{- $_ := set $values "s3-access-key" (randAlphaNum 20 | upper) -}}
{{- range $key, $value := $known -}}
{{- $_ := set $values $key ($value | b64dec) -}}
{{- end -}}
{{- $_ := set .Values "generated" $values -}}
{{- end -}}
{{- end -}}

{{/* Changes when one of these keys does: (dict "root" $ "keys" (list ...)). Of a Secret that is somebody else's, its version. */}}
{{- define "millrace.secretChecksum" -}}
{{- if .root.Values.secrets.existingSecret -}}
{{- include "millrace.secretVersion" (dict "root" .root "name" .root.Values.secrets.existingSecret) -}}
{{- else -}}
{{- include "millrace.generate" .root -}}
{{- pick .root.Values.generated (index .keys 0) (last .keys) | toJson | sha256sum | trunc 32 -}}
{{- end -}}
{{- end -}}

{{- define "millrace.secretVersion" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- dig "metadata" "resourceVersion" "unknown" (default dict $secret) -}}
{{- end -}}
