{{/* Names are fixed, so that a helm release with another name can take over the objects. */}}
{{- define "signalbox.name" -}}signalbox{{- end }}

{{- define "signalbox.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "signalbox.name" . }}
{{- end }}

{{/* The selector of a Deployment is immutable, so it does not contain the name of the helm release either. */}}
{{- define "signalbox.selectorLabels" -}}
app.kubernetes.io/name: {{ include "signalbox.name" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "signalbox.labels" -}}
app.kubernetes.io/name: {{ include "signalbox.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "signalbox.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "signalbox.subject" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "signalbox.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Objects on which readiness depends: read, never written. */}}
{{- define "signalbox.workloadRules" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}

{{/* Names of the namespaces in which the chart creates the deployer, as JSON. */}}
{{- define "signalbox.deployerNamespaces" -}}
{{- $names := list }}
{{- range $entry := .Values.deployer.namespaces }}
{{- $name := $entry }}
{{- if kindIs "map" $entry }}
{{- $name = $entry.name }}
{{- end }}
{{- if has $name $names }}
{{- fail (printf "deployer.namespaces lists %s twice. Remove one of the entries." $name) }}
{{- end }}
{{- $names = append $names $name }}
{{- end }}
{{- toJson $names }}
{{- end }}
