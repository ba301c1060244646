//! Environments with the same target namespaces: a Release that one of them blocks may enter through another that requires less, and two teams
//! may share a namespace that each regards as its own.

use std::collections::BTreeMap;

use crate::api::environment::{
    self, DefaultWindow, Enforcement, Environment, EnvironmentSpec, Require, SharedTargets, Window,
    WindowKind,
};
use crate::api::reasons;
use crate::decide::consent::is_label;
use crate::decide::facts::Setting;
use crate::decide::rules;
use crate::domain::text::cut;

const PLACEHOLDER: &str = "{namespace}";
/// The label by which a selector selects one namespace; the API server sets it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The Environments that share a target namespace with `environment` and require less, or admit other Releases there.
#[derive(Debug, Default, PartialEq)]
pub struct Shared {
    /// One for each such Environment, by name.
    pub with: Vec<SharedTargets>,
    /// One of them deploys Releases of other namespaces there.
    pub other_tenants: bool,
}

/// Compares `environment` with each of `all`, which may contain it.
#[must_use]
pub fn judge(environment: &Environment, all: &BTreeMap<String, Setting>) -> Shared {
    let own = environment.metadata.name.as_deref().unwrap_or_default();
    let ours = &environment.spec;
    let mut shared = Shared::default();
    for (name, setting) in all.iter().filter(|(name, _)| *name != own) {
        let theirs = &setting.environment.spec;
        let Some(meeting) = meeting(ours, theirs) else {
            continue;
        };
        let whom = meeting.other_tenants(ours, theirs);
        shared.other_tenants |= whom.is_some();
        let said: Vec<String> = whom.into_iter().chain(weaker(ours, theirs)).collect();
        if !said.is_empty() {
            shared.with.push(SharedTargets {
                environment: name.clone(),
                message: cut(format!("Environment {name} {}.", said.join("; "))),
            });
        }
    }
    shared
}

impl Shared {
    /// Reason and message of the condition, if there is anything to report.
    #[must_use]
    pub fn condition(&self) -> Option<(&'static str, String)> {
        let names: Vec<&str> = self.with.iter().map(|s| s.environment.as_str()).collect();
        let (reason, how) = if self.other_tenants {
            (
                reasons::OTHER_TENANTS,
                "for other Release namespaces, or with weaker controls",
            )
        } else {
            (reasons::WEAKER_CONTROLS, "with weaker controls")
        };
        let message = format!(
            "Other Environments have the same target namespaces {how} ({}, see sharedTargets): {}.",
            names.len(),
            names.join(", ")
        );
        (!names.is_empty()).then_some((reason, message))
    }
}

/// Whether both may have the same target namespace.
#[must_use]
pub fn meet(one: &EnvironmentSpec, other: &EnvironmentSpec) -> bool {
    meeting(one, other).is_some()
}

/// A target namespace of both, and the Releases that each of them deploys there: of one namespace, or of all that its `releaseNamespaces`
/// select.
#[derive(Debug, PartialEq, Eq)]
struct Meeting {
    target: String,
    ours: Option<String>,
    theirs: Option<String>,
}

impl Meeting {
    /// The Releases that the other deploys there, if they are not the same: what follows its name in a sentence.
    fn other_tenants(&self, ours: &EnvironmentSpec, theirs: &EnvironmentSpec) -> Option<String> {
        let target = &self.target;
        match (&self.ours, &self.theirs) {
            (Some(a), Some(b)) if a == b => None,
            (None, None) if ours.release_namespaces == theirs.release_namespaces => None,
            (Some(a), Some(b)) => Some(format!(
                "also deploys Releases of other namespaces there, for example those of {b} to {target}, where this Environment deploys those of {a}"
            )),
            (None, Some(b)) => Some(format!(
                "deploys Releases of {b} to {target}, where this Environment deploys all that its releaseNamespaces select"
            )),
            (_, None) => Some(format!(
                "deploys all Releases that its releaseNamespaces select to {target}"
            )),
        }
    }
}

/// Where Releases are deployed: to one namespace, or to one for each Release namespace.
enum Leads<'a> {
    To(String, Option<String>),
    Around(&'a str, &'a str),
}

fn leads(spec: &EnvironmentSpec) -> Leads<'_> {
    let labels = spec
        .release_namespaces
        .as_ref()
        .and_then(|s| s.match_labels.as_ref());
    let only = labels.and_then(|labels| labels.get(NAME_LABEL));
    match (spec.namespace.split_once(PLACEHOLDER), only) {
        (Some((before, after)), None) => Leads::Around(before, after),
        (_, only) => Leads::To(
            spec.target_namespace(only.map_or("", String::as_str)),
            only.cloned(),
        ),
    }
}

fn meeting(ours: &EnvironmentSpec, theirs: &EnvironmentSpec) -> Option<Meeting> {
    match (leads(ours), leads(theirs)) {
        (Leads::To(target, ours), Leads::To(other, theirs)) => {
            (target == other).then_some(Meeting { target, ours, theirs })
        }
        (Leads::To(target, tenant), Leads::Around(..)) => {
            let theirs = led_to(&target, theirs)?;
            Some(Meeting {
                target,
                ours: tenant,
                theirs: Some(theirs),
            })
        }
        (Leads::Around(..), Leads::To(target, tenant)) => {
            let ours = led_to(&target, ours)?;
            Some(Meeting {
                target,
                ours: Some(ours),
                theirs: tenant,
            })
        }
        (Leads::Around(a, b), Leads::Around(c, d)) => both_around((a, b), (c, d)),
    }
}

fn led_to(target: &str, spec: &EnvironmentSpec) -> Option<String> {
    let namespace = spec.release_namespace_of(target)?;
    is_label(namespace).then(|| namespace.to_owned())
}

/// Two patterns can give the same name if the prefix of one begins with that of the other, and likewise the suffix. Then `w` is the middle of
/// both Release namespaces, between the rests of the prefixes and suffixes. An example with different namespaces is preferred.
fn both_around((a, b): (&str, &str), (c, d): (&str, &str)) -> Option<Meeting> {
    let (our_front, their_front) = left_over(c.strip_prefix(a), a.strip_prefix(c))?;
    let (our_end, their_end) = left_over(d.strip_suffix(b), b.strip_suffix(d))?;
    let examples = ["a", "b"].map(|w| {
        let ours = format!("{our_front}{w}{our_end}");
        let theirs = format!("{their_front}{w}{their_end}");
        (format!("{a}{ours}{b}"), ours, theirs)
    });
    let mut possible: Vec<_> = examples
        .into_iter()
        .filter(|(target, ours, theirs)| [target, ours, theirs].iter().all(|name| is_label(name)))
        .collect();
    possible.sort_by_key(|(_, ours, theirs)| ours == theirs);
    let (target, ours, theirs) = possible.into_iter().next()?;
    Some(Meeting {
        target,
        ours: Some(ours),
        theirs: Some(theirs),
    })
}

fn left_over<'a>(ours: Option<&'a str>, theirs: Option<&'a str>) -> Option<(&'a str, &'a str)> {
    (ours.is_some() || theirs.is_some()).then(|| (ours.unwrap_or_default(), theirs.unwrap_or_default()))
}

/// What `ours` requires and `theirs` does not, each as it follows an Environment's name in a sentence.
fn weaker(ours: &EnvironmentSpec, theirs: &EnvironmentSpec) -> Vec<String> {
    let required = |spec: &EnvironmentSpec, control| spec.enforcement(control) == Enforcement::Required;
    let controls = rules::controls()
        .filter(|control| required(ours, *control) && !required(theirs, *control))
        .map(|control| format!("does not require {}", control.as_str()));
    let gates = ours.gates.iter();
    let gates = gates.filter(|gate| !theirs.gates.iter().any(|other| rules::asks_as_much(other, gate)));
    let gates = gates.map(|gate| format!("has no gate as strict as {}", gate.name));
    let verification = ours.verification.iter().filter(|item| {
        let same = |other: &&environment::Verification| {
            other.job.as_ref().map(|j| &j.template) == item.job.as_ref().map(|j| &j.template)
                && other.expression == item.expression
        };
        theirs.verification.iter().find(same).is_none()
    });
    let verification = verification.map(|item| format!("has no verification like {}", item.name));
    controls
        .chain(upstream(ours, theirs))
        .chain(gates)
        .chain(verification)
        .chain(windows(ours, theirs))
        .collect()
}

fn upstream(ours: &EnvironmentSpec, theirs: &EnvironmentSpec) -> Option<String> {
    let ours = ours.promotes_from.as_ref()?;
    let Some(theirs) = &theirs.promotes_from else {
        return Some("is an entry point: no upstream must Succeed first".to_owned());
    };
    let any = |from: &environment::PromotesFrom| from.require == Require::Any && from.environments.len() > 1;
    let missing = ours
        .environments
        .iter()
        .any(|name| !theirs.environments.contains(name));
    (!any(ours) && (missing || any(theirs)))
        .then(|| format!("does not promote from {}", ours.environments.join(" and ")))
}

fn windows(ours: &EnvironmentSpec, theirs: &EnvironmentSpec) -> Vec<String> {
    let of = |spec: &EnvironmentSpec, kind| {
        let windows = spec.windows.iter().filter(move |w| w.kind == kind);
        windows.cloned().collect::<Vec<Window>>()
    };
    let among = |window: &Window, all: &[Window]| {
        all.iter().any(|other| {
            Window {
                name: window.name.clone(),
                ..other.clone()
            } == *window
        })
    };
    let always = |spec: &EnvironmentSpec| {
        of(spec, WindowKind::Allow).is_empty() && spec.default_window() == DefaultWindow::Open
    };
    let never_shut = of(theirs, WindowKind::Deny);
    let mut said: Vec<String> = of(ours, WindowKind::Deny)
        .iter()
        .filter(|window| !among(window, &never_shut))
        .map(|window| format!("has no Deny window like {}", window.name))
        .collect();
    if always(ours) {
        return said;
    }
    if always(theirs) {
        said.push("is always open outside its Deny windows".to_owned());
        return said;
    }
    let allowed = of(ours, WindowKind::Allow);
    let wider = of(theirs, WindowKind::Allow);
    let wider = wider.iter().filter(|window| !among(window, &allowed));
    said.extend(wider.map(|window| format!("is also open in its window {}", window.name)));
    said
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::environment::Stage;
    use crate::decide::fixtures::{open_at_all_times, setting};

    fn spec(spec: &Value) -> EnvironmentSpec {
        let mut whole = json!({ "stage": "Production" });
        for (key, value) in spec.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).expect("a spec")
    }

    fn to(namespace: &str) -> EnvironmentSpec {
        spec(&json!({ "namespace": namespace }))
    }

    #[test]
    fn two_patterns_meet_where_some_names_of_namespaces_give_one_target() {
        for (ours, theirs, expected) in [
            (
                "{namespace}-prod",
                "{namespace}-b-prod",
                Some(("a-b-prod", "a-b", "a")),
            ),
            (
                "{namespace}-b-prod",
                "{namespace}-prod",
                Some(("a-b-prod", "a", "a-b")),
            ),
            ("{namespace}-prod", "{namespace}-prod", Some(("a-prod", "a", "a"))),
            ("{namespace}-prod", "{namespace}-uat", None),
            ("{namespace}", "{namespace}-prod", Some(("a-prod", "a-prod", "a"))),
            (
                "prod-{namespace}",
                "{namespace}-prod",
                Some(("prod-a-prod", "a-prod", "prod-a")),
            ),
            ("x{namespace}", "x-y-{namespace}", None),
            ("{namespace}x", "{namespace}-y-x", None),
            (
                "eu-{namespace}-prod",
                "eu-b-{namespace}-prod",
                Some(("eu-b-a-prod", "b-a", "a")),
            ),
            ("eu-{namespace}", "us-{namespace}", None),
            ("a{namespace}", "{namespace}a", Some(("aba", "ba", "ab"))),
        ] {
            let found = meeting(&to(ours), &to(theirs));
            let found = found.as_ref().map(|m| {
                let of = |tenant: &'static str, name: &Option<String>| name.clone().expect(tenant);
                (m.target.clone(), of("ours", &m.ours), of("theirs", &m.theirs))
            });
            let expected = expected.map(|(t, o, h)| (t.to_owned(), o.to_owned(), h.to_owned()));
            assert_eq!(found, expected, "{ours} and {theirs}");
            // The example is correct.
            if let Some((target, a, b)) = found {
                assert_eq!(to(ours).target_namespace(&a), target);
                assert_eq!(to(theirs).target_namespace(&b), target);
            }
        }
        let long = format!("{{namespace}}-{}", "x".repeat(40));
        let front = format!("{}-{{namespace}}", "x".repeat(40));
        assert_eq!(meeting(&to(&long), &to(&front)), None, "no name has 83 letters");
    }

    #[test]
    fn one_namespace_meets_what_leads_its_releases_there() {
        let everyone = spec(&json!({ "namespace": "payments-prod", "releaseNamespaces": {} }));
        let only = |name: &str| json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
        let payments = spec(&json!({ "namespace": "payments-prod", "releaseNamespaces": only("payments") }));
        let around = to("{namespace}-prod");
        let elsewhere =
            spec(&json!({ "namespace": "{namespace}-prod", "releaseNamespaces": only("ledgers") }));
        let tenants = |ours: &EnvironmentSpec, theirs: &EnvironmentSpec| {
            meeting(ours, theirs).map(|m| m.other_tenants(ours, theirs).is_some())
        };
        for (ours, theirs, expected) in [
            (&everyone, &around, Some(true)),
            (&around, &everyone, Some(true)),
            (&payments, &around, Some(false)),
            (&around, &payments, Some(false)),
            (&everyone, &everyone, Some(false)),
            (&everyone, &payments, Some(true)),
            (&payments, &elsewhere, None),
            (&elsewhere, &around, Some(false)),
            (&everyone, &elsewhere, None),
        ] {
            assert_eq!(tenants(ours, theirs), expected, "{ours:?} and {theirs:?}");
        }
    }

    #[test]
    fn what_another_does_not_ask_for_is_said_and_what_it_asks_for_besides_is_not() {
        let strict = spec(&json!({
            "namespace": "{namespace}-prod",
            "promotesFrom": { "environments": ["uat"] },
            "gates": [
                { "name": "board", "approval": { "role": "board", "minimum": 2, "validFor": "72h" } },
                { "name": "rest", "soak": { "environment": "uat", "duration": "24h" } },
                { "name": "small", "expression": { "passWhen": "true" } },
            ],
            "verification": [{ "name": "smoke", "job": { "template": "smoke-test" } }],
            "windows": [
                { "name": "tuesdays", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London" },
                { "name": "freeze", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2027-01-04T00:00:00Z" },
            ],
        }));
        assert_eq!(weaker(&strict, &strict), Vec::<String>::new());
        let mut stricter = strict.clone();
        stricter.gates[0].name = "all-of-the-board".to_owned();
        if let Some(approval) = &mut stricter.gates[0].approval {
            approval.minimum = 3;
        }
        stricter.windows[0].name = "tuesday-evenings".to_owned();
        assert_eq!(weaker(&strict, &stricter), Vec::<String>::new());
        assert_eq!(
            weaker(&stricter, &strict),
            ["has no gate as strict as all-of-the-board"]
        );
        let open = spec(&json!({ "namespace": "{namespace}-prod", "stage": "SIT" }));
        assert_eq!(
            weaker(&strict, &open),
            [
                "does not require DigestPinned",
                "does not require DeploymentPlanDocumented",
                "does not require BackoutPlanDocumented",
                "is an entry point: no upstream must Succeed first",
                "has no gate as strict as board",
                "has no gate as strict as rest",
                "has no gate as strict as small",
                "has no verification like smoke",
                "has no Deny window like freeze",
                "is always open outside its Deny windows",
            ]
        );
        assert_eq!(weaker(&open, &strict), Vec::<String>::new());
        let mut wider = strict.clone();
        wider.windows[0].schedule = Some("0 18 * * *".to_owned());
        assert_eq!(weaker(&strict, &wider), ["is also open in its window tuesdays"]);
    }

    #[test]
    fn those_are_named_that_ask_for_less_or_lead_others_there() {
        let named = |name: &str, spec: &EnvironmentSpec| {
            let environment = Environment::new(name, spec.clone());
            (name.to_owned(), setting(environment, open_at_all_times()))
        };
        let ours = Environment::new(
            "prod",
            spec(&json!({
                "namespace": "{namespace}-prod",
                "gates": [{ "name": "board", "approval": { "role": "board" } }],
            })),
        );
        let said = |others: &[(&str, &EnvironmentSpec)]| {
            let all = others.iter().map(|(name, spec)| named(name, spec));
            let shared = judge(&ours, &all.chain([named("prod", &ours.spec)]).collect());
            let messages: Vec<String> = shared.with.iter().map(|s| s.message.clone()).collect();
            (shared.condition(), messages)
        };
        assert_eq!(
            said(&[("same", &ours.spec), ("uat", &to("{namespace}-uat"))]),
            (None, vec![])
        );
        assert_eq!(
            said(&[("back-door", &to("{namespace}-prod"))]),
            (
                Some((
                    "WeakerControls",
                    "Other Environments have the same target namespaces with weaker controls (1, see sharedTargets): back-door.".to_owned()
                )),
                vec!["Environment back-door has no gate as strict as board.".to_owned()]
            )
        );
        let mut b = to("{namespace}-b-prod");
        b.stage = Stage::Uat;
        assert_eq!(
            said(&[("b-prod", &b)]),
            (
                Some((
                    "OtherTenants",
                    "Other Environments have the same target namespaces for other Release namespaces, or with weaker controls (1, \
                     see sharedTargets): b-prod."
                        .to_owned()
                )),
                vec![
                    "Environment b-prod also deploys Releases of other namespaces there, for example those of a to a-b-prod, where this \
                     Environment deploys those of a-b; does not require DeploymentPlanDocumented; has no gate as strict as board; is \
                     always open outside its Deny windows."
                        .to_owned()
                ]
            )
        );
    }
}
