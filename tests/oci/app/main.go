// Command app is the workload of tests: a server with behaviour set by environment variables. An image with other variables behaves
// differently, so each behaviour has a digest.
//
//	EXIT=1               ends immediately with that code
//	CRASH_AFTER=12s      ends with code 1 after that time
//	STALL_AFTER=12s      its health check fails from then on
//	UNREADY=true         its health check never succeeds
//	LINGER=15s           continues for that time after it was asked to stop
//	EAT_AFTER=5s         allocates memory from then on, without limit
//	WORK=2s              ends with code 0 after that time, as a Job does
//	PORT=8081            listens on this port instead of 8080
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if code := os.Getenv("EXIT"); code != "" {
		number, err := strconv.Atoi(code)
		if err != nil {
			fmt.Fprintln(os.Stderr, "EXIT:", err)
			number = 2
		}
		os.Exit(number)
	}
	var stalled atomic.Bool
	stalled.Store(os.Getenv("UNREADY") != "")
	after("CRASH_AFTER", func() { os.Exit(1) })
	after("STALL_AFTER", func() { stalled.Store(true) })
	after("WORK", func() { os.Exit(0) })
	after("EAT_AFTER", eat)

	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	go func() {
		<-asked
		time.Sleep(duration("LINGER"))
		os.Exit(0)
	}()

	http.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		if stalled.Load() {
			answer.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	fmt.Println("listening")
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, nil))
	os.Exit(1)
}

func after(variable string, act func()) {
	if wait := duration(variable); wait > 0 {
		time.AfterFunc(wait, act)
	}
}

func duration(variable string) time.Duration {
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	wait, err := time.ParseDuration(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, variable+":", err)
		os.Exit(2)
	}
	return wait
}

// eat keeps every page that it touches.
func eat() {
	var eaten [][]byte
	for {
		bite := make([]byte, 1<<20)
		for i := 0; i < len(bite); i += 4096 {
			bite[i] = 1
		}
		eaten = append(eaten, bite)
		time.Sleep(10 * time.Millisecond)
		_ = eaten
	}
}
