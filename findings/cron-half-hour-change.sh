#!/usr/bin/env bash
# Library: robfig/cron v3.0.1 (Go), which reads the schedules of Kubernetes' CronJobs and of Argo CD's sync windows. Seen in 2026-11.
#
# Guess: Australia/Lord_Howe changes its clocks at two in the morning, by half an hour. `0 9 * * *` is hours away from that and runs at
# nine every day. `30 1 * * *` runs at half past one, which occurs exactly once on the day of the spring change (2027-10-03).
#
# What happens: `0 9 * * *` skips the whole day of the change, in spring and in autumn. `30 1 * * *` runs a second time on the day of the
# spring change, at half past two local time, an hour that the schedule does not name:
#> 0 9 * * * after 2027-10-01 12:00: Sat 2027-10-02 09:00 +1030, Mon 2027-10-04 09:00 +1100
#> 0 9 * * * after 2027-04-02 12:00: Sat 2027-04-03 09:00 +1100, Mon 2027-04-05 09:00 +1030
#> 30 1 * * * after 2027-10-02 12:00: Sun 2027-10-03 01:30 +1030, Sun 2027-10-03 02:30 +1100
# The search goes from midnight in steps of 60 real minutes. After a change of 30 they fall on half past: nine is reached at 09:30, too
# late for minute 0. And an hour counts as finished when a minute 0 is reached, but 01:59 is followed by 02:30.
#
# Why it matters: in such a zone a daily job or window can be missing on two days of the year, or run twice, although it is nowhere near
# the change. Write such a schedule in UTC, and never assume that a daily schedule has one run a day.
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
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

const minute = "2006-01-02 15:04"

func main() {
	island, err := time.LoadLocation("Australia/Lord_Howe")
	if err != nil {
		log.Fatal(err)
	}
	for _, input := range []struct{ schedule, after string }{
		{"0 9 * * *", "2027-10-01 12:00"},
		{"0 9 * * *", "2027-04-02 12:00"},
		{"30 1 * * *", "2027-10-02 12:00"},
	} {
		schedule, err := cron.ParseStandard(input.schedule)
		if err != nil {
			log.Fatal(err)
		}
		after, err := time.ParseInLocation(minute, input.after, island)
		if err != nil {
			log.Fatal(err)
		}
		first := schedule.Next(after)
		second := schedule.Next(first)
		const run = "Mon " + minute + " -0700"
		fmt.Printf("%s after %s: %s, %s\n", input.schedule, input.after, first.Format(run), second.Format(run))
	}
}
GO
go mod init finding
go get github.com/robfig/cron/v3@v3.0.1
go list -m github.com/robfig/cron/v3
output=$(go run .)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "robfig/cron no longer reads schedules around a change of half an hour as it did in 2026-11." >&2
  exit 1
fi
