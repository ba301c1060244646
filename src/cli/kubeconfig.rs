//! Which cluster a command speaks to.

use std::path::Path;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// The cluster of `kubeconfig`; without one the pod's own, else that of $KUBECONFIG.
///
/// # Errors
/// A sentence with the file's name, where one was given.
pub(crate) async fn cluster(kubeconfig: Option<&Path>) -> Result<Config, String> {
    match kubeconfig {
        // Which files were looked for in vain helps nobody who has named none.
        None => Config::infer().await.map_err(|_| {
            "no cluster: this is not a pod with a ServiceAccount, and $KUBECONFIG names no kubeconfig that can be read; \
             name one with --kubeconfig"
                .to_owned()
        }),
        Some(path) => {
            let at = |e: &dyn std::fmt::Display| format!("kubeconfig {}: {e}", path.display());
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| at(&e))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|e| at(&e))
        }
    }
}
