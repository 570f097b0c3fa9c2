//! Starting the daemon when an agent needs it and none runs.

use std::sync::Arc;

use fedp2p_node::client::ConnectError;
use tokio::sync::Mutex;

use crate::command::up;
use crate::context::Context;
use crate::error::Error;

/// Starts the daemon, or says that there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Starter {
    /// How to start it; one at a time. None where that is not wanted.
    context: Option<Arc<Mutex<Context>>>,
}

impl Starter {
    /// One that starts the daemon of this home.
    pub(crate) fn new(context: Context) -> Self {
        Self { context: Some(Arc::new(Mutex::new(context))) }
    }

    /// Starts the daemon in the background unless it runs by now.
    ///
    /// # Errors
    /// If it is not to be started, or does not start.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        let Some(context) = &self.context else { return Err(ConnectError::NoDaemon.into()) };
        let context = context.lock().await;
        match context.connect().await {
            Err(ConnectError::NoDaemon) => up::detach(&up::Start::default(), &context).await.map(drop),
            result => Ok(result.map(drop)?),
        }
    }
}
