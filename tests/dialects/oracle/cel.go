package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// variables of every expression.
var variables = []string{"release", "environment"}

// An expressionQuestion is one line of input. The objects are decoded later, as in the API server.
type expressionQuestion struct {
	Text        string          `json:"text"`
	Release     json.RawMessage `json:"release"`
	Environment json.RawMessage `json:"environment"`
}

// A verdict has exactly one of the three.
type verdict struct {
	Answer  *bool  `json:"answer,omitempty"`
	Refused string `json:"refused,omitempty"`
	Error   string `json:"error,omitempty"`
}

// verdicts of the same text.
type verdicts struct {
	// Dyn: the variables have no types, like `object` in a ValidatingAdmissionPolicy.
	Dyn verdict `json:"dyn"`
	// Typed: the variables have the types of a schema, like `self` in the rules of a CustomResourceDefinition.
	Typed verdict `json:"typed"`
}

// compiled once, evaluated for many objects.
type compiled struct {
	dyn, typed func(objects map[string]any) verdict
}

// environmentVersion is the Kubernetes minor of the expressions: that of the library. The API server accepts new expressions of the minor
// before, so that it can be rolled back, and stored expressions of its own minor. 1.37 differs from 1.36 by `includes`.
func environmentVersion() *version.Version {
	return compatibility.DefaultBuildEffectiveVersion().BinaryVersion()
}

// newExpressions takes the line with the schemas of the variables.
func newExpressions(line []byte) (dialect, error) {
	var first struct {
		Types map[string]json.RawMessage `json:"types"`
	}
	if err := json.Unmarshal(line, &first); err != nil {
		return nil, fmt.Errorf("the types: %w", err)
	}
	untyped, typed := map[string]*apiservercel.DeclType{}, map[string]*apiservercel.DeclType{}
	for _, name := range variables {
		declared, err := typeOf(name, first.Types[name])
		if err != nil {
			return nil, fmt.Errorf("the type of %s: %w", name, err)
		}
		untyped[name], typed[name] = nil, declared
	}
	dynEnvironment, err := environmentWith(untyped)
	if err != nil {
		return nil, err
	}
	typedEnvironment, err := environmentWith(typed)
	if err != nil {
		return nil, err
	}

	known := map[string]compiled{}
	return func(line []byte) (any, error) {
		var question expressionQuestion
		if err := json.Unmarshal(line, &question); err != nil {
			return nil, err
		}
		objects := map[string]any{}
		for name, text := range map[string]json.RawMessage{"release": question.Release, "environment": question.Environment} {
			// As in the API server: numbers without a decimal point become integers, others doubles.
			var object map[string]any
			if err := utiljson.Unmarshal(text, &object); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			objects[name] = object
		}
		programs, found := known[question.Text]
		if !found {
			programs = compiled{dyn: compile(dynEnvironment, question.Text), typed: compile(typedEnvironment, question.Text)}
			known[question.Text] = programs
		}
		return verdicts{Dyn: programs.dyn(objects), Typed: programs.typed(objects)}, nil
	}, nil
}

// environmentWith declares the variables with their types, or as dyn where a type is nil.
func environmentWith(types map[string]*apiservercel.DeclType) (*cel.Env, error) {
	// For all minors, as the API server declares its own variables.
	options := environment.VersionedOptions{IntroducedVersion: version.MajorMinor(1, 0)}
	for _, name := range variables {
		if declared := types[name]; declared != nil {
			options.EnvOptions = append(options.EnvOptions, cel.Variable(name, declared.CelType()))
			options.DeclTypes = append(options.DeclTypes, declared)
		} else {
			options.EnvOptions = append(options.EnvOptions, cel.Variable(name, cel.DynType))
		}
	}
	set, err := environment.MustBaseEnvSet(environmentVersion()).Extend(options, environment.StrictCostOpt)
	if err != nil {
		return nil, err
	}
	return set.NewExpressionsEnv(), nil
}

// typeOf is the CEL type of a schema.
func typeOf(name string, text json.RawMessage) (*apiservercel.DeclType, error) {
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, err
	}
	asExpressionsSeeIt(schema)
	adapted, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var parsed spec.Schema
	if err := json.Unmarshal(adapted, &parsed); err != nil {
		return nil, err
	}
	declared := common.SchemaDeclType(&openapi.Schema{Schema: &parsed}, false)
	if declared == nil || !declared.IsObject() {
		return nil, fmt.Errorf("the schema must be that of an object with properties")
	}
	// With the name of the variable, the name would refer to the type.
	return declared.MaybeAssignTypeName("typeof." + name), nil
}

// asExpressionsSeeIt makes two changes to a schema, at all levels. Objects with unknown fields, which rules in CRDs cannot read at all, become
// dyn, like int-or-string in the library. Strings with a format stay strings: the variables are plain JSON.
func asExpressionsSeeIt(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		_, named := schema["properties"]
		if unknown, _ := schema["x-kubernetes-preserve-unknown-fields"].(bool); unknown && !named {
			schema["x-kubernetes-int-or-string"] = true
		}
		if schema["type"] == "string" {
			delete(schema, "format")
		}
		for _, part := range schema {
			asExpressionsSeeIt(part)
		}
	case []any:
		for _, part := range schema {
			asExpressionsSeeIt(part)
		}
	}
}

// compile refuses an expression for the same reasons as the API server refuses a ValidatingAdmissionPolicy.
func compile(env *cel.Env, text string) (evaluate func(objects map[string]any) verdict) {
	always := func(answer verdict) func(map[string]any) verdict {
		return func(map[string]any) verdict { return answer }
	}
	refused := func(why string) func(map[string]any) verdict { return always(verdict{Refused: oneLine(why)}) }
	// It does panic: [?release.x[?0]] in the check of list literals, {b'a': 1} when constants are folded.
	defer func() {
		if panicked := recover(); panicked != nil {
			evaluate = always(ofPanic(panicked))
		}
	}()
	tree, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return refused(fmt.Sprintf("%d:%d: %s", first.Location.Line(), first.Location.Column()+1, first.Message))
	}
	if !tree.OutputType().IsExactType(cel.BoolType) {
		return refused("must evaluate to bool but got " + tree.OutputType().String())
	}
	program, err := env.Program(tree, cel.InterruptCheckFrequency(celconfig.CheckFrequency))
	if err != nil {
		return refused(err.Error())
	}
	return func(objects map[string]any) verdict { return evaluated(program, objects) }
}

func evaluated(program cel.Program, objects map[string]any) (answer verdict) {
	defer func() {
		if panicked := recover(); panicked != nil {
			answer = ofPanic(panicked)
		}
	}()
	value, _, err := program.Eval(objects)
	// cel-go recovers from panics in its own functions and reports them.
	if err != nil && strings.HasPrefix(err.Error(), "internal error: ") {
		return ofPanic(err)
	}
	if err != nil {
		return verdict{Error: oneLine(err.Error())}
	}
	boolean, ok := value.Value().(bool)
	if !ok {
		return verdict{Error: "evaluated to " + value.Type().TypeName()}
	}
	return verdict{Answer: &boolean}
}

func ofPanic(panicked any) verdict {
	return verdict{Error: oneLine(fmt.Sprintf("panic: %v", panicked))}
}
