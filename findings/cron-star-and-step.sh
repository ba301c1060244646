#!/usr/bin/env bash
# Library: robfig/cron v3.0.1 (Go), which reads the schedules of Kubernetes' CronJobs and of Argo CD's sync windows. Seen in 2026-11.
#
# Guess: by cron's old rule both day fields must match if one of them begins with a star, as in Vixie cron; otherwise either is enough. So
# `*/2` with a Friday means Fridays on odd dates. And texts that name the same days, `*`, `*/1` and `1-31`, mean the same.
#
# What happens: `*` and `*/1` are stars, so both fields must match. `*/2` and `1-31` are not, so either field is enough:
#> 0 0 * * 5: Fri 8, Fri 15, Fri 22, Fri 29
#> 0 0 */1 * 5: Fri 8, Fri 15, Fri 22, Fri 29
#> 0 0 */2 * 5: Sun 3, Tue 5, Thu 7, Fri 8
#> 0 0 1-31 * 5: Sat 2, Sun 3, Mon 4, Tue 5
#> 0 0 1,* * 5: Fri 8, Fri 15, Fri 22, Fri 29
#
# Why it matters: changing a step from 1 to 2 should halve the runs, but here it adds days. A range that names every day turns "on
# Fridays" into "every day". Leave one of the two day fields at `*`, or list the next runs and check them.
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
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

func main() {
	for _, input := range []string{"0 0 * * 5", "0 0 */1 * 5", "0 0 */2 * 5", "0 0 1-31 * 5", "0 0 1,* * 5"} {
		schedule, err := cron.ParseStandard(input)
		if err != nil {
			log.Fatal(err)
		}
		at := time.Date(2027, time.January, 1, 12, 0, 0, 0, time.UTC)
		var days []string
		for range 4 {
			at = schedule.Next(at)
			days = append(days, at.Format("Mon 2"))
		}
		fmt.Printf("%s: %s\n", input, strings.Join(days, ", "))
	}
}
GO
go mod init finding
go get github.com/robfig/cron/v3@v3.0.1
go list -m github.com/robfig/cron/v3
echo "The first four days after noon of 2027-01-01, a Friday:"
output=$(go run .)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "robfig/cron no longer takes the same day fields for a star as in 2026-11." >&2
  exit 1
fi
