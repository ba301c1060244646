//! Many settled releases, without promoting each: copies of one that was promoted, with its status, written in the
//! operator's name because no other user may.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use signalbox::api::release::ReleaseStatus;
use signalbox::api::{RELEASE_FINALIZER, Release};

use super::fleet::Name;
use crate::control_plane::ControlPlane;
use crate::operator::username;

/// Products a namespace, and versions a product, so that siblings and namespaces grow as in real use.
const PRODUCTS: usize = 10;
const VERSIONS: usize = 10;
/// Concurrent requests.
pub const AT_ONCE: usize = 16;

/// The copies of settled Releases.
pub struct Settled {
    admin: Client,
    operator: Client,
    template: Release,
    tenth: Option<ReleaseStatus>,
    size: usize,
}

impl Settled {
    /// Copies of one that has Succeeded everywhere.
    pub async fn of(cluster: &ControlPlane, template: &Name) -> Result<Self> {
        let admin = cluster.client();
        let template = Api::<Release>::namespaced(admin.clone(), &template.namespace)
            .get(&template.name)
            .await?;
        Ok(Self {
            operator: cluster.acting_as(&username())?,
            admin,
            template,
            tenth: None,
            size: 0,
        })
    }

    /// The newest version of each product has this status instead.
    pub fn every_tenth(mut self, status: ReleaseStatus) -> Self {
        self.tenth = Some(status);
        self
    }

    /// Creates copies until there are `size`.
    pub async fn grow(&mut self, size: usize) -> Result<()> {
        let a_namespace = PRODUCTS * VERSIONS;
        for index in self.size.div_ceil(a_namespace)..size.div_ceil(a_namespace) {
            let namespace: Namespace =
                serde_json::from_value(json!({ "metadata": { "name": namespace(index) } }))?;
            Api::all(self.admin.clone())
                .create(&PostParams::default(), &namespace)
                .await?;
        }
        stream::iter(self.size..size)
            .map(|index| self.copy(index))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.size = size;
        Ok(())
    }

    async fn copy(&self, index: usize) -> Result<()> {
        let (namespace, within) = (
            namespace(index / (PRODUCTS * VERSIONS)),
            index % (PRODUCTS * VERSIONS),
        );
        let (product, version) = (within / VERSIONS, within % VERSIONS);
        let mut copy = Release::new(&format!("app{product}-{version}"), self.template.spec.clone());
        copy.metadata.finalizers = Some(vec![RELEASE_FINALIZER.to_owned()]);
        copy.spec.product = format!("app{product}");
        copy.spec.version = format!("1.{version}.0");
        let created = Api::<Release>::namespaced(self.admin.clone(), &namespace)
            .create(&PostParams::default(), &copy)
            .await
            .with_context(|| format!("a copy in {namespace} was refused"))?;
        copy.metadata.resource_version = created.resource_version();
        copy.status = match &self.tenth {
            Some(status) if version + 1 == VERSIONS => Some(status.clone()),
            _ => self.template.status.clone(),
        };
        Api::<Release>::namespaced(self.operator.clone(), &namespace)
            .replace_status(&created.name_any(), &PostParams::default(), &copy)
            .await
            .with_context(|| format!("the status of a copy in {namespace} was refused"))?;
        Ok(())
    }
}

fn namespace(index: usize) -> String {
    format!("settled-{index:03}")
}
