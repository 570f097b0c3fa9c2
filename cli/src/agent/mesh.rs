//! Calls to the daemon that outlast it: while none runs, they wait until one does.

use std::time::Duration;

use fedp2p_node::client::{CallError, Client, ConnectError};
use fedp2p_node::home::Home;
use fedp2p_protocols::api::{self, Access, Caller, ErrorCode, Operation};
use tokio::time::sleep;

use crate::error::Error;

/// How long to wait before the daemon is looked for again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a call waits for its answer. A task that others want too takes a while.
const PATIENCE: Duration = Duration::from_secs(150);

/// Where the daemon is found, and who speaks.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// The folders of the node.
    pub(crate) home: Home,
    /// Who speaks.
    pub(crate) caller: Caller,
}

impl Door {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// If there is none that we can talk to.
    pub(crate) async fn connect(&self) -> Result<Client, ConnectError> {
        let mut client = Client::connect(&self.home, self.caller.clone()).await?;
        client.set_patience(PATIENCE);
        Ok(client)
    }

    /// Calls that outlast the daemon.
    pub(crate) fn calls(&self) -> Calls {
        Calls { door: self.clone(), client: None }
    }
}

/// Whether it is worth trying again to connect.
pub(crate) fn may_pass(error: &ConnectError) -> bool {
    match error {
        ConnectError::NoDaemon | ConnectError::Silent | ConnectError::Io(_) => true,
        ConnectError::Refused(error) => error.code == ErrorCode::Busy,
        ConnectError::OtherUser { .. } | ConnectError::Version { .. } | ConnectError::Protocol(_) => false,
        ConnectError::Home(_) | _ => false,
    }
}

/// The refusal that an error is, if it is one.
pub(crate) fn refusal(error: &Error) -> Option<&api::Error> {
    if let Error::Call(CallError::Refused(error)) = error { Some(error) } else { None }
}

/// Doubles up to its limit.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE.0)
    }
}

impl Pause {
    /// How long to wait this time.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE.1);
        pause
    }
}

/// One call after another, on a connection that is made anew when it has broken.
#[derive(Debug)]
pub(crate) struct Calls {
    door: Door,
    client: Option<Client>,
}

impl Calls {
    /// Makes a call, however long there is no daemon.
    ///
    /// # Errors
    /// If it is refused, or the daemon cannot be talked to at all. [`CallError::Lost`] comes back for what may have been
    /// done: the caller has to look.
    pub(crate) async fn call<O: Operation + Clone>(&mut self, operation: O) -> Result<O::Reply, Error> {
        let mut pause = Pause::default();
        loop {
            match self.attempt(&operation).await {
                Err(Error::Connect(error)) if may_pass(&error) => {}
                Err(Error::Call(CallError::NotSent(_) | CallError::Lost { access: Access::Read })) => {}
                Err(Error::Call(CallError::Refused(error))) if error.code == ErrorCode::Busy => {}
                result => return result,
            }
            sleep(pause.next()).await;
        }
    }

    /// Makes a call once.
    ///
    /// # Errors
    /// As [`Calls::call`], and if there is no daemon.
    pub(crate) async fn attempt<O: Operation + Clone>(&mut self, operation: &O) -> Result<O::Reply, Error> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.door.connect().await?,
        };
        let result = client.call(operation.clone()).await;
        // After anything but an answer the connection is of no use.
        if matches!(result, Ok(_) | Err(CallError::Refused(_) | CallError::TooLarge { .. })) {
            self.client = Some(client);
        }
        Ok(result?)
    }
}

/// Whether a call may have been done and its answer was lost.
pub(crate) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Call(CallError::Lost { .. }))
}
