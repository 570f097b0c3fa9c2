//! The client's end of the local socket. Commands, tests and the other doors all talk to a daemon through it.
//!
//! A [`Client`] makes one call after another. [`Client::watch`] turns the connection into a stream of events. The
//! client checks that the daemon runs as the same user and speaks the same version before it says anything.

use std::io;
use std::time::Duration;

use fedp2p_protocols::api::{self, Access, Answer, Call, Caller, Greeting, Operation, watch};
use fedp2p_protocols::limits::{MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::frame;
use crate::home::{self, Home};

/// How long a daemon has to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before knocking again at a daemon with a full queue.
const KNOCK_AGAIN: Duration = Duration::from_millis(10);
/// How long a call waits for its answer unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a daemon's version is before or after ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// The daemon is older than this program.
    Older,
    /// The daemon is newer than this program.
    Newer,
}

/// Why there is no connection to a daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No daemon runs with this home.
    #[error("no daemon is running")]
    NoDaemon,
    /// The daemon or its home belong to somebody else.
    #[error("the daemon belongs to another user ({owner})")]
    OtherUser {
        /// That user's number.
        owner: u32,
    },
    /// The daemon speaks another version of the API.
    #[error("the running daemon is version {daemon} and this program is version {ours}")]
    Version {
        /// The daemon's version.
        daemon: String,
        /// This program's version.
        ours: &'static str,
        /// Which of them is behind.
        age: Age,
    },
    /// The daemon does not want to talk.
    #[error(transparent)]
    Refused(api::Error),
    /// The daemon took the call and said nothing.
    #[error("the daemon does not answer")]
    Silent,
    /// What answers is not a daemon of ours.
    #[error("what answers at the socket is not a fedp2p daemon")]
    Protocol(#[source] Option<frame::Error>),
    /// The folders are not usable.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The system refused.
    #[error("the socket cannot be reached")]
    Io(#[from] io::Error),
}

/// Why a call has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The daemon refused it, and nothing was changed.
    #[error(transparent)]
    Refused(api::Error),
    /// It is over the limit and was not sent.
    #[error("the request has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It could not be sent whole, so it was not done.
    #[error("the request could not be sent to the daemon")]
    NotSent(#[source] io::Error),
    /// It was sent and no answer came, so whether it was done is not known.
    #[error("the daemon was asked but did not answer")]
    Lost {
        /// What the call may have done.
        access: Access,
    },
    /// The answer is not one to this call.
    #[error("the daemon gave an answer that makes no sense")]
    Protocol(#[source] Option<frame::Error>),
}

/// A connection to the daemon of one home.
#[derive(Debug)]
pub struct Client {
    reader: frame::Reader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    caller: Caller,
    daemon: String,
    patience: Duration,
    /// A call was begun and its answer not read: the next answer would be the wrong one.
    out_of_step: bool,
}

impl Client {
    /// Connects to the daemon that uses `home`, to speak as `caller`. A daemon that is not where the environment leads
    /// is looked for where it has noted that it is.
    ///
    /// # Errors
    /// If there is none, it is another user's, or it speaks another version.
    pub async fn connect(home: &Home, caller: Caller) -> Result<Self, ConnectError> {
        let (client, greeting) = Self::open(home, caller).await?;
        check_version(greeting)?;
        Ok(client)
    }

    /// Connects to the daemon that uses `home` even if it speaks another version, for the one call that every version
    /// has to understand: [`down`](api::down).
    ///
    /// # Errors
    /// If there is none, or it is another user's.
    pub async fn connect_any_version(home: &Home, caller: Caller) -> Result<Self, ConnectError> {
        Ok(Self::open(home, caller).await?.0)
    }

    async fn open(home: &Home, caller: Caller) -> Result<(Self, Greeting), ConnectError> {
        let error = match Self::open_at(home, caller.clone()).await {
            Err(error @ (ConnectError::NoDaemon | ConnectError::Home(_) | ConnectError::OtherUser { .. })) => error,
            result => return result,
        };
        // Whoever has started us may have kept to itself what the environment of the daemon says.
        if home.owner() != Some(rustix::process::geteuid().as_raw()) {
            return Err(error);
        }
        let Some(noted) = home.as_noted()? else { return Err(error) };
        match Self::open_at(&noted, caller).await {
            Err(ConnectError::NoDaemon) => Err(error),
            result => result,
        }
    }

    async fn open_at(home: &Home, caller: Caller) -> Result<(Self, Greeting), ConnectError> {
        let ours = rustix::process::geteuid().as_raw();
        let absent = || match home.owner() {
            Some(owner) if owner != ours => ConnectError::OtherUser { owner },
            _ => ConnectError::NoDaemon,
        };
        match home.check_runtime_dir() {
            Ok(true) => {}
            Ok(false) => return Err(absent()),
            Err(home::Error::OtherUser { owner, .. }) => return Err(ConnectError::OtherUser { owner }),
            Err(error) => return Err(error.into()),
        }
        let deadline = Instant::now() + GREETING_TIMEOUT;
        let stream = match knock(home, deadline).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Err(absent());
            }
            Err(error) => return Err(error.into()),
        };
        let owner = stream.peer_cred()?.uid();
        if owner != ours {
            return Err(ConnectError::OtherUser { owner });
        }
        let (reader, writer) = stream.into_split();
        let mut reader = frame::Reader::new(reader, MAX_REPLY_BYTES);
        let Ok(greeting) = timeout_at(deadline, greeting(&mut reader)).await else {
            return Err(ConnectError::Silent);
        };
        let greeting = greeting?;
        let client =
            Self { reader, writer, caller, daemon: greeting.fedp2p.clone(), patience: PATIENCE, out_of_step: false };
        Ok((client, greeting))
    }

    /// The version of the daemon's program.
    pub fn daemon_version(&self) -> &str {
        &self.daemon
    }

    /// Sets how long the calls from now on wait for their answers; [`PATIENCE`] at first.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Asks the daemon to do `operation` and waits for the reply.
    ///
    /// # Errors
    /// If it is refused, or no answer comes. [`CallError::Lost`] means that it may have been done.
    ///
    /// # Cancel safety
    /// None: after a dropped call the client is of no use, and says so.
    pub async fn call<O: Operation>(&mut self, operation: O) -> Result<O::Reply, CallError> {
        self.send(operation).await?;
        let lost = CallError::Lost { access: O::ACCESS };
        let answer = match timeout(self.patience, self.reader.read_json()).await {
            Err(_) | Ok(Ok(None) | Err(frame::Error::Truncated | frame::Error::Io(_))) => return Err(lost),
            Ok(Err(error)) => return Err(CallError::Protocol(Some(error))),
            Ok(Ok(Some(answer))) => answer,
        };
        match answer {
            Answer::Ok(reply) => {
                let reply = O::reply(reply).ok_or(CallError::Protocol(None))?;
                self.out_of_step = false;
                Ok(reply)
            }
            Answer::Error(error) => {
                self.out_of_step = false;
                Err(CallError::Refused(error))
            }
            Answer::Event(_) => Err(CallError::Protocol(None)),
        }
    }

    /// Turns the connection into the stream of events that `request` asks for. What happens after this has returned
    /// is in the stream.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn watch(mut self, request: watch::Request) -> Result<Watch, CallError> {
        let watch::Reply {} = self.call(request).await?;
        Ok(Watch { client: self })
    }

    /// Waits until the daemon has closed the connection, which it does when it has stopped. Returns whether it did
    /// within `limit`.
    pub async fn closed(mut self, limit: Duration) -> bool {
        let closed = async { while let Ok(Some(_)) = self.reader.read().await {} };
        timeout(limit, closed).await.is_ok()
    }

    async fn send<O: Operation>(&mut self, operation: O) -> Result<(), CallError> {
        if self.out_of_step {
            let reason = "an earlier call on this connection has no answer";
            return Err(CallError::NotSent(io::Error::new(io::ErrorKind::NotConnected, reason)));
        }
        let call = Call { caller: self.caller.clone(), request: operation.into_request() };
        let frame = match frame::encode(&call, MAX_REQUEST_BYTES) {
            Ok(frame) => frame,
            Err(frame::Error::TooLarge { bytes, limit }) => return Err(CallError::TooLarge { bytes, limit }),
            Err(error) => return Err(CallError::Protocol(Some(error))),
        };
        self.out_of_step = true;
        self.writer.write_all(&frame).await.map_err(CallError::NotSent)
    }
}

/// Connects the socket of `home`, again and again while the daemon has its hands full.
async fn knock(home: &Home, deadline: Instant) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(home.socket()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(KNOCK_AGAIN).await;
            }
            result => return result,
        }
    }
}

/// Reads the daemon's greeting.
async fn greeting(reader: &mut frame::Reader<OwnedReadHalf>) -> Result<Greeting, ConnectError> {
    let frame = match reader.read().await {
        Ok(Some(frame)) => frame,
        // A daemon that stops just now has closed the connection.
        Ok(None) => return Err(ConnectError::NoDaemon),
        Err(frame::Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err(ConnectError::NoDaemon);
        }
        Err(error) => return Err(ConnectError::Protocol(Some(error))),
    };
    serde_json::from_slice(&frame).map_err(|error| match serde_json::from_slice(&frame) {
        Ok(Answer::Error(refusal)) => ConnectError::Refused(refusal),
        Ok(Answer::Ok(_) | Answer::Event(_)) | Err(_) => ConnectError::Protocol(Some(error.into())),
    })
}

/// Checks that the daemon speaks our version of the API.
fn check_version(greeting: Greeting) -> Result<(), ConnectError> {
    let age = match greeting.api.cmp(&api::VERSION) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => Age::Older,
        std::cmp::Ordering::Greater => Age::Newer,
    };
    Err(ConnectError::Version { daemon: greeting.fedp2p, ours: env!("CARGO_PKG_VERSION"), age })
}

/// The events that a daemon was asked for.
#[derive(Debug)]
pub struct Watch {
    client: Client,
}

impl Watch {
    /// Returns the next event, or nothing once the daemon has stopped.
    ///
    /// # Errors
    /// If the daemon ends the watch, which it does to a client that does not keep up.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<watch::Event>, CallError> {
        let answer = match self.client.reader.read_json().await {
            Ok(answer) => answer,
            Err(frame::Error::Truncated | frame::Error::Io(_)) => None,
            Err(error) => return Err(CallError::Protocol(Some(error))),
        };
        match answer {
            None => Ok(None),
            Some(Answer::Event(event)) => Ok(Some(event)),
            Some(Answer::Error(error)) => Err(CallError::Refused(error)),
            Some(Answer::Ok(_)) => Err(CallError::Protocol(None)),
        }
    }
}

#[cfg(test)]
mod tests;
