// Command gitops says what tools that have never heard of Signalbox make of its objects: kstatus, by which Flux, helm and
// others judge, the healthCheckExprs of a Kustomization of Flux, and a health check of Argo CD, which is a script in Lua.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const usage = `usage: gitops kstatus      reads objects as JSON, one a line, and writes what kstatus says of each
       gitops flux CHECK   the same with one of a Kustomization's healthCheckExprs, a file of JSON
       gitops lua SCRIPT   the same with a health check for Argo CD`

// A Verdict on one object.
type Verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// A Judge says what it makes of an object.
type Judge func(object *unstructured.Unstructured) (Verdict, error)

func main() {
	judge, err := judge(os.Args[1:])
	if err == nil {
		err = each(os.Stdin, os.Stdout, judge)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func judge(arguments []string) (Judge, error) {
	switch {
	case len(arguments) == 1 && arguments[0] == "kstatus":
		return kstatus, nil
	case len(arguments) == 2 && arguments[0] == "flux":
		text, err := os.ReadFile(arguments[1])
		if err != nil {
			return nil, err
		}
		return expressions(text)
	case len(arguments) == 2 && arguments[0] == "lua":
		script, err := os.ReadFile(arguments[1])
		return health(string(script)), err
	}
	return nil, errors.New(usage)
}

func each(in io.Reader, out io.Writer, judge Judge) error {
	lines := bufio.NewReader(in)
	answers := json.NewEncoder(out)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		verdict, err := judge(object)
		if err != nil {
			return fmt.Errorf("line %d, %s %s: %w", number, object.GetKind(), object.GetName(), err)
		}
		if err := answers.Encode(verdict); err != nil {
			return err
		}
	}
}

func kstatus(object *unstructured.Unstructured) (Verdict, error) {
	result, err := status.Compute(object)
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{Status: string(result.Status), Message: result.Message}, nil
}

// expressions judges by a custom health check, with the library by which kustomize-controller does: in progress while
// status.observedGeneration is another generation, whatever the expressions are, else by the first that holds of inProgress,
// failed and current, else in progress. An object of another kind is not the check's to judge.
func expressions(text []byte) (Judge, error) {
	check := kustomize.CustomHealthCheck{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&check); err != nil {
		return nil, fmt.Errorf("the check: %w", err)
	}
	evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
	if err != nil {
		return nil, err
	}
	return func(object *unstructured.Unstructured) (Verdict, error) {
		if object.GetAPIVersion() != check.APIVersion || object.GetKind() != check.Kind {
			return Verdict{}, fmt.Errorf("the check is for %s of %s", check.Kind, check.APIVersion)
		}
		result, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return Verdict{}, err
		}
		return Verdict{Status: string(result.Status), Message: result.Message}, nil
	}, nil
}

// health runs script as Argo CD runs a custom health check: base, table and string functions only, a second at most, the object
// in the global obj, and a table with status and message as the answer. Argo CD takes any other status for a fault.
func health(script string) Judge {
	statuses := map[string]bool{
		"Healthy": true, "Progressing": true, "Degraded": true, "Suspended": true, "Missing": true, "Unknown": true,
	}
	return func(object *unstructured.Unstructured) (Verdict, error) {
		state := lua.NewState(lua.Options{SkipOpenLibs: true})
		defer state.Close()
		libraries := map[string]lua.LGFunction{
			lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
		}
		for _, name := range []string{lua.LoadLibName, lua.BaseLibName, lua.TabLibName} {
			call := lua.P{Fn: state.NewFunction(libraries[name]), NRet: 0, Protect: true}
			if err := state.CallByParam(call, lua.LString(name)); err != nil {
				return Verdict{}, err
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		state.SetContext(ctx)
		state.SetGlobal("obj", value(state, object.Object))
		if err := state.DoString(script); err != nil {
			return Verdict{}, err
		}
		answer, isTable := state.Get(-1).(*lua.LTable)
		if !isTable {
			return Verdict{}, fmt.Errorf("the script returned %s, no table", state.Get(-1).Type())
		}
		said := answer.RawGetString("status").String()
		if !statuses[said] {
			return Verdict{}, fmt.Errorf("the script returned status %q, which Argo CD does not know", said)
		}
		message := ""
		if text, isText := answer.RawGetString("message").(lua.LString); isText {
			message = string(text)
		}
		return Verdict{Status: said, Message: message}, nil
	}
}

// value is what of JSON as Lua has it; lists begin with 1 and numbers are all of one kind.
func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case bool:
		return lua.LBool(of)
	case string:
		return lua.LString(of)
	case int64:
		return lua.LNumber(of)
	case float64:
		return lua.LNumber(of)
	case []any:
		list := state.NewTable()
		for _, item := range of {
			list.Append(value(state, item))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}
