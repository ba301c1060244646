#!/usr/bin/env bash
# Library: kstatus of fluxcd/cli-utils v1.2.2 (Go), by which Flux and helm judge whether an object is ready. Seen in 2026-11.
#
# Guess: a condition in Kubernetes' standard form has the generation that it was set for (observedGeneration), so that a reader can detect
# a stale one. A Ready that was set for generation 1 says nothing about generation 2: InProgress, as with the field in the status itself.
#
# What happens: the condition's observedGeneration is not read; only the one directly in the status is:
#> {"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}: InProgress
#> {"conditions":[{"type":"Ready","status":"True","observedGeneration":1}]}: Current
#> {"conditions":[{"type":"Ready","status":"True","observedGeneration":2}]}: Current
#
# Why it matters: a controller that follows the standard form and sets the generation only in its conditions counts as ready right after a
# change, with the answer to the previous spec. Set status.observedGeneration too.
set -euo pipefail
seen=$(sed -n 's/^#> //p' "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"log"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

func main() {
	for _, input := range []string{
		`{"observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}`,
		`{"conditions":[{"type":"Ready","status":"True","observedGeneration":1}]}`,
		`{"conditions":[{"type":"Ready","status":"True","observedGeneration":2}]}`,
	} {
		var reported map[string]any
		if err := json.Unmarshal([]byte(input), &reported); err != nil {
			log.Fatal(err)
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.org/v1",
			"kind":       "Database",
			"metadata":   map[string]any{"name": "orders", "generation": int64(2)},
			"status":     reported,
		}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", input, result.Status)
	}
}
GO
go mod init finding
go get github.com/fluxcd/cli-utils/pkg/kstatus/status@v1.2.2
go list -m github.com/fluxcd/cli-utils
echo "A custom resource, kind Database of example.org/v1, generation 2, whose status is:"
output=$(go run .)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "kstatus no longer reads the generation of a condition as it did in 2026-11." >&2
  exit 1
fi
