//! Clients for tests that are not asynchronous.

use std::time::Duration;

use fedp2p_node::client::{CallError, Client, Watch};
use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::api::{Operation, send, watch};
use tokio::runtime::Runtime;

use crate::PATIENCE;

/// A message to one or several agents, or to everybody.
pub fn message(to: &[&str], text: &str) -> send::Request {
    let to = to.iter().map(|to| (*to).to_owned()).collect();
    send::Request { to, text: text.to_owned(), ..send::Request::default() }
}

/// A client with its own runtime, for tests that are not asynchronous.
#[derive(Debug)]
pub struct Session {
    pub(super) client: Client,
    pub(super) runtime: Runtime,
}

impl Session {
    /// Makes one call.
    ///
    /// # Errors
    /// As the client's.
    pub fn call<O: Operation>(&mut self, operation: O) -> Result<O::Reply, CallError> {
        self.runtime.block_on(self.client.call(operation))
    }

    /// Sets how long the calls from now on wait for their answers.
    pub fn set_patience(&mut self, patience: Duration) {
        self.client.set_patience(patience);
    }

    /// Watches what happens.
    ///
    /// # Panics
    /// If that is refused.
    pub fn watch(self, topics: &[Topic]) -> Events {
        let request = watch::Request { topics: topics.to_vec(), ..Default::default() };
        let watch = self.runtime.block_on(self.client.watch(request)).unwrap();
        Events { watch, runtime: self.runtime }
    }
}

/// The events of a daemon.
#[derive(Debug)]
pub struct Events {
    watch: Watch,
    runtime: Runtime,
}

impl Events {
    /// Waits for the next event that `pick` takes.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let events = async {
            loop {
                let event = self.watch.next().await.unwrap().expect("the daemon runs");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        let found = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, events).await });
        found.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
    }
}
