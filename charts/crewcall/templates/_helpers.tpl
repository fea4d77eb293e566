{{- define "crewcall.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What the objects are called: at most 50 characters, so that there is room for what follows. */}}
{{- define "crewcall.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "crewcall.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/*
By what the operator's pods are known. The component is what tells them from the pods of a cluster that has the release's
name: those have the two others, too.
*/}}
{{- define "crewcall.selectorLabels" -}}
app.kubernetes.io/name: {{ include "crewcall.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of every object. Those of the values come first, so that they cannot replace the chart's. */}}
{{- define "crewcall.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "crewcall"
  "app.kubernetes.io/managed-by" .Release.Service }}
{{- $own = merge $own (include "crewcall.selectorLabels" . | fromYaml) }}
{{- toYaml (merge $own .Values.commonLabels) }}
{{- end }}

{{/* Metadata of an object: (list CONTEXT NAME), (list CONTEXT NAME LABELS) or with ANNOTATIONS as the fourth. */}}
{{- define "crewcall.metadata" -}}
{{- $context := index . 0 }}
{{- $labels := include "crewcall.labels" $context | fromYaml }}
{{- if gt (len .) 2 }}
{{- $labels = merge $labels (index . 2) }}
{{- end }}
{{- $annotations := deepCopy $context.Values.commonAnnotations }}
{{- if gt (len .) 3 }}
{{- $annotations = mergeOverwrite $annotations (index . 3) }}
{{- end -}}
name: {{ index . 1 }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "crewcall.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "crewcall.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "crewcall.leaseName" -}}
{{- default (printf "%s-operator" (include "crewcall.fullname" .)) .Values.leaderElection.leaseName }}
{{- end }}

{{- define "crewcall.image" -}}
{{- $hint := "image.repository is not set: name the repository that the operator's image was pushed to (images/controller/README.md says how it is made)" }}
{{- $image := required $hint .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $image .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $image (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* What the operator does in a namespace with clusters. */}}
{{- define "crewcall.rules" -}}
- apiGroups: [crewcall.dev]
  resources: [computeclusters]
  verbs: [get, list, watch, delete]
- apiGroups: [crewcall.dev]
  resources: [computeclusters/status]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [pods, configmaps]
  verbs: [create, get, list, watch, delete]
- apiGroups: [""]
  resources: [services, secrets]
  verbs: [create, get, list, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, get, list, delete]
# For each cluster a Role, with which its owner may let others read the Secret for clients.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [create, get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* How often and how Prometheus asks: (dict of the monitor's values). */}}
{{- define "crewcall.scrape" -}}
path: /metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
