//! Telling clients what has changed: by subscriptions of a session in the older era, by a stream of its own in the newer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use fedp2p_protocols::api::watch::Event;
use rmcp::RoleServer;
use rmcp::model::{ErrorData, ResourceUpdatedNotificationParam};
use rmcp::service::{Peer, SubscriptionContext};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::link::Link;
use super::resources::Name;

/// Most resources that one client follows.
const MAX_FOLLOWED: usize = 256;

/// What the client of a session follows.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    uris: Arc<Mutex<BTreeSet<String>>>,
    teller: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(teller) = self.teller.lock().unwrap_or_else(PoisonError::into_inner).take() {
            teller.abort();
        }
    }
}

impl Followed {
    /// Follows a resource from now on.
    ///
    /// # Errors
    /// If there is no such resource, or too many are followed.
    pub(crate) fn follow(&self, uri: String, peer: &Peer<RoleServer>, link: &Arc<Link>) -> Result<(), ErrorData> {
        if Name::parse(&uri).is_none() {
            return Err(ErrorData::resource_not_found("no such resource; resources/list names them", None));
        }
        let mut uris = self.uris.lock().unwrap_or_else(PoisonError::into_inner);
        if uris.len() >= MAX_FOLLOWED {
            let message = format!("at most {MAX_FOLLOWED} resources can be followed");
            return Err(ErrorData::invalid_params(message, None));
        }
        uris.insert(uri);
        let mut teller = self.teller.lock().unwrap_or_else(PoisonError::into_inner);
        if teller.as_ref().is_none_or(JoinHandle::is_finished) {
            *teller = Some(tokio::spawn(tell(Arc::clone(link), Arc::clone(&self.uris), peer.clone())));
        }
        Ok(())
    }

    /// Follows a resource no longer.
    pub(crate) fn leave(&self, uri: &str) {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
    }
}

async fn tell(link: Arc<Link>, uris: Arc<Mutex<BTreeSet<String>>>, peer: Peer<RoleServer>) {
    let mut events = link.listen();
    loop {
        let event = match events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        let followed: Vec<String> = uris.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        for uri in changed(followed, event.as_ref()) {
            if peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await.is_err() {
                return;
            }
        }
    }
}

/// Those of `uris` that an event changed; all of them after events that were missed.
fn changed(uris: Vec<String>, event: Option<&Event>) -> Vec<String> {
    let Some(event) = event else { return uris };
    uris.into_iter().filter(|uri| Name::parse(uri).is_some_and(|name| name.is_changed_by(event))).collect()
}

/// Tells on a stream of its own what changes, until the client ends it.
pub(crate) async fn stream(link: &Link, context: &SubscriptionContext) {
    let mut events = link.listen();
    let followed = context.accepted().resource_subscriptions.clone().unwrap_or_default();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = context.cancelled() => return,
        };
        let event = match event {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        for uri in changed(followed.clone(), event.as_ref()) {
            if context.sink().notify_resource_updated(uri).await.is_err() {
                return;
            }
        }
    }
}
