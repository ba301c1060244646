// Command tether ties a program, or a folder, to the process at the other end of its standard input: when that end is closed, even
// because its process was killed with SIGKILL, the program is ended, or the folder is deleted.
//
// It is separate from control-plane because that one needs a hundred megabytes just to start.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

const usage = `usage: tether run PROGRAM [ARGUMENT…]
       tether keep PROGRAM [ARGUMENT…]   which is started again when it is killed
       tether init PROGRAM [ARGUMENT…]   as the first process of a PID namespace
       tether sweep FOLDER
       tether prune FOLDER…              of cgroups, which are folders that only rmdir removes`

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "run":
		err = run(os.Args[2], os.Args[3:]...)
	case "keep":
		err = keep(os.Args[2], os.Args[3:]...)
	case "init":
		err = first(os.Args[2:])
	case "sweep":
		err = sweep(os.Args[2])
	case "prune":
		err = prune(os.Args[2:])
	default:
		err = errors.New(usage)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			os.Exit(128 + int(status.Signal())) // as in a shell
		}
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// awaitEnd returns when the other end of the standard input is closed.
func awaitEnd() {
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// run forwards the signals that ask a program to stop, and its exit code, so that it behaves like the program.
func run(program string, arguments ...string) error {
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// The program has no standard input: tether uses it itself.
	command.Env = append(os.Environ(), "SIGNALBOX_TETHERED=")
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
		released.Store(true)
		_ = command.Process.Kill()
	}()
	return command.Wait()
}

// released is true when the other end of the standard input is closed. Programs that end after that were ended by tether.
var released atomic.Bool

// sweep retries for a while, because other processes that write to the folder see the same end at the same time.
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

// first is the first process of a PID namespace: a process that loses its parent becomes its child, and it must reap it. It ends like
// the program, and the whole namespace ends with it.
func first(command []string) error {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	files := []uintptr{0, 1, 2}
	pid, err := syscall.ForkExec(program, command, &syscall.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case ended == pid && status.Signaled():
			os.Exit(128 + int(status.Signal()))
		case ended == pid:
			os.Exit(status.ExitStatus())
		}
	}
}

// prune removes trees of cgroups when they are empty.
func prune(roots []string) error {
	awaitEnd()
	var left error
	for range 100 {
		left = nil
		for _, root := range roots {
			var folders []string
			_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					folders = append(folders, path)
				}
				return nil
			})
			for i := len(folders) - 1; i >= 0; i-- {
				if err := syscall.Rmdir(folders[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
					left = fmt.Errorf("%s: %w", folders[i], err)
				}
			}
		}
		if left == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return left
}

// keep restarts a program whenever it is killed, for instance by a test.
func keep(program string, arguments ...string) error {
	for {
		err := run(program, arguments...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || released.Load() {
			return err
		}
	}
}
