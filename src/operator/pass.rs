//! One reconcile of one object, in this process.

use jiff::Timestamp;

use crate::apply::Applier;
use crate::cache::index::Key;
use crate::cluster::request_error::RequestError;
use crate::decide::decide;
use crate::observe::Observer;
use crate::operator::context::Context;
use crate::operator::unreadable;
use crate::reconcile::{self, Next};

/// Observes, decides and applies once. For an object that cannot be read, the reason is written to its status, and nothing else.
pub(crate) async fn pass(context: &Context, key: &Key) -> Result<Next, RequestError> {
    let observer = &context.observer;
    if say_unreadable(observer, key).await? {
        return Ok(Next::Rest);
    }
    let applier = Applier {
        client: observer.client(),
        knowledge: observer.knowledge(),
        settings: observer.settings(),
        own: Some(key),
        reporter: &context.reporter,
        stopping: &context.stopping,
        term: &context.term,
    };
    let done = reconcile::pass(observer, decide, &applier, key, Timestamp::now()).await?;
    context.metrics.count(&done.ended);
    Ok(done.next)
}

/// Whether the object cannot be read; the reason is then written to its status.
async fn say_unreadable(observer: &Observer, key: &Key) -> Result<bool, RequestError> {
    let client = observer.client();
    match key {
        Key::Release { namespace, name } => {
            let Some(why) = observer.index().unreadable(namespace, name).cloned() else {
                return Ok(false);
            };
            unreadable::say(client, namespace, name, &why).await?;
        }
        Key::Environment { name } => {
            let Some(why) = observer.index().unreadable_environment(name).cloned() else {
                return Ok(false);
            };
            unreadable::say_environment(client, name, &why).await?;
        }
        Key::Orphans => return Ok(false),
    }
    Ok(true)
}
