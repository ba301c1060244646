#!/usr/bin/env bash
# Library: kstatus of fluxcd/cli-utils v1.2.2 (Go), by which Flux and helm judge whether an object is ready. Seen in 2026-11.
#
# Guess: a custom resource on which no controller has ever reported is Unknown or InProgress. One whose status reports that it is not
# available, or degraded, or failed, is not Current.
#
# What happens: all of these are Current. Of a custom resource, only the conditions Ready, Reconciling and Stalled count, and
# status.observedGeneration. If none of them exists, the object counts as ready:
#> no status: Current
#> {"phase":"Failed"}: Current
#> {"conditions":[{"type":"Available","status":"False"}]}: Current
#> {"conditions":[{"type":"Degraded","status":"True"}]}: Current
#> {"conditions":[{"type":"Ready","status":"False"}]}: InProgress
#> {"conditions":[{"type":"Stalled","status":"True"}]}: Failed
#
# Why it matters: a wait for a custom resource ends before its controller has read it, even if that controller is not installed or not
# running. In a controller, set Ready (Unknown at first). In a wait, ask for a condition by name.
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
		"",
		`{"phase":"Failed"}`,
		`{"conditions":[{"type":"Available","status":"False"}]}`,
		`{"conditions":[{"type":"Degraded","status":"True"}]}`,
		`{"conditions":[{"type":"Ready","status":"False"}]}`,
		`{"conditions":[{"type":"Stalled","status":"True"}]}`,
	} {
		object := map[string]any{
			"apiVersion": "example.org/v1",
			"kind":       "Database",
			"metadata":   map[string]any{"name": "orders", "generation": int64(1)},
			"spec":       map[string]any{"size": int64(3)},
		}
		title := "no status"
		if input != "" {
			var reported map[string]any
			if err := json.Unmarshal([]byte(input), &reported); err != nil {
				log.Fatal(err)
			}
			object["status"] = reported
			title = input
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", title, result.Status)
	}
}
GO
go mod init finding
go get github.com/fluxcd/cli-utils/pkg/kstatus/status@v1.2.2
go list -m github.com/fluxcd/cli-utils
echo "A custom resource, kind Database of example.org/v1, generation 1, whose status is:"
output=$(go run .)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "kstatus no longer judges a custom resource without Ready as it did in 2026-11." >&2
  exit 1
fi
