#!/usr/bin/env bash
# Waits until a Release is finished, needs action, or is deleted. The exit code is 0 if it has succeeded everywhere, otherwise 1. The
# last line says why. Usage: wait.sh NAMESPACE RELEASE [TIMEOUT, such as 24h]
set -u
if [ $# -lt 2 ]; then
  echo "usage: $0 NAMESPACE RELEASE [TIMEOUT, such as 24h]" >&2
  exit 1
fi
namespace=$1 release=releases.signalbox.dev/$2 timeout=${3:-24h}

# One wait for each outcome, because kubectl waits for one condition only: finished, stalled, deleted.
# The first one that returns ends the others, and so does the end of this script.
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 1' HUP INT TERM
kubectl --namespace "$namespace" get "$release" --output name >/dev/null || exit 1
for until in condition=Ready condition=Stalled delete; do
  kubectl --namespace "$namespace" wait "$release" --for="$until" --timeout="$timeout" &
done
wait -n

ready='{.status.conditions[?(@.type=="Ready")]'
kubectl --namespace "$namespace" get "$release" --output jsonpath="$ready.reason}: $ready.message}{'\n'}" || exit 1
test "$(kubectl --namespace "$namespace" get "$release" --output jsonpath="$ready.reason}")" = Succeeded
