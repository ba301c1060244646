#!/bin/sh
# Creates the next Release of a product and waits for it. It needs kubectl, the plugin kubectl-signalbox, and a kubeconfig of the
# pipeline's ServiceAccount, which holds signalbox-pipeline in the namespace of the Releases.
#
#   PRODUCT    the product, such as payments
#   VERSION    the new version, such as 2026.12.1
#   IMAGES     component=image@sha256:…, separated by blanks
#   REQUESTER  the person who requests it, as the API server names that person
#   NAMESPACE  the namespace of the Releases
#   GOAL       the Environment up to which the pipeline waits, such as uat
#   TIMEOUT    how long it waits, such as 60m
#
# It ends with 0 if the Release has Succeeded in the Environment, or waits there for people, which is no failure of a pipeline; with 0, too,
# if a newer version has overtaken it; with 3 if it failed or was backed out; with 124 if the time is over.
set -euf

manifest=$(mktemp)
trap 'rm -f "$manifest"' EXIT

# A job that is started again follows the Release that the earlier one created.
release=$PRODUCT-$VERSION
if ! kubectl get releases.signalbox.dev "$release" --namespace "$NAMESPACE" --output name > /dev/null 2>&1; then
  set --
  for image in $IMAGES; do
    set -- "$@" --image "$image"
  done
  kubectl signalbox release "$PRODUCT" "$VERSION" "$@" --requested-by "$REQUESTER" --namespace "$NAMESPACE" > "$manifest"
  kubectl signalbox lint -f "$manifest"
  kubectl create --namespace "$NAMESPACE" --filename "$manifest"
fi
kubectl signalbox diff "$release" --namespace "$NAMESPACE" || true

ended=0
kubectl signalbox wait "$release" --namespace "$NAMESPACE" --environment "$GOAL" --timeout "$TIMEOUT" || ended=$?
case $ended in
  0) echo "$release has Succeeded in $GOAL." ;;
  2)
    echo "$release waits for people:"
    kubectl signalbox explain "$release" --namespace "$NAMESPACE"
    ;;
  4) echo "$release is overtaken by a newer version, or withdrawn." ;;
  *)
    kubectl signalbox explain "$release" --namespace "$NAMESPACE" || true
    exit "$ended"
    ;;
esac
