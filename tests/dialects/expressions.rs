//! Expressions, evaluated by Signalbox and by cel-go with the configuration of the API server.

use std::collections::BTreeMap;

use kube::CustomResourceExt;
use serde_json::{Value, json};
use signalbox::api::{Environment, Release};
use signalbox::decide::expressions;

use crate::random::Random;
use crate::{asked, corpus};

const RANDOM: usize = 2000;
/// The number of expressions that Kubernetes answers and for which Signalbox reports an error. An error never counts as true.
const FEWER_ANSWERS: usize = 40;

/// The result for a text: an answer, a refusal when it is compiled, or an error when it is evaluated.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Answer(bool),
    Refused(String),
    Error(String),
}

fn theirs(verdict: &Value) -> Verdict {
    let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    match &verdict["answer"] {
        Value::Bool(answer) => Verdict::Answer(*answer),
        _ if verdict["refused"].is_string() => Verdict::Refused(text("refused")),
        _ => Verdict::Error(text("error")),
    }
}

fn ours(text: &str, fixture: &Value) -> Verdict {
    match expressions::compile(text) {
        Err(why) => Verdict::Refused(why.to_string()),
        Ok(expression) => match expression.evaluate(&fixture["release"], &fixture["environment"]) {
            Ok(answer) => Verdict::Answer(answer),
            Err(why) => Verdict::Error(why.to_string()),
        },
    }
}

/// The types of the variables of expressions.
fn types() -> Value {
    let spec = |definition: Value| {
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    };
    let text = json!({ "type": "string" });
    let labels = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let object = |metadata: Value, spec: Value| json!({ "type": "object", "properties": { "metadata": { "type": "object", "properties": metadata }, "spec": spec } });
    let release = json!({ "name": text, "namespace": text, "labels": labels });
    let environment = json!({ "name": text, "labels": labels });
    json!({ "types": {
        "release": object(release, spec(json!(Release::crd()))),
        "environment": object(environment, spec(json!(Environment::crd()))),
    } })
}

#[test]
fn an_expression_means_what_the_api_server_makes_of_it_or_is_refused() {
    let mut random = Random::from_environment();
    let mut texts: Vec<String> = corpus("expressions.json")
        .iter()
        .flat_map(|topic| topic["texts"].as_array().unwrap().clone())
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    let written = texts.len();
    assert!(written >= 1000);
    texts.extend((0..RANDOM).map(|_| random.expression()));
    let fixtures = corpus("fixtures.json");

    let mut questions = vec![types()];
    for fixture in &fixtures {
        let ask = |text| json!({ "text": text, "release": fixture["release"], "environment": fixture["environment"] });
        questions.extend(texts.iter().map(ask));
    }
    let answers = asked("cel", &questions, texts.len() * fixtures.len());

    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut refusals: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let (mut silent, mut fewer) = (vec![], vec![]);
    let asked_of = fixtures
        .iter()
        .flat_map(|fixture| texts.iter().map(move |text| (fixture, text)));
    for ((fixture, text), answer) in asked_of.zip(&answers) {
        let (dynamic, typed) = (theirs(&answer["dyn"]), theirs(&answer["typed"]));
        // A panic of the library proves nothing.
        if matches!(&typed, Verdict::Error(why) if why.starts_with("panic")) {
            *counted.entry("no answer there").or_default() += 1;
            continue;
        }
        let refused_there = matches!(typed, Verdict::Refused(_));
        // Without types it refuses more.
        let other = matches!((&dynamic, &typed), (Verdict::Answer(a), Verdict::Answer(b)) if a != b);
        let told = || format!("{}: {text}\n    there {dynamic:?}, {typed:?}", fixture["name"]);
        let mine = ours(text, fixture);
        let kind = match &mine {
            Verdict::Refused(_) if refused_there => "refused by both",
            Verdict::Refused(why) => {
                let texts = refusals.entry(kind_of(why)).or_default();
                if !texts.contains(&text.as_str()) {
                    texts.push(text);
                }
                "refused here only"
            }
            mine if refused_there => {
                silent.push(format!("{}\n    here {mine:?}", told()));
                "taken here only"
            }
            mine if *mine == typed && !other => "the same answer",
            Verdict::Error(_) if matches!(typed, Verdict::Error(_)) => "an error in both",
            Verdict::Error(why) => {
                fewer.push(format!("{}\n    here {why}", told()));
                "an error here only"
            }
            Verdict::Answer(mine) => {
                silent.push(format!("{}\n    here {mine}", told()));
                "ANOTHER ANSWER"
            }
        };
        *counted.entry(kind).or_default() += 1;
    }
    println!(
        "{written} expressions and {RANDOM} random ones ({random}), each of {} Releases: {counted:#?}",
        fixtures.len()
    );
    println!("Refused here only:");
    for (kind, texts) in &refusals {
        println!("{:>5}  {kind}, such as {}", texts.len(), texts[0]);
    }
    println!("Errors here only:\n{}", fewer.join("\n"));
    assert!(
        silent.is_empty(),
        "{} differ:\n{}",
        silent.len(),
        silent.join("\n")
    );
    assert!(counted["the same answer"] > written / 2, "{counted:#?}");
    assert!(fewer.len() <= FEWER_ANSWERS, "{} errors here only", fewer.len());
}

/// A refusal without its subject.
fn kind_of(why: &str) -> String {
    let known = [
        "does not parse",
        "calls",
        "uses",
        "has a",
        "passes",
        "can never be evaluated",
        "refers to",
    ];
    match known.iter().find(|kind| why.contains(**kind)) {
        Some(&"calls") => why.replace("the expression ", ""),
        Some(&"can never be evaluated") => why.rsplit(": ").next().unwrap_or(why).to_owned(),
        Some(kind) => (*kind).to_owned(),
        None => why.to_owned(),
    }
}
