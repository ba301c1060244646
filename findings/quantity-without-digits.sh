#!/usr/bin/env bash
# Library: k8s.io/apimachinery v0.37.2 (Go). Its ParseQuantity reads every quantity of Kubernetes, also for `isQuantity` in CEL. Seen in
# 2026-11.
#
# Guess: a quantity is a number with or without a suffix. The regular expression in the library's own errors requires at least one digit
# or dot. So a unit alone, or a sign alone, is refused as the empty text is.
#
# What happens: a unit alone, a sign alone and a dot alone are each zero, without an error. The empty text and an unknown suffix are
# refused:
#> "500m" = 500m
#> "Gi" = 0
#> "m" = 0
#> "-" = 0
#> "." = 0
#> "" = error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
#> "1K" = error: unable to parse quantity's suffix
#
# Why it matters: a template such as `{{ .memory }}Gi` with an empty value does not fail: it requests zero. "Is it a quantity?" does not
# prove that the text contains a number; also check for a reasonable minimum.
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
  echo "ParseQuantity no longer accepts the same texts as in 2026-11." >&2
  exit 1
fi
