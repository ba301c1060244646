//! What expressions mean, what is refused, and what an evaluation may cost.

use serde_json::json;

use crate::api::{Environment, Release};
use crate::decide::expressions::{compile, environment_value, release_value};
use crate::domain::cel::check::MAX_DEPTH;
use crate::domain::cel::*;

const SECOND: Duration = Duration::from_secs(1);

fn release() -> Release {
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
        "metadata": { "name": "shop-2-1-0", "namespace": "shop", "labels": { "team": "shop" } },
        "spec": {
            "product": "shop", "version": "2.1.0", "requestedBy": "ann", "change": { "reference": "CHG-1" },
            "environments": ["test", "live"],
            "components": [{
                "name": "web", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                "patch": { "spec": { "replicas": 3 } }
            }]
        }
    }))
    .unwrap()
}

fn environment() -> Environment {
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment",
        "metadata": { "name": "live" },
        "spec": { "stage": "Production", "namespace": "{namespace}", "releaseNamespaces": {} }
    }))
    .unwrap()
}

/// A release of as many components as there may be.
fn large() -> Arc<Value> {
    let mut release = release();
    let component = release.spec.components[0].clone();
    release.spec.components = (0..64)
        .map(|i| {
            let mut component = component.clone();
            component.name = format!("component-{i}");
            component
        })
        .collect();
    Arc::new(release_value(&release))
}

fn result(text: &str) -> Result<bool, Unanswered> {
    compile(text)
        .unwrap()
        .evaluate(&release_value(&release()), &environment_value(&environment()))
}

fn holds(text: &str) {
    assert_eq!(result(text), Ok(true), "{text}");
}

fn fails(text: &str, reason: &str) {
    let error = result(text).expect_err(text).to_string();
    assert!(error.contains(reason), "{text}: {error}");
}

fn rejects(text: &str, reason: &str) {
    let error = compile(text).expect_err(text).to_string();
    assert!(error.contains(reason), "{text:.60}: {error}");
}

#[test]
fn owners_can_ask_what_they_need_to_know() {
    holds("release.spec.components.size() <= 5");
    holds("size(release.spec.components) + 1 == 2");
    holds("release.spec.components[0].patch.spec.replicas + 1 == 4");
    holds("release.spec.version.startsWith('2.') && release.spec.version.matches('^2[.]')");
    holds("release.spec.change.reference.lowerAscii().split('-')[0] == 'chg'");
    holds("!has(release.spec.source) && has(release.spec.change.reference)");
    holds("environment.spec.stage == 'Production' && environment.metadata.name in release.spec.environments");
    holds("release.metadata.namespace == 'shop' && environment.spec.namespace == '{namespace}'");
    holds("release.metadata.labels['team'] == 'shop' && !('team' in environment.metadata.labels)");
    holds("release.spec.components.all(c, c.images.all(i, i.image.contains('@sha256:')))");
    holds("release.spec.components.filter(c, has(c.patch)).all(c, c.target.kind == 'Deployment')");
    holds("sets.contains(release.spec.environments, ['test'])");
    holds("duration(release.spec.review.dueWithin) == duration('120h')");
}

#[test]
fn lists_that_nobody_wrote_are_empty_and_absent_objects_stay_absent() {
    assert_eq!(
        release_value(&release()),
        json!({
            "metadata": { "name": "shop-2-1-0", "namespace": "shop", "labels": { "team": "shop" } },
            "spec": {
                "product": "shop", "version": "2.1.0", "line": "main", "requestedBy": "ann",
                "change": { "model": "Normal", "reference": "CHG-1" },
                "environments": ["test", "live"],
                "components": [{
                    "name": "web", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                    "patch": { "spec": { "replicas": 3 } },
                    "remove": [], "replace": [], "images": [], "overrides": [], "after": [], "restartOn": [],
                    "readyWithin": json!(release().spec.components[0].ready_within)
                }],
                "schedule": [],
                "review": { "required": "WhenNeeded", "dueWithin": json!(release().spec.review.due_within) }
            }
        })
    );
    let environment = environment_value(&environment());
    assert_eq!(environment["metadata"], json!({ "name": "live", "labels": {} }));
    for list in ["controls", "gates", "verification", "windows"] {
        assert_eq!(environment["spec"][list], json!([]), "{list}");
    }
    assert_eq!(
        environment["spec"]["allowedKinds"].as_array().map(Vec::len),
        Some(5)
    );
    assert_eq!(environment["spec"].get("promotesFrom"), None);
}

#[test]
fn what_is_not_a_boolean_is_not_an_answer() {
    rejects("release.spec.version", "is not a boolean but string");
    rejects("release.spec.components.size()", "is not a boolean but int");
    rejects("null", "is not a boolean but null");
    rejects(
        "release.spec.components[0].patch.spec.replicas",
        "write == true after it",
    );
}

#[test]
fn errors_are_never_a_yes() {
    fails(
        "release.spec.source.revision == 'a'",
        "there is no key \"source\"",
    );
    fails(
        "release.spec.components[0].patch.nosuch != 'a'",
        "there is no key \"nosuch\"",
    );
    fails(
        "!release.spec.components[0].patch.spec.replicas",
        "of another type",
    );
    fails(
        "release.spec.components[7].name != 'a'",
        "there is no such index in a list of 1",
    );
    fails(
        "!release.spec.components[0].patch.spec.replicas.contains('x')",
        "of another type",
    );
    fails(
        "release.spec.version.matches(release.spec.version + '(')",
        "cannot be read",
    );
    fails(
        "size(release.spec.version) + 9223372036854775807 > 0",
        "out of range",
    );
    fails("1 / (size(release.spec.version) - 5) == 1", "divided by zero");
}

/// One list, one message each.
#[test]
fn what_cannot_be_so_of_any_release_is_rejected() {
    rejects(
        "release.spec.verison == '2'",
        "uses release.spec.verison, which does not exist: the fields are backoutPlan, change, components, ",
    );
    rejects(
        "release.spec.components.name != 'a'",
        "uses field name of a list<release.spec.components[]>",
    );
    rejects(
        "!has(release.spec.version.major)",
        "uses field major of a string, which has no fields",
    );
    rejects(
        "release.spec.version.startWith('2')",
        "calls startWith, which does not exist",
    );
    rejects("nosuch(release)", "calls nosuch, which does not exist");
    rejects(
        "release.spec.components.any(c, c.name == 'web')",
        "calls any, which is not supported: use exists(x, …)",
    );
    rejects(
        "release.spec.components.some(c, c.name == 'web')",
        "calls some, which does not exist",
    );
    rejects(
        "release.spec.version.length() > 3",
        "calls length, which is not supported: use size()",
    );
    rejects(
        "now() > timestamp(0)",
        "calls now, which is not supported: use windows",
    );
    rejects("false ? 'a'.nosuch() : true", "calls nosuch");
    rejects(
        "release.spec.version == 2",
        "uses == on (string, int), which do not go together",
    );
    rejects("1 == 1.0", "uses == on (int, double)");
    rejects("[1, 'a'].size() == 2", "has int and string in a list");
    rejects(
        "release.spec.version && true",
        "has a string where && needs a boolean",
    );
    rejects(
        "release.spec.version.contains(9)",
        "passes (string, int) to contains",
    );
    rejects(
        "contains(release.spec.version, '9')",
        "in the wrong form: write it as string.contains(string): bool",
    );
    rejects(
        "1 / 0 == 1",
        "can never be evaluated: a number is out of range, or is divided by zero",
    );
    rejects(
        "release.spec.version.matches('(')",
        "can never be evaluated: the pattern \"(\" cannot be read",
    );
    rejects("release.spec.version.matches('(?=x)')", "cannot be read");
    rejects("duration('2d') < duration('1h')", "\"2d\" is not a duration");
    rejects(
        "timestamp('2026-12-01 18:00:00z') == timestamp(0)",
        "is not a timestamp",
    );
    rejects(
        "timestamp(release.spec.schedule[0].start).getHours('Mars/X') < 3",
        "is not a time zone",
    );
    rejects(
        "url(release.spec.source.notesURL).getHost() == 'x'",
        "is not supported: use matches",
    );
    rejects(
        "lists.range(1000000000000).size() == 1",
        "use a list of release or environment",
    );
    rejects(
        "[3, 1].sortBy(x, x) == [1, 3]",
        "calls sortBy, which is not supported",
    );
    rejects(
        "math.greatest(1, 2) == 2",
        "calls math.greatest, which does not exist",
    );
    rejects("!!has(release.spec.source)", "two ! in a row");
    rejects("[1].existsOne(x, x == 1)", "write exists_one");
}

#[test]
fn what_kubernetes_has_besides() {
    holds("release.spec.?source.?revision.orValue('none') == 'none'");
    holds("release.spec.components[?7].optMap(c, c.name).orValue('none') == 'none'");
    // A value that is present needs no substitute, and the errors of the substitute do not count.
    holds(
        "optional.of(release.spec.version).orValue(release.spec.components[7].name) == release.spec.version",
    );
    holds("optional.of(1).or(optional.of(size(release.spec.components[7].name))).value() == 1");
    fails(
        "release.spec.components[?7].optMap(c, c.name).orValue(release.spec.components[7].name) == ''",
        "there is no such index",
    );
    holds("release.metadata.labels[?'team'].hasValue()");
    holds("[?release.spec.?line].size() == 1 && [?release.spec.?source.?revision].size() == 0");
    holds("type(release.spec.version) == string && type(1) != type('1')");
    holds("dyn(release.spec.components[0].patch.spec.replicas) == 3.0");
    holds("release.spec.components[0].patch.spec.replicas in [3.0]");
    holds("release.spec.components.all(i, c, i == 0 && c.name == 'web')");
    holds("release.metadata.labels.transformMap(k, v, k + v) == {'team': 'teamshop'}");
    holds("release.spec.environments.transformList(i, e, i > 0, e) == ['live']");
    holds("[0, 1].exists(x, 1 / x > 0) && ![0, 0].all(x, x != 0 || x == 1)");
    holds("timestamp('2026-12-01T18:30:00Z').getHours('Asia/Tokyo') == 3");
    holds("size('é') == 1 && !'٣'.matches('^[0-9]$')");
    holds("quantity('1Gi').isGreaterThan(quantity('500M')) && !quantity('2000m').isInteger()");
    holds("semver('2.1.0+b1').compareTo(semver('2.1.0')) == 0");
    holds(
        "release.spec.components.map(c, c.images.map(i, i.image)).flatten().all(i, i.contains('@sha256:'))",
    );
    holds("!has(release.spec.components[0].patch.spec.replicas.x)");
}

#[test]
fn what_does_not_parse_is_rejected_with_the_position() {
    rejects("release.spec.version ==", "does not parse: line 1, column 24");
    rejects("true &&\n  )", "does not parse: line 2, column 3");
    rejects("", "does not parse");
    rejects("release.spec.components.all(1, true)", "does not parse");
    rejects("has(release)", "does not parse");
    rejects("Release{a: 1} == null", "builds a message");
}

#[test]
fn only_release_and_environment_are_known() {
    rejects("object.spec.replicas == 1", "refers to object:");
    rejects("release.spec.components.all(c, d.name == '')", "refers to d:");
    rejects("release.spec.components.all(c, true) && c == 1", "refers to c:");
    rejects("{'a': now}['a'] == 1", "refers to now:");
    rejects("[x].size() == 1", "refers to x:");
    holds("release.spec.components.all(release, release.name == 'web')");
}

#[test]
fn the_text_is_bounded_in_characters() {
    let longest = format!("'{}' != ''", "ä".repeat(MAX_CHARACTERS - 8));
    holds(&longest);
    rejects(&format!("{longest} "), "has 1025 characters");
}

#[test]
fn loops_nest_and_are_counted() {
    holds("release.spec.components.all(a, release.spec.components.exists(b, a.name == b.name))");
    holds("[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))");
}

#[test]
fn what_costs_too_much_is_stopped_and_says_so() {
    let list: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let data = json!({ "data": { "list": list, "text": "a".repeat(50_000) } });
    let mut release = release();
    release.spec.components[0].patch = Some(data);
    let (release, environment) = (release_value(&release), environment_value(&environment()));
    let (list, text) = (
        "release.spec.components[0].patch.data.list",
        "release.spec.components[0].patch.data.text",
    );
    for expression in [
        format!("{list}.all(a, {list}.all(b, release == release))"),
        format!("{list}.map(a, {list}.map(b, {text})).size() > 0"),
        format!("{text}.replace('', {text}) == ''"),
        format!("{list}.join({text}) == ''"),
        format!("{list}.distinct().size() > 0"),
        format!("sets.contains({list}, {list})"),
        format!("{list}.all(a, {text}.indexOf({text} + 'b') < 0)"),
        format!("{list}.exists(a, {text}.matches(a + 'a{{99}}'))"),
    ] {
        let began = std::time::Instant::now();
        let answer = compile(&expression).unwrap().evaluate(&release, &environment);
        let took = began.elapsed();
        let why = answer.expect_err(&expression).to_string();
        assert!(why.contains("costs too much"), "{expression:.60}: {why}");
        assert!(took < 20 * SECOND, "{expression:.60}: {took:?}");
    }
    // Values are not copied.
    let copies = ["release"; 90].join(", ");
    let cheap = compile(&format!("{list}.all(a, [{copies}].size() > 0)")).unwrap();
    assert_eq!(cheap.evaluate(&release, &environment), Ok(true));
    rejects("release.spec.version.matches('(\\\\pL{31}){31}')", "is too large");
}

#[test]
fn a_release_of_too_many_values_is_not_looked_at() {
    let mut release = release();
    release.spec.components[0].patch = Some(json!({ "data": vec![0; MAX_VALUES] }));
    let expression = compile("release.spec.version == '2.1.0'").unwrap();
    let why = expression
        .evaluate(&release_value(&release), &environment_value(&environment()))
        .unwrap_err()
        .to_string();
    assert!(
        why.starts_with("the release is too large for expressions"),
        "{why}"
    );
}

#[test]
fn no_text_overflows_the_stack() {
    let n = MAX_CHARACTERS;
    rejects(&"(".repeat(n), "does not parse");
    rejects(&"[".repeat(n), "does not parse");
    rejects(&"{".repeat(n), "does not parse");
    rejects(&"!".repeat(n), "does not parse");
    rejects(&format!("{}true", "!".repeat(n - 4)), "two ! in a row");
    rejects(&"a(".repeat(n / 2), "does not parse");
    rejects(
        &format!("{}1{}", "(".repeat(500), ")".repeat(500)),
        "nested too deeply",
    );
    rejects(
        &format!("{}1{}", "[".repeat(500), "]".repeat(500)),
        "nested too deeply",
    );
    holds(&format!("{}true", "true&&".repeat(165)));
    holds(&format!("{}true", "-1<0?true:".repeat(90)));
    for (link, longest) in [("1+", 500), ("-", 500), ("true?", 90)] {
        compile(&format!("{}1", link.repeat(longest))).ok();
    }
    rejects(&format!("{}1 > 0", "1+".repeat(500)), "nested too deeply");
    rejects(&format!("release{}", ".a".repeat(500)), "nested too deeply");
    rejects(&format!("release{}", "[0]".repeat(330)), "nested too deeply");
    rejects(&format!("release{}", ".a()".repeat(250)), "nested too deeply");
    rejects(&format!("[1]{}", ".map(a,a)".repeat(110)), "nested too deeply");
}

#[test]
fn the_deepest_admissible_text_evaluates() {
    let links = MAX_DEPTH - 2;
    holds(&format!("{}1 > 0", "1+".repeat(links)));
    holds(&format!("'a'{} == 'a'", ".trim()".repeat(links)));
    holds(&format!(
        "[1].all(a, [1].all(b, 'a'{} == 'a'))",
        ".trim()".repeat(links - 6)
    ));
    holds(&format!(
        "{}'a'{} == 'a'",
        "string(".repeat(links),
        ")".repeat(links)
    ));
    holds(&format!(
        "{}[]{}.size() == 1",
        "[".repeat(links - 1),
        "]".repeat(links - 1)
    ));
    fails(
        &format!("release.spec.components[0].patch{} == 1", ".a".repeat(links - 6)),
        "there is no key \"a\"",
    );
    fails(
        &format!("release.spec.components[0].patch{} == 1", "[0]".repeat(links - 6)),
        "no such key",
    );
}

async fn run(places: &'static Semaphore, text: &str, deadline: Duration) -> Result<bool, Unanswered> {
    evaluate_in(
        places,
        compile(text).unwrap(),
        large(),
        Arc::new(environment_value(&environment())),
        deadline,
        &Arc::default(),
    )
    .await
}

#[tokio::test]
async fn the_costliest_expression_leaves_the_others_alone() {
    static OWN: Semaphore = Semaphore::const_new(2);
    let text = "release.spec.components.all(a, release.spec.components.all(b, ".to_owned()
        + &"release == release && ".repeat(40)
        + "true))";
    assert!(text.len() <= MAX_CHARACTERS);
    let poisonous = compile(&text).unwrap();
    let live = Arc::new(environment_value(&environment()));
    let taken = Arc::default();
    let slow = evaluate_in(&OWN, poisonous.clone(), large(), live, Duration::ZERO, &taken);
    let (slow, quick) = tokio::join!(
        slow,
        run(&OWN, "release.spec.components.size() == 64", 20 * SECOND)
    );
    assert_eq!(quick, Ok(true));
    let error = slow.unwrap_err().to_string();
    assert!(
        error.starts_with("the expression took longer than 0ns"),
        "{error}"
    );
    while poisonous.compiled.overdue.load(Ordering::Acquire) > 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert_eq!(OWN.available_permits(), 2);
}

#[tokio::test]
async fn an_expression_that_still_runs_takes_no_other_place() {
    static OWN: Semaphore = Semaphore::const_new(1);
    let expression = compile("true").unwrap();
    expression.compiled.overdue.fetch_add(1, Ordering::AcqRel);
    let live = Arc::new(environment_value(&environment()));
    let again = evaluate_in(&OWN, expression, large(), live, SECOND, &Arc::default()).await;
    assert!(again.unwrap_err().to_string().contains("still runs"));
    assert_eq!(OWN.available_permits(), 1);
}

#[tokio::test]
async fn who_gets_no_place_in_time_is_told_so() {
    static NONE: Semaphore = Semaphore::const_new(0);
    let error = run(&NONE, "true", SECOND / 20).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the expression waited longer than 50ms for others to finish"
    );
}

#[tokio::test]
async fn an_expression_that_came_late_may_run_again_once_it_has_ended() {
    static OWN: Semaphore = Semaphore::const_new(1);
    let expression = compile(&format!(
        "release.spec.components.all(a, {}true)",
        "release == release && ".repeat(4)
    ))
    .unwrap();
    let (release, live) = (large(), Arc::new(environment_value(&environment())));
    let late = evaluate_in(
        &OWN,
        expression.clone(),
        release.clone(),
        live.clone(),
        Duration::ZERO,
        &Arc::default(),
    )
    .await;
    assert!(late.unwrap_err().to_string().contains("took longer than 0ns"));
    while expression.compiled.overdue.load(Ordering::Acquire) > 0 {
        tokio::time::sleep(SECOND / 100).await;
    }
    let (answer, work) = evaluate(expression, release, live, 20 * SECOND).await;
    assert_eq!(answer, Ok(true));
    assert!(work > Duration::ZERO);
}
