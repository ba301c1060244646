//! The common part of the rung and the demo with real containers: the preparation, and the operator that is installed from its own
//! image as its users do.

use std::path::Path;

use anyhow::Result;

use crate::control_plane::ControlPlane;
use crate::namespaces::Namespaces;
use crate::oci::Oci;
use crate::runtime::Runtime;
use crate::tools::Tools;
use crate::{image, node, operator};

/// Builds and fetches everything that needs the network, because there is none inside.
///
/// # Errors
/// It cannot be built or fetched.
pub async fn prepare(repository: &Path) -> Result<()> {
    Runtime::ready().await?;
    let oci = Oci::ready(repository).await?;
    let layout = crate::target(repository).join("image");
    image::build(repository, &oci, &layout).await?;
    Ok(())
}

/// A control plane with nodes, and the operator's image in their registry.
pub struct Real {
    pub cluster: ControlPlane,
    pub oci: Oci,
    /// The operator's image, by digest.
    pub image: String,
}

impl Real {
    /// Starts the nodes and pushes the image that [`prepare`] has built.
    ///
    /// # Errors
    /// A program does not start.
    pub async fn start(tools: &Tools, repository: &Path, namespaces: &Namespaces) -> Result<Self> {
        let oci = Oci::ready(repository).await?;
        let cluster = ControlPlane::real(tools, &oci, repository, namespaces).await?;
        let image = node::push(&oci, &crate::target(repository).join("image"), "signalbox").await?;
        Ok(Self { cluster, oci, image })
    }

    /// Installs the chart and waits until the operator runs.
    ///
    /// # Errors
    /// The error of helm.
    pub async fn install(&self, tools: &Tools, repository: &Path, others: &[&str]) -> Result<()> {
        let values = node::values(&self.image, others)?;
        operator::install_and_wait(tools, repository, &self.cluster, &values).await
    }
}
