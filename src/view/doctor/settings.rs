//! How the operator is configured, read from its Deployment as the chart writes it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt;

/// What the Deployment says about the operator. Without one, the chart's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The operator's namespace.
    pub namespace: String,
    /// The operator's ServiceAccount.
    pub account: String,
    /// The ServiceAccount that it impersonates in target namespaces.
    pub deployer: String,
    /// Whether a target namespace has to accept Releases.
    pub require_consent: bool,
    /// The namespaces that it watches. Empty: all.
    pub watch: Vec<String>,
    /// The name of the helm release.
    pub installed_as: String,
}

impl Settings {
    /// Those of `deployment`. A `deployer` that the user has stated wins.
    #[must_use]
    pub fn of(namespace: &str, deployer: Option<&str>, deployment: Option<&Deployment>) -> Self {
        let pod = deployment
            .and_then(|d| d.spec.as_ref())
            .and_then(|s| s.template.spec.as_ref());
        let container = pod.and_then(|pod| {
            let named = pod.containers.iter().find(|c| c.name == "operator");
            named.or(pod.containers.first())
        });
        let set = |variable: &str, flag: &str| container.and_then(|c| setting(c, variable, flag));
        let stated = deployer.map(str::to_owned);
        let installed_as = deployment.and_then(|d| d.annotations().get("meta.helm.sh/release-name").cloned());
        Self {
            namespace: namespace.to_owned(),
            account: pod
                .and_then(|pod| pod.service_account_name.clone())
                .unwrap_or_else(|| "signalbox".to_owned()),
            deployer: stated
                .or_else(|| set("SIGNALBOX_DEPLOYER_NAME", "--deployer-name"))
                .unwrap_or_else(|| "signalbox-deployer".to_owned()),
            require_consent: set("SIGNALBOX_REQUIRE_CONSENT", "--require-consent")
                .is_none_or(|value| value != "false"),
            watch: set("SIGNALBOX_WATCH_NAMESPACE", "--watch-namespace")
                .map(|names| {
                    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                    names.map(str::to_owned).collect()
                })
                .unwrap_or_default(),
            installed_as: installed_as
                .filter(|name| plain(name))
                .unwrap_or_else(|| "signalbox".to_owned()),
        }
    }

    /// The operator's user name.
    #[must_use]
    pub fn username(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.account)
    }

    /// The command that installs the chart again with the same values, and with `set`.
    #[must_use]
    pub fn upgrade(&self, set: &str) -> String {
        let Self {
            namespace,
            installed_as,
            ..
        } = self;
        let command =
            format!("helm upgrade {installed_as} charts/signalbox --namespace {namespace} --reuse-values");
        if set.is_empty() {
            command
        } else {
            format!("{command} --set '{set}'")
        }
    }
}

/// A flag wins over the environment, as clap reads them. A flag that is repeated has all of its values.
fn setting(container: &Container, variable: &str, flag: &str) -> Option<String> {
    let arguments: Vec<&str> = container
        .command
        .iter()
        .chain(&container.args)
        .flatten()
        .map(String::as_str)
        .collect();
    let mut values = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        if *argument == flag {
            values.extend(arguments.get(at + 1).copied());
        } else if let Some(value) = argument
            .strip_prefix(flag)
            .and_then(|rest| rest.strip_prefix('='))
        {
            values.push(value);
        }
    }
    if !values.is_empty() {
        return Some(values.join(","));
    }
    let variables = container.env.iter().flatten();
    variables
        .filter(|v| v.name == variable)
        .find_map(|v| v.value.clone())
}

/// Whether a shell reads it as one word, as it reads all names of objects.
pub(super) fn plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !name.is_empty() && !name.starts_with('-') && name.chars().all(fits)
}
