//! Waiting for a stop, and for what the start requires.

use std::time::Duration;

use tokio::sync::watch;

use crate::operator::error::Error;

/// Shortest and longest time until a request that the start requires is retried.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Returns once a stop is requested, or the sender is dropped.
pub(crate) async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A request that the start requires, retried until there is an answer. The API server may be down for a while, and if the
/// operator exited, the kubelet would delay its restart for longer. `None` if a stop came first.
pub(crate) async fn patiently<T, F>(
    stop: &mut watch::Receiver<bool>,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<Option<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match ask().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if error.stays() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, after_seconds = pause.as_secs_f32(), "A request failed and is retried: {what}.");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = asked(stop) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use kube::core::Status;
    use tokio::time::Instant;

    use super::*;

    fn answered(code: u16) -> Error {
        let status = Status {
            code,
            ..Status::default()
        };
        Error::WhoAmI(Box::new(kube::Error::Api(Box::new(status))))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_needed_to_begin_is_asked_for_until_there_is_an_answer() {
        let (_stop, mut stopped) = watch::channel(false);
        let (asked, began) = (Cell::new(0), Instant::now());
        let ask = || {
            asked.set(asked.get() + 1);
            let away = asked.get() < 4;
            async move { if away { Err(answered(503)) } else { Ok("signalbox") } }
        };
        let answer = patiently(&mut stopped, "the operator's user name", ask).await;
        assert!(matches!(answer, Ok(Some("signalbox"))), "{answer:?}");
        assert_eq!((asked.get(), began.elapsed().as_millis()), (4, 500 + 1000 + 2000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_that_is_missing_is_said_at_once_and_a_stop_ends_the_asking() {
        let (stop, mut stopped) = watch::channel(false);
        let forbidden = patiently::<(), _>(&mut stopped, "it", || async { Err(answered(403)) }).await;
        assert!(matches!(forbidden, Err(Error::WhoAmI(_))), "{forbidden:?}");
        stop.send_replace(true);
        let stopped = patiently::<(), _>(&mut stopped, "it", || async { Err(answered(500)) }).await;
        assert!(matches!(stopped, Ok(None)), "{stopped:?}");
    }
}
