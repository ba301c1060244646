//! Which cluster a command connects to.

use std::path::Path;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// The cluster of `kubeconfig`. Without one: the cluster of the pod, else the one of $KUBECONFIG.
///
/// # Errors
/// A sentence, with the file's name if one was given.
pub(crate) async fn cluster(kubeconfig: Option<&Path>) -> Result<Config, String> {
    match kubeconfig {
        // The library's error lists the files that it tried. That does not help a user who named none.
        None => Config::infer().await.map_err(|_| {
            "No cluster found: this process is not in a pod with a ServiceAccount, and $KUBECONFIG names no readable kubeconfig. \
             Name one with --kubeconfig."
                .to_owned()
        }),
        Some(path) => {
            let at = |e: &dyn std::fmt::Display| format!("Kubeconfig {}: {e}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| at(&e))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|e| at(&e))
        }
    }
}
