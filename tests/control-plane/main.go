// Command control-plane is etcd, the parts of a Kubernetes control plane, a kubelet and kubectl in one program, so that the
// tests have a real cluster on a machine with only Go, Rust and git.
//
// The first argument selects the part. No process outlives its parent: with SIGNALBOX_TETHERED set, the process ends when its
// standard input is closed, which the operating system does even if the parent is killed with SIGKILL. The small program in
// tether/ does the same for other programs.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = `usage: control-plane PART [ARGUMENT…]
parts: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kubectl: what they are elsewhere
       keypair FILE: writes a new RSA key, which signs the tokens of service accounts`

func main() {
	// Users, scripts and plugins of kubectl expect a file with the name kubectl on the path.
	part := filepath.Base(os.Args[0])
	if part != "kubectl" {
		part = argument()
		os.Args = os.Args[1:] // each part reads its own arguments from here
	}

	if os.Getenv("SIGNALBOX_TETHERED") != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
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
	case "kubelet":
		run(kubelet.NewKubeletCommand(context.Background()))
	case "kubectl":
		run(kubectl.NewDefaultKubectlCommand())
	case "keypair":
		if err := keypair(argument()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "there is no part %q\n%s\n", part, usage)
		os.Exit(2)
	}
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

// argument returns the first argument after the name, which is required.
func argument() string {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	return os.Args[1]
}

func keypair(file string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}
