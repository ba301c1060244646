//! Pre-states, read once: their content never changes.

use std::sync::Arc;

use crate::cache::memory::Memory;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::facts::LivePreState;
use crate::decide::prestate::PreState;
use crate::observe::observer::Observer;

impl<C: Requests> Observer<C> {
    /// The pre-state of that name; nothing where it is missing or cannot be read.
    pub(crate) async fn live_pre_state(&self, name: &str) -> Result<Option<LivePreState>, RequestError> {
        let home = &self.settings().operator_namespace;
        let Some(kept) = self.client().revision(home, name).await? else {
            return Ok(None);
        };
        let data = kept.data.map(|d| d.0).unwrap_or_default();
        match PreState::read(data) {
            Ok(content) => Ok(Some(LivePreState {
                name: name.to_owned(),
                uid: kept.metadata.uid.unwrap_or_default(),
                content: Arc::new(content),
            })),
            // What cannot be read cannot be restored: it is treated as missing and logged.
            Err(error) => {
                tracing::error!(pre_state = name, %error, "A pre-state cannot be read.");
                Ok(None)
            }
        }
    }

    /// The pre-state of the previous attempt.
    pub(crate) async fn predecessor(
        &self,
        name: &str,
        memory: &mut Memory,
    ) -> Result<Option<Arc<PreState>>, RequestError> {
        if let Some(known) = memory.predecessors.get(name) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(kept) = self.live_pre_state(name).await? else {
            return Ok(None);
        };
        memory
            .predecessors
            .insert(name.to_owned(), Arc::clone(&kept.content));
        Ok(Some(kept.content))
    }

    /// The pre-state of the attempt in progress.
    pub(crate) async fn kept(
        &self,
        name: &str,
        memory: &mut Memory,
    ) -> Result<Option<LivePreState>, RequestError> {
        if let Some(known) = memory.pre_states.get(name) {
            return Ok(Some(known.clone()));
        }
        let kept = self.live_pre_state(name).await?;
        if let Some(kept) = &kept {
            memory.pre_states.insert(name.to_owned(), kept.clone());
        }
        Ok(kept)
    }
}
