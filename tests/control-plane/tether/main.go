// Command tether ties a program, or a folder, to whoever holds the other end of its standard input: when that end is
// gone, and be it because its holder was killed hard, so is the program, or the folder.
//
// It is apart from control-plane because that one takes a hundred megabytes merely to begin.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: tether run PROGRAM [ARGUMENT…]
       tether sweep FOLDER`

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "run":
		err = run(os.Args[2], os.Args[3:]...)
	case "sweep":
		err = sweep(os.Args[2])
	default:
		err = errors.New(usage)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			os.Exit(128 + int(status.Signal())) // as a shell tells it
		}
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// awaitEnd returns once nobody holds the other end of our standard input any more.
func awaitEnd() {
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// run passes on the signals that ask a program to stop, and its exit code, so that it is as good as the program.
func run(program string, arguments ...string) error {
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := command.Start(); err != nil {
		return err
	}
	go func() {
		for each := range asked {
			_ = command.Process.Signal(each)
		}
	}()
	go func() {
		awaitEnd()
		_ = command.Process.Kill()
	}()
	return command.Wait()
}

// sweep tries again for a while, because those who write into the folder see the same end at the same time.
func sweep(folder string) error {
	awaitEnd()
	var err error
	for range 50 {
		if err = os.RemoveAll(folder); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
