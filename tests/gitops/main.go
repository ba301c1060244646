// Command gitops reports how generic tools treat Signalbox objects: kstatus, which Flux, helm and others use, the healthCheckExprs of
// a Flux Kustomization, and a health check of Argo CD, which is a Lua script.
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

// A Verdict is the result for one object.
type Verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// A Judge returns a verdict on an object.
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

// expressions uses a custom health check, with the library of kustomize-controller: in progress while status.observedGeneration is
// another generation, whatever the expressions are; otherwise the first of inProgress, failed and current that is true; otherwise in
// progress. The check does not apply to an object of another kind.
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
// in the global obj, and a table with status and message as the answer. Argo CD treats any other status as an error.
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
			return Verdict{}, fmt.Errorf("the script returned %s, not a table", state.Get(-1).Type())
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

// value converts JSON to Lua; lists begin with 1, and there is one type of numbers.
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
