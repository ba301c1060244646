package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A scheduleQuestion asks about the time after From, until and including Until.
type scheduleQuestion struct {
	Schedule string    `json:"schedule"`
	Zone     string    `json:"zone"`
	Duration string    `json:"duration"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	// Limit of Fires.
	Limit int `json:"limit"`
}

// A refusal says why no CronJob can have such a schedule or time zone.
type refusal struct {
	Refused string `json:"refused"`
}

// A timetable is the answer to a question.
type timetable struct {
	// Fires: when a CronJob of this schedule and time zone creates its Jobs.
	Fires []string `json:"fires"`
	// Active: from when until when an Argo CD sync window of this schedule, time zone and duration is active, within From and Until.
	Active [][2]string `json:"active"`
	// ActiveRefused: why Argo CD has no such window; Active is null then.
	ActiveRefused string `json:"activeRefused,omitempty"`
}

// The form of a part of a zone's name in the API server.
var zonePart = regexp.MustCompile(`^[A-Za-z._0-9+-]{1,14}$`)

func schedule(line []byte) (result any, err error) {
	var question scheduleQuestion
	if err := json.Unmarshal(line, &question); err != nil {
		return nil, err
	}
	// A schedule with only TZ=UTC makes robfig/cron panic.
	defer func() {
		if panicked := recover(); panicked != nil {
			result, err = refusal{oneLine(fmt.Sprintf("panic: %v", panicked))}, nil
		}
	}()
	zone, err := cronJobZone(question.Zone)
	if err != nil {
		return refusal{err.Error()}, nil
	}
	times, err := cronJobSchedule(question.Schedule, question.Zone)
	if err != nil {
		return refusal{err.Error()}, nil
	}
	table := timetable{Fires: []string{}}
	for at := times.Next(question.From); !at.IsZero() && !at.After(question.Until) && len(table.Fires) < question.Limit; at = times.Next(at) {
		table.Fires = append(table.Fires, rfc3339(at))
	}
	window, err := newWindow(question.Schedule, question.Duration, zone)
	if err != nil {
		table.ActiveRefused = err.Error()
	} else {
		table.Active = window.active(question.From, question.Until)
	}
	return table, nil
}

// cronJobZone treats a CronJob's spec.timeZone like the API server.
func cronJobZone(name string) (*time.Location, error) {
	if name == "" {
		return nil, fmt.Errorf("timeZone must be nil or non-empty")
	}
	for _, part := range strings.Split(name, "/") {
		if part == "." || part == ".." || strings.HasPrefix(part, "-") || !zonePart.MatchString(part) {
			return nil, fmt.Errorf("unknown time zone %s", name)
		}
	}
	if strings.EqualFold(name, "Local") {
		return nil, fmt.Errorf("timeZone must be an explicit time zone")
	}
	return time.LoadLocation(name)
}

// cronJobSchedule treats a CronJob's spec.schedule like the API server and the CronJob controller: it must not contain a zone, and the zone of
// spec.timeZone is prepended.
func cronJobSchedule(text, zone string) (cron.Schedule, error) {
	if _, err := cron.ParseStandard(text); err != nil {
		return nil, err
	}
	if strings.Contains(text, "TZ") {
		return nil, fmt.Errorf("cannot use TZ or CRON_TZ in schedule, use the timeZone field")
	}
	return cron.ParseStandard("TZ=" + zone + " " + text)
}

// A window is an Argo CD sync window.
type window struct {
	times    cron.Schedule
	duration time.Duration
	zone     *time.Location
	// The last result of Next. It is the same for every time from `asked` until then.
	asked, next time.Time
}

func newWindow(text, duration string, zone *time.Location) (*window, error) {
	// Unlike ParseStandard, Argo CD's parser does not support @daily.
	times, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, err
	}
	length, err := time.ParseDuration(duration)
	if err != nil {
		return nil, err
	}
	return &window{times: times, duration: length, zone: zone}, nil
}

// isActive is Argo CD's rule. It adds the zone's current offset to the clock and uses the result as UTC, so schedules and durations use the
// wall clock. If a schedule never fires, Next returns year 1, which is before now, so such a window is always active.
func (w *window) isActive(now time.Time) bool {
	_, offset := now.In(w.zone).Zone()
	wall := now.UTC().Add(time.Duration(offset) * time.Second)
	return w.nextAfter(wall.Add(-w.duration)).Before(wall)
}

// nextAfter calls Next as rarely as possible, because it is slow if nothing fires.
func (w *window) nextAfter(at time.Time) time.Time {
	// Next searches five years ahead, from the year of its argument.
	same := !at.Before(w.asked) && (at.Before(w.next) || w.next.IsZero() && at.Year() == w.asked.Year())
	if w.asked.IsZero() || !same {
		w.asked, w.next = at, w.times.Next(at)
	}
	return w.next
}

// active steps through the time from one possible change to the next: whole minutes, and whole minutes plus the duration. Both ends of an
// interval are such times. By the exact rule a window is not active at its start, but a nanosecond later.
func (w *window) active(from, until time.Time) [][2]string {
	intervals := [][2]string{}
	odd := ((w.duration % time.Minute) + time.Minute) % time.Minute
	var since time.Time
	step := func(start, end time.Time) {
		if !start.Before(end) {
			return
		}
		active := w.isActive(start.Add(end.Sub(start) / 2))
		if active && since.IsZero() {
			since = start
		}
		if !active && !since.IsZero() {
			intervals = append(intervals, [2]string{rfc3339(since), rfc3339(start)})
			since = time.Time{}
		}
	}
	for at := from; at.Before(until); {
		minute := at.Truncate(time.Minute)
		next := minute.Add(time.Minute)
		if between := minute.Add(odd); at.Before(between) {
			next = between
		}
		if next.After(until) {
			next = until
		}
		step(at, next)
		at = next
	}
	if !since.IsZero() {
		intervals = append(intervals, [2]string{rfc3339(since), rfc3339(until)})
	}
	return intervals
}

func rfc3339(at time.Time) string {
	return at.UTC().Format(time.RFC3339Nano)
}
