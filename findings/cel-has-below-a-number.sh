#!/usr/bin/env bash
# Library: google/cel-go v0.29.2, the CEL of Kubernetes' admission policies, where the object is a dynamic value as here. Seen in 2026-11.
#
# Guess: `has(x.replicas.y)` is an error if `replicas` is a number: a number has no fields, and reading one without `has` is an error too.
# If it is not an error, this is so for every kind of value: a list and an absent parent behave as a number does.
#
# What happens: below a number, a text or a null, `has` is false without an error. Below a list, and below an absent field, it is an
# error:
#> x.replicas.y = error: no such key: y
#> has(x.replicas.y) = false
#> has(x.name.y) = false
#> has(x.nothing.y) = false
#> has(x.list.y) = error: unsupported index type 'string' in list
#> has(x.absent.y) = error: no such key: absent
#
# Why it matters: the only mistake that `has` reports is an absent parent. A path that continues below a plain value (one level too many,
# or an object of another version) reads as "not set", and a rule of the form `!has(…) || …` is then always true.
set -euo pipefail
seen=$(sed -n 's/^#> //p' "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/google/cel-go/cel"
)

func main() {
	env, err := cel.NewEnv(cel.Variable("x", cel.DynType))
	if err != nil {
		log.Fatal(err)
	}
	var x map[string]any
	if err := json.Unmarshal([]byte(os.Args[1]), &x); err != nil {
		log.Fatal(err)
	}
	for _, input := range []string{
		"x.replicas.y", "has(x.replicas.y)", "has(x.name.y)", "has(x.nothing.y)", "has(x.list.y)", "has(x.absent.y)",
	} {
		ast, issues := env.Compile(input)
		if issues.Err() != nil {
			log.Fatal(issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			log.Fatal(err)
		}
		value, _, err := program.Eval(map[string]any{"x": x})
		if err != nil {
			fmt.Printf("%s = error: %v\n", input, err)
			continue
		}
		fmt.Printf("%s = %v\n", input, value.Value())
	}
}
GO
go mod init finding
go get github.com/google/cel-go/cel@v0.29.2
go list -m github.com/google/cel-go
x='{"replicas": 3, "name": "shop", "nothing": null, "list": [1]}'
echo "x = $x"
output=$(go run . "$x")
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "The result of has() below plain values in cel-go is no longer the one of 2026-11." >&2
  exit 1
fi
