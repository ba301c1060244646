// Command control-plane is etcd, the parts of a Kubernetes control plane and kubectl in one program, so that the tests
// can have a real cluster on a machine with nothing but Go, Rust and git.
//
// The first argument says which part to be. Nothing outlives whoever started it: with SIGNALBOX_TETHERED set, the
// process ends when its standard input reaches its end, which the operating system sees to even where the parent is
// killed hard. `tether` lends the same habit to a program of somebody else's, `sweep` to a folder.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

const usage = `usage: control-plane PART [ARGUMENT…]
parts: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl: what they are elsewhere
       keypair FILE: writes a new RSA key, which signs the tokens of service accounts
       tether PROGRAM [ARGUMENT…]: runs a program that ends with our standard input
       sweep FOLDER: removes a folder once our standard input ends`

func main() {
	// A link called kubectl is what people, scripts and kubectl's own plugins expect to find on the path.
	part := filepath.Base(os.Args[0])
	if part != "kubectl" {
		part = argument()
		os.Args = os.Args[1:] // each part reads its own arguments from here
	}

	if os.Getenv("SIGNALBOX_TETHERED") != "" && part != "tether" && part != "sweep" {
		go func() {
			awaitEnd()
			os.Exit(0)
		}()
	}

	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		run(controllers.NewControllerManagerCommand())
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand())
	case "kubectl":
		run(kubectl.NewDefaultKubectlCommand())
	case "keypair":
		finish(keypair(argument()))
	case "tether":
		argument()
		finish(tether(os.Args[1], os.Args[2:]...))
	case "sweep":
		finish(sweep(argument()))
	default:
		fmt.Fprintf(os.Stderr, "there is no part %q\n%s\n", part, usage)
		os.Exit(2)
	}
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// argument is the first one after the name, without which nothing can be done.
func argument() string {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	return os.Args[1]
}

func finish(err error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit) && exit.Exited():
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// awaitEnd returns once nobody holds the other end of our standard input any more.
func awaitEnd() {
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func keypair(file string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

// tether passes on the signals that ask a program to stop, and its exit code, so that it is as good as the program.
func tether(program string, arguments ...string) error {
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
