//! The next Release of a product, made from an earlier one.

mod running;

use std::collections::BTreeSet;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::Release;
use crate::api::release::{Change, ChangeModel, Component};
use crate::domain::version::{NotAVersion, Version};
use crate::manifests::Manifests;
use crate::view::yaml::yaml;

pub use running::{Running, Unresolved};

/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// What is released next.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The product of the Release.
    pub product: &'a str,
    /// The version of the new Release.
    pub version: &'a str,
    /// The release line. Absent: the only one of the product.
    pub line: Option<&'a str>,
    /// Name of the Release that is copied. Absent: the one with the highest version.
    pub from: Option<&'a str>,
    /// The images that change.
    pub images: &'a [Choice],
    /// `spec.change.reference` of the new Release.
    pub reference: Option<&'a str>,
    /// `spec.change.reason` of the new Release.
    pub reason: Option<&'a str>,
    /// The user who requests it.
    pub user: &'a str,
}

/// An image for one container: `component=image` or `component/container=image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name of the component.
    pub component: String,
    /// Name of the container. Absent: the only one whose image the component sets.
    pub container: Option<String>,
    /// The image, with a tag or a digest.
    pub image: String,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be component=image or component/container=image".to_owned();
        let (place, image) = text.split_once('=').ok_or_else(wrong)?;
        let (component, container) = match place.split_once('/') {
            Some((component, container)) => (component, Some(container)),
            None => (place, None),
        };
        if component.is_empty() || container.is_some_and(str::is_empty) || image.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            component: component.to_owned(),
            container: container.map(str::to_owned),
            image: image.to_owned(),
        })
    }
}

/// Why there is no next Release: a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Impossible {
    #[error(
        "No Release of product {product:?} exists (products: {}). Create the first one from a manifest.",
        listed(products)
    )]
    NoProduct { product: String, products: Vec<String> },
    #[error(
        "Product {product:?} has no line {line:?}. Name one of its lines: {}.",
        listed(lines)
    )]
    NoLine {
        product: String,
        line: String,
        lines: Vec<String>,
    },
    #[error("Product {product:?} has several lines. Name one of them: {}.", listed(lines))]
    SeveralLines { product: String, lines: Vec<String> },
    #[error(
        "No Release {from:?} of the product and line exists. Name one of: {}.",
        listed(names)
    )]
    NoSuchRelease { from: String, names: Vec<String> },
    #[error("The new Release is not valid: {0}.")]
    NotAVersion(#[from] NotAVersion),
    #[error("Version {version:?} must be newer than {than}, the version of Release {release:?}.")]
    NotNewer {
        version: String,
        than: String,
        release: String,
    },
    #[error("Release {0:?} exists already. Choose another version.")]
    Exists(String),
    #[error("Component {component:?} does not exist. Name one of: {}.", listed(choices))]
    NoComponent { component: String, choices: Vec<String> },
    #[error("Component {0:?} sets no images. Add its images to the manifest.")]
    NoImages(String),
    #[error(
        "Component {component:?} sets several images. Name one of: {}.",
        listed(choices)
    )]
    Ambiguous { component: String, choices: Vec<String> },
    #[error(
        "Component {component:?} sets no image of container {container:?}. Name one of: {}.",
        listed(choices)
    )]
    NoContainer {
        component: String,
        container: String,
        choices: Vec<String>,
    },
    #[error("The image of {0} is given twice. Give it once.")]
    Twice(String),
    #[error("{0}")]
    Unresolved(#[from] Unresolved),
    #[error("The Release cannot be written as YAML: {0}.")]
    Yaml(#[from] serde_yaml_ng::Error),
    #[error("The Release cannot be written as JSON: {0}.")]
    Json(#[from] serde_json::Error),
}

fn listed(names: &[String]) -> String {
    let quoted = names.iter().map(|name| name.escape_debug().to_string());
    let quoted: Vec<String> = quoted.collect();
    if quoted.is_empty() {
        "none".to_owned()
    } else {
        quoted.join(", ")
    }
}

/// The next Release: the spec of an earlier one of `releases`, which are those of one namespace, with another version and other images.
/// What belonged to the earlier one alone is left out: its hold, schedule and source, and that it was withdrawn.
///
/// # Errors
/// What is wanted does not fit the Releases, or the digest of an image is not known.
pub fn next(releases: &[Release], wanted: &Wanted<'_>, running: &Running) -> Result<Release, Impossible> {
    let version: Version = wanted.version.parse()?;
    let last = last(releases, wanted)?;
    if last.spec.version.parse::<Version>().is_ok_and(|v| version <= v) {
        return Err(Impossible::NotNewer {
            version: wanted.version.to_owned(),
            than: last.spec.version.clone(),
            release: name(last).to_owned(),
        });
    }
    let of_line = releases
        .iter()
        .filter(|r| r.spec.product == last.spec.product && r.spec.line == last.spec.line);
    let mut same = of_line.filter(|r| r.spec.version.parse::<Version>().is_ok_and(|v| v == version));
    let new_name = release_name(wanted.product, wanted.version);
    let taken = releases.iter().find(|r| name(r) == new_name);
    if let Some(other) = same.next().or(taken) {
        return Err(Impossible::Exists(name(other).to_owned()));
    }
    let mut spec = last.spec.clone();
    wanted.version.clone_into(&mut spec.version);
    wanted.user.clone_into(&mut spec.requested_by);
    spec.change = Change {
        model: ChangeModel::default(),
        reference: wanted.reference.map(str::to_owned),
        reason: wanted.reason.map(str::to_owned),
    };
    (spec.source, spec.hold, spec.withdrawn) = (None, None, None);
    spec.schedule.clear();
    choose(&mut spec.components, wanted.images, running)?;
    Ok(Release {
        metadata: ObjectMeta {
            name: Some(new_name),
            namespace: last.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    })
}

/// The Release that is copied.
fn last<'a>(releases: &'a [Release], wanted: &Wanted<'_>) -> Result<&'a Release, Impossible> {
    let product = || wanted.product.to_owned();
    let unique = |of: fn(&Release) -> &String, among: &[&Release]| -> Vec<String> {
        let all: BTreeSet<&String> = among.iter().map(|r| of(r)).collect();
        all.into_iter().cloned().collect()
    };
    let mut known: Vec<&Release> = releases.iter().collect();
    let products = unique(|r| &r.spec.product, &known);
    known.retain(|r| r.spec.product == wanted.product);
    let lines = unique(|r| &r.spec.line, &known);
    if known.is_empty() {
        return Err(Impossible::NoProduct {
            product: product(),
            products,
        });
    }
    if let Some(line) = wanted.line {
        known.retain(|r| r.spec.line == line);
        if known.is_empty() {
            return Err(Impossible::NoLine {
                product: product(),
                line: line.to_owned(),
                lines,
            });
        }
    }
    if let Some(from) = wanted.from {
        let names = || known.iter().map(|r| name(r).to_owned()).collect();
        let found = known.iter().find(|r| name(r) == from);
        return found.copied().ok_or_else(|| Impossible::NoSuchRelease {
            from: from.to_owned(),
            names: names(),
        });
    }
    if wanted.line.is_none() && lines.len() > 1 {
        return Err(Impossible::SeveralLines {
            product: product(),
            lines,
        });
    }
    let highest = known
        .iter()
        .max_by_key(|r| (r.spec.version.parse::<Version>().ok(), name(r)));
    highest.copied().ok_or_else(|| Impossible::NoProduct {
        product: product(),
        products,
    })
}

fn name(release: &Release) -> &str {
    release.metadata.name.as_deref().unwrap_or_default()
}

fn choose(components: &mut [Component], choices: &[Choice], running: &Running) -> Result<(), Impossible> {
    let names: Vec<String> = components.iter().map(|c| c.name.clone()).collect();
    let mut chosen = BTreeSet::new();
    for choice in choices {
        let Some(component) = components.iter_mut().find(|c| c.name == choice.component) else {
            return Err(Impossible::NoComponent {
                component: choice.component.clone(),
                choices: names,
            });
        };
        let called = component.name.clone();
        let containers: Vec<String> = component.images.iter().map(|i| i.container.clone()).collect();
        let places = || containers.iter().map(|c| format!("{called}/{c}")).collect();
        let at = match (&choice.container, containers.as_slice()) {
            (_, []) => return Err(Impossible::NoImages(called)),
            (None, [_]) => 0,
            (None, _) => {
                return Err(Impossible::Ambiguous {
                    choices: places(),
                    component: called,
                });
            }
            (Some(container), _) => match containers.iter().position(|c| c == container) {
                Some(at) => at,
                None => {
                    return Err(Impossible::NoContainer {
                        choices: places(),
                        container: container.clone(),
                        component: called,
                    });
                }
            },
        };
        let place = format!("{called}/{}", containers[at]);
        component.images[at].image = running.resolve(&choice.image)?;
        if !chosen.insert(place.clone()) {
            return Err(Impossible::Twice(place));
        }
    }
    Ok(())
}

/// `product-version`, as the name of an object may be: small letters, digits, dashes and dots.
#[must_use]
pub fn release_name(product: &str, version: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-' | '.') => c,
        _ => '-',
    };
    let name: String = format!("{product}-{version}").chars().map(plain).collect();
    // Between dots, a name begins and ends with a letter or a digit.
    let parts = name.split('.').map(|part| part.trim_matches('-'));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let mut name = parts.join(".");
    name.truncate(LONGEST_NAME);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// The manifest of the Release, for `kubectl create --filename -`, with its fields in the order of the API.
///
/// # Errors
/// It cannot be written.
pub fn manifest(release: &Release) -> Result<String, Impossible> {
    let text = yaml(release)?;
    // A text with unusual line ends may be read back differently. JSON has one form for it.
    let read = Manifests::read(&["-".into()], &mut text.as_bytes());
    let wanted = serde_json::to_value(release)?;
    let same = matches!(read.objects.as_slice(), [one] if one.value == wanted);
    Ok(if same {
        text
    } else {
        serde_json::to_string_pretty(release)? + "\n"
    })
}

#[cfg(test)]
mod tests;
