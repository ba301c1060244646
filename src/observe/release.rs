//! Everything that decisions about a Release depend on: the watch caches, and for each promotion the answers to what its state asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::Decision;
use crate::api::release::Promotion;
use crate::cache::index::is_newer;
use crate::cache::memory::Memory;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::ask::Moment;
use crate::decide::facts::{Observed, Place};
use crate::decide::states::{self, before_entry};
use crate::decide::{accepted, order};
use crate::observe::altered::altered;
use crate::observe::observer::Observer;

impl<C: Requests> Observer<C> {
    /// Everything that decisions about a Release depend on; `None` where it no longer exists.
    ///
    /// # Errors
    /// A read that failed and that the decision needs.
    pub async fn release(
        &self,
        namespace: &str,
        name: &str,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Option<Observed>, RequestError> {
        let Some(mut observed) = self.known(namespace, name) else {
            return Ok(None);
        };
        observed.plan_hashes = memory.plan_hashes.of(&observed.release);
        observed.seed = self.client().seed()?;
        let accepted = accepted::judge(&observed).holds();
        let listed = order::listed(&observed);
        memory.plan_hashes.keep(&observed, &listed);
        let rejects: Vec<Arc<Decision>> = {
            let index = self.index();
            let plans = listed.iter().filter(|p| p.state.before_entry());
            plans
                .flat_map(|p| index.rejects(namespace, &p.plan_hash))
                .cloned()
                .collect()
        };
        observed.know(rejects);
        for promotion in listed {
            let place = self
                .place(&mut observed, &promotion, accepted, memory, now)
                .await?;
            if let Some(place) = place {
                observed.places.insert(promotion.name.clone(), place);
            }
        }
        Ok(Some(observed))
    }

    fn known(&self, namespace: &str, name: &str) -> Option<Observed> {
        let index = self.index();
        let release = index.whole(namespace, name)?;
        let siblings = index.siblings(&release);
        let uid = release.metadata.uid.clone().unwrap_or_default();
        let older = siblings
            .iter()
            .filter(|s| is_newer(&release, s))
            .filter_map(|s| s.metadata.uid.as_deref());
        let pre_states = older
            .chain([uid.as_str()])
            .flat_map(|uid| index.pre_states_of(uid))
            .cloned()
            .collect();
        let own_claims = index.claims_of(&uid).cloned().collect();
        let remembered = index.remembered_of(&release);
        let altered = altered(&index, &release);
        Some(Observed {
            remembered,
            altered,
            settings: Arc::clone(self.settings()),
            environments: index.environments(),
            decisions: index.decisions(namespace, name),
            reviews: index.reviews(namespace, name),
            trust: self.trusted(&index),
            namespace_labels: index
                .namespace(namespace)
                .map(|n| n.labels.clone())
                .unwrap_or_default(),
            places: BTreeMap::new(),
            plan_hashes: Arc::default(),
            surplus: Vec::new(),
            siblings,
            pre_states,
            own_claims,
            seed: String::new(),
            release,
        })
    }

    /// The facts about one promotion: the cached state of its target namespace, and the answers to what its state asks.
    async fn place(
        &self,
        o: &mut Observed,
        p: &Promotion,
        accepted: bool,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Option<Place>, RequestError> {
        let Some(namespace) = states::looks_at(o, p, accepted) else {
            return Ok(None);
        };
        let mut place = self.indexed(o, p, &namespace);
        let moment = before_entry::moment(o, p, &place);
        place.live = moment != Moment::Waiting;
        let mut asks = states::asks(o, p, &place, moment, now);
        let mut answered = 0;
        while let Some(ask) = asks.get(answered) {
            self.answer(ask, o, p, &namespace, &mut place, memory, now)
                .await?;
            answered += 1;
            if ask.leads_to_others() {
                asks = states::asks(o, p, &place, moment, now);
            }
        }
        Ok(Some(place))
    }
}
