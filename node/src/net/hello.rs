//! The hello on one stream; what is said is in [`fedp2p_protocols::hello`].
//!
//! Each end runs as a task of its own and asks the core, through the worker's queues, whether to admit the other. The
//! end that was dialled gets the core's yes only after its gate is open, so the last byte tells the dialler that its
//! streams will be answered.

use std::time::Duration;

use fedp2p_core::input::Exchange;
use fedp2p_protocols::certificate::ChainError;
use fedp2p_protocols::hello::{Knock, Welcome};
use fedp2p_protocols::id::{NodeId, OrganisationId};
use fedp2p_protocols::limits::MAX_JOIN_BYTES;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use rand_core::{OsRng, RngCore as _};
use tokio::sync::{mpsc, oneshot};

use super::Event;
use super::frames::{self, FrameError};

/// How long one message may take, and the core's answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest knock that is looked at.
const MAX_KNOCK_BYTES: usize = 64;

/// A hello failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum HelloError {
    /// The stream broke, or the other end closed it because it does not know us.
    #[error("no answer")]
    Frame(#[from] FrameError),
    /// The other end took too long.
    #[error("timeout")]
    Timeout(#[from] tokio::time::error::Elapsed),
    /// The other end does not know our organisation.
    #[error("a stranger knocked")]
    Knock,
    /// What it says of itself is not valid.
    #[error("not a valid certificate")]
    Welcome(#[from] ChainError),
    /// It shows the certificate of somebody else.
    #[error("a certificate of another node")]
    Subject,
    /// The core does not admit it.
    #[error("not admitted")]
    Refused,
}

impl From<std::io::Error> for HelloError {
    fn from(error: std::io::Error) -> Self {
        Self::Frame(FrameError::Io(error))
    }
}

/// One end's part of a hello.
pub(super) struct Hello {
    pub(super) organisation: OrganisationId,
    pub(super) me: NodeId,
    pub(super) peer: NodeId,
    pub(super) exchange: Exchange,
    /// What we say of ourselves, encoded.
    pub(super) welcome: Vec<u8>,
    pub(super) events: mpsc::Sender<Event>,
    /// The core's answer.
    pub(super) verdict: oneshot::Receiver<bool>,
}

impl Hello {
    /// The dialling end.
    ///
    /// # Errors
    /// If either end does not admit the other.
    pub(super) async fn dial(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), HelloError> {
        let mut nonce = [0; 16];
        OsRng.fill_bytes(&mut nonce);
        let knock = Knock::new(&self.organisation, nonce, &self.me, &self.peer);
        frames::write(&mut stream, &knock.encode()).await?;
        let read = frames::read(&mut stream, MAX_JOIN_BYTES);
        let theirs = tokio::time::timeout(TIMEOUT, read).await??;
        let own = self.welcome.clone();
        self.judge(&theirs).await?;
        frames::write(&mut stream, &own).await?;
        let mut admitted = [0];
        tokio::time::timeout(TIMEOUT, stream.read_exact(&mut admitted)).await??;
        match admitted {
            [1] => Ok(()),
            _ => Err(HelloError::Refused),
        }
    }

    /// The end that was dialled. Says nothing to who does not know the organisation.
    ///
    /// # Errors
    /// If either end does not admit the other.
    pub(super) async fn listen(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), HelloError> {
        let read = frames::read(&mut stream, MAX_KNOCK_BYTES);
        let knock = tokio::time::timeout(TIMEOUT, read).await??;
        let known = Knock::decode(&knock).is_ok_and(|knock| knock.is_for(&self.organisation, &self.peer, &self.me));
        if !known {
            return Err(HelloError::Knock);
        }
        frames::write(&mut stream, &self.welcome).await?;
        let read = frames::read(&mut stream, MAX_JOIN_BYTES);
        let theirs = tokio::time::timeout(TIMEOUT, read).await??;
        self.judge(&theirs).await?;
        stream.write_all(&[1]).await?;
        stream.flush().await?;
        // The dialler closes the stream once it has read the byte; dropping our end earlier could reset it unread.
        let _ended = tokio::time::timeout(TIMEOUT, stream.read(&mut [0])).await;
        Ok(())
    }

    async fn judge(self, theirs: &[u8]) -> Result<(), HelloError> {
        let welcome = Welcome::decode(theirs)?;
        if welcome.chain.subject() != self.peer {
            return Err(HelloError::Subject);
        }
        let event = Event::Hello { exchange: self.exchange, peer: self.peer, welcome: Box::new(welcome) };
        let asked = async {
            self.events.send(event).await.ok()?;
            self.verdict.await.ok()
        };
        match tokio::time::timeout(TIMEOUT, asked).await? {
            Some(true) => Ok(()),
            Some(false) | None => Err(HelloError::Refused),
        }
    }
}
