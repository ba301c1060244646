// Command dialects reports the reference results for texts: for expressions those of cel-go with the configuration of the API server; for
// schedules those of robfig/cron as in CronJobs, and of the rule of Argo CD's sync windows.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	// CEL and cron need time zones if the machine has none.
	_ "time/tzdata"
)

const usage = `usage: dialects [--zoneinfo FOLDER] cel    reads {"types": {...}}, then {"text": ..., "release": ..., "environment": ...} lines
       dialects [--zoneinfo FOLDER] cron   reads {"schedule": ..., "zone": ..., "duration": ..., "from": ..., "until": ..., "limit": ...} lines
See README.md for the answers.`

// The maximum size of one line: the largest possible Release and Environment.
const maxLine = 16 << 20

// A dialect answers one line.
type dialect func(line []byte) (any, error)

func main() {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	zoneinfo := flag.String("zoneinfo", "", "")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *zoneinfo, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dialects:", err)
		os.Exit(1)
	}
}

func run(name, zoneinfo string, input io.Reader, output io.Writer) error {
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, maxLine)
	writer := bufio.NewWriter(output)
	answers := json.NewEncoder(writer)
	answers.SetEscapeHTML(false)

	database, err := useZones(zoneinfo)
	if err != nil {
		return err
	}
	if err := answers.Encode(versions(database)); err != nil {
		return err
	}
	var answer dialect
	switch name {
	case "cel":
		if !lines.Scan() {
			return errors.Join(errors.New("the first line must have the types of release and environment"), lines.Err())
		}
		answer, err = newExpressions(lines.Bytes())
	case "cron":
		answer = schedule
	default:
		err = fmt.Errorf("%q is neither cel nor cron", name)
	}
	if err != nil {
		return err
	}
	for number := 1; lines.Scan(); number++ {
		result, err := answer(lines.Bytes())
		if err != nil {
			return fmt.Errorf("question %d: %w", number, err)
		}
		if err := answers.Encode(result); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), writer.Flush())
}

// useZones makes Go, and so cel-go and robfig/cron, search zones in folder first, and returns the version of that database. Go reads the
// variable when it loads its first zone.
func useZones(folder string) (string, error) {
	if folder == "" {
		return "the machine's, else of " + runtime.Version(), nil
	}
	if _, err := os.Stat(filepath.Join(folder, "Europe", "London")); err != nil {
		return "", fmt.Errorf("--zoneinfo needs a folder of compiled zones: %w", err)
	}
	if err := os.Setenv("ZONEINFO", folder); err != nil {
		return "", err
	}
	// BSDs and macOS have the first, Linux distributions the second, which begins with "# version 2025c".
	for _, name := range []string{"+VERSION", "tzdata.zi"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			line, _, _ := strings.Cut(string(text), "\n")
			return strings.TrimSpace(strings.TrimPrefix(line, "# version ")), nil
		}
	}
	return "unknown", nil
}

// versions is the header: the versions of the libraries.
func versions(database string) map[string]string {
	found := map[string]string{"tzdata": database, "go": runtime.Version(), "environment": environmentVersion().String()}
	names := map[string]string{
		"k8s.io/apiserver":          "apiserver",
		"github.com/google/cel-go":  "cel",
		"github.com/robfig/cron/v3": "cron",
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if name, wanted := names[module.Path]; wanted {
				found[name] = module.Version
			}
		}
	}
	return found
}

// oneLine is the first line of a message.
func oneLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return strings.TrimSpace(line)
}
