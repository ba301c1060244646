#!/usr/bin/env bash
# Library: k8s.io/apimachinery v0.37.2 (Go), whose ParseQuantity reads every quantity of Kubernetes and stands behind `isQuantity` of
# its CEL. Seen in 2026-11.
#
# Guess: a quantity is a number with or without a suffix. The regular expression that the library names in its own errors asks for at
# least one digit or dot, so a unit alone, or a sign alone, is refused as the empty text is.
#
# What happens: a unit alone, a sign alone and a dot alone are each zero, without an error. The empty text and an unknown
# suffix are refused:
#> "500m" = 500m
#> "Gi" = 0
#> "m" = 0
#> "-" = 0
#> "." = 0
#> "" = error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
#> "1K" = error: unable to parse quantity's suffix
#
# Why it matters: a template such as `{{ .memory }}Gi` with an empty value does not fail: it asks for zero. "Is it a quantity?" is no
# proof that somebody wrote a number; ask for the least amount that makes sense too.
set -euo pipefail
seen=$(sed -n 's/^#> //p' "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >main.go <<'GO'
package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

func main() {
	for _, input := range []string{"500m", "Gi", "m", "-", ".", "", "1K"} {
		quantity, err := resource.ParseQuantity(input)
		if err != nil {
			fmt.Printf("%q = error: %v\n", input, err)
			continue
		}
		fmt.Printf("%q = %s\n", input, quantity.String())
	}
}
GO
go mod init finding
go get k8s.io/apimachinery/pkg/api/resource@v0.37.2
go list -m k8s.io/apimachinery
output=$(go run .)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "ParseQuantity takes other texts for a quantity than was seen in 2026-11." >&2
  exit 1
fi
