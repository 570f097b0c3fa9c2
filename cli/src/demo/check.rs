//! Expectations, and waiting for them.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::Error;

/// How long something may take that has to happen.
pub(super) const LIMIT: Duration = Duration::from_secs(15);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(1);
/// How often to look where looking is work for the nodes.
const LOOK_SELDOM: Duration = Duration::from_millis(25);

/// Returns the failure of the demo in words.
pub(super) fn failed(message: impl Into<String>) -> Error {
    Error::Demo { message: message.into() }
}

/// Fails unless `holds`.
pub(super) fn expect(holds: bool, message: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(failed(message())) }
}

/// Looks again and again until `look` finds something, and returns it. `what` completes "waited for …".
pub(super) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Result<Option<T>, Error>) -> Result<T, Error> {
    every(LOOK, what, look).await
}

/// As [`until`], for what takes the nodes some work to tell.
pub(super) async fn until_seldom<T>(
    what: &str,
    look: impl AsyncFnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    every(LOOK_SELDOM, what, look).await
}

async fn every<T>(
    pause: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if started.elapsed() > LIMIT {
            return Err(failed(format!("waited {} s in vain for {what}", LIMIT.as_secs())));
        }
        sleep(pause).await;
    }
}
