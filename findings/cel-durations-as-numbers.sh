#!/usr/bin/env bash
# Library: google/cel-go v0.29.2, the CEL of Kubernetes' admission policies and CRD rules. Seen in 2026-11.
#
# Guess: `int` of a duration is its seconds, as `int` of a timestamp is (and as `string` of both shows). `getMinutes` of an hour and a
# half is 30, as it is for a timestamp at half past. Two timestamps that CEL can hold (years 1 to 9999) can be subtracted.
#
# What happens: `int` counts nanoseconds, and `getMinutes` is the whole length in minutes. A difference of more than 292 years, the most
# that 64 bits of nanoseconds can hold, is an error:
#> int(timestamp('1970-01-01T01:00:00Z')) = 3600
#> string(duration('1h')) = 3600s
#> int(duration('1h')) = 3600000000000
#> timestamp('1970-01-01T01:30:00Z').getMinutes() = 30
#> duration('1h30m').getMinutes() = 90
#> timestamp('2300-01-01T00:00:00Z') - timestamp('2000-01-01T00:00:00Z') = error: integer overflow
#
# Why it matters: a rule such as `int(now - started) > 3600` is true after four microseconds. Compare durations with durations
# (`now - started > duration('1h')`), and do not subtract from a far-off date that means "never".
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

	"github.com/google/cel-go/cel"
)

func main() {
	env, err := cel.NewEnv()
	if err != nil {
		log.Fatal(err)
	}
	for _, input := range []string{
		"int(timestamp('1970-01-01T01:00:00Z'))",
		"string(duration('1h'))",
		"int(duration('1h'))",
		"timestamp('1970-01-01T01:30:00Z').getMinutes()",
		"duration('1h30m').getMinutes()",
		"timestamp('2300-01-01T00:00:00Z') - timestamp('2000-01-01T00:00:00Z')",
	} {
		ast, issues := env.Compile(input)
		if issues.Err() != nil {
			log.Fatal(issues.Err())
		}
		program, err := env.Program(ast)
		if err != nil {
			log.Fatal(err)
		}
		value, _, err := program.Eval(map[string]any{})
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
output=$(go run .)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "cel-go no longer converts durations to numbers as it did in 2026-11." >&2
  exit 1
fi
