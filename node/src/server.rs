//! The local socket: takes the calls of this user's clients to the loop and carries the answers back.
//!
//! The socket lies in a folder that only its user can enter, is itself of mode 0600, and every caller's user is
//! checked. Calls of one connection are answered in order. A client that sends garbage, or does not take what it
//! asked for, loses its connection and nothing else happens.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_protocols::api::{self, Answer, Call, Error, ErrorCode, Greeting, Reply};
use fedp2p_protocols::limits::{MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::frame;

/// Most clients at one time.
const MAX_CLIENTS: usize = 256;
/// How long to wait before accepting again after the system refused.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Most events that wait for one watching client; it is cut off when they do not fit.
const MAX_WAITING_EVENTS: usize = 1024;
/// Most calls that wait for the loop.
pub(crate) const MAX_WAITING_CALLS: usize = 1024;

/// A call on its way to the loop, and where its answers go.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) call: Call,
    pub(crate) answers: mpsc::Sender<Answer>,
    /// Ends when the client has gone.
    pub(crate) gone: oneshot::Receiver<()>,
}

/// The listening socket. Dropping it stops listening and removes the file.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // The file may be gone already; a new daemon removes what is left.
        let _removed = std::fs::remove_file(&self.path);
    }
}

impl Server {
    /// Listens at `path`. The caller holds the lock of the home folder, so a socket that is there is a dead one.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub(crate) fn start(path: &Path, calls: mpsc::Sender<Incoming>) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let task = tokio::spawn(accept(listener, calls));
        Ok(Self { path: path.to_owned(), task })
    }
}

async fn accept(listener: UnixListener, calls: mpsc::Sender<Incoming>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let us = rustix::process::geteuid().as_raw();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: clients that are served will free some.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let allowed = stream.peer_cred().is_ok_and(|caller| caller.uid() == us || caller.uid() == 0);
        if !allowed {
            continue;
        }
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let calls = calls.clone();
            drop(tokio::spawn(async move {
                // However a client's connection ends, it concerns that client alone.
                let _ended = serve(stream, calls).await;
                drop(place);
            }));
        } else {
            // A client that is gone already need not be told.
            let _told = turn_away(stream);
        }
    }
}

/// Tells a client that there is no place for it: a connection that just ends would look like no daemon at all.
fn turn_away(stream: UnixStream) -> Result<(), frame::Error> {
    let refusal = Error::new(ErrorCode::Busy, "the daemon serves too many clients").hint("try again in a moment");
    let frame = frame::encode(&Answer::Error(refusal), MAX_REPLY_BYTES)?;
    // The buffer of a new connection is empty, so this does not block.
    stream.into_std()?.write_all(&frame)?;
    Ok(())
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Incoming>) -> Result<(), frame::Error> {
    let (read, mut write) = stream.into_split();
    let greeting = Greeting { fedp2p: env!("CARGO_PKG_VERSION").to_owned(), api: api::VERSION };
    frame::write_json(&mut write, &greeting, MAX_REPLY_BYTES).await?;
    let mut reader = frame::Reader::new(read, MAX_REQUEST_BYTES);
    loop {
        let bytes = match reader.read().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(error) => {
                let refusal = Error::new(ErrorCode::Invalid, error.to_string());
                frame::write_json(&mut write, &Answer::Error(refusal), MAX_REPLY_BYTES).await?;
                return Err(error);
            }
        };
        let call: Call = match serde_json::from_slice(&bytes) {
            Ok(call) => call,
            Err(error) => {
                let refusal = Error::new(ErrorCode::Invalid, format!("the request cannot be read: {error}"))
                    .hint("client and daemon may be of different versions");
                frame::write_json(&mut write, &Answer::Error(refusal), MAX_REPLY_BYTES).await?;
                continue;
            }
        };
        let (answers, mut answered) = mpsc::channel(MAX_WAITING_EVENTS);
        // Dropped with this connection, or once the call has its answer.
        let (_here, gone) = oneshot::channel();
        let Some(answer) = ask(&calls, Incoming { call, answers, gone }, &mut answered).await else { return Ok(()) };
        let watching = matches!(answer, Answer::Ok(Reply::Watch(_)));
        write_answer(&mut write, answer).await?;
        if watching {
            return events(reader, write, answered).await;
        }
    }
}

/// Hands a call to the loop and waits for the answer; nothing if the daemon is stopping.
async fn ask(
    calls: &mpsc::Sender<Incoming>,
    incoming: Incoming,
    answered: &mut mpsc::Receiver<Answer>,
) -> Option<Answer> {
    match calls.try_send(incoming) {
        Ok(()) => answered.recv().await,
        Err(mpsc::error::TrySendError::Full(_)) => {
            Some(Answer::Error(Error::new(ErrorCode::Busy, "too many calls wait").hint("try again in a moment")))
        }
        Err(mpsc::error::TrySendError::Closed(_)) => None,
    }
}

async fn write_answer(write: &mut OwnedWriteHalf, answer: Answer) -> Result<(), frame::Error> {
    match frame::write_json(write, &answer, MAX_REPLY_BYTES).await {
        Err(frame::Error::TooLarge { .. }) => {
            let refusal =
                Error::new(ErrorCode::TooLarge, "the answer is too large").hint("ask for fewer rows: --limit N");
            frame::write_json(write, &Answer::Error(refusal), MAX_REPLY_BYTES).await
        }
        result => result,
    }
}

/// Carries events to a watching client until either side ends.
async fn events(
    mut reader: frame::Reader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    mut answered: mpsc::Receiver<Answer>,
) -> Result<(), frame::Error> {
    loop {
        tokio::select! {
            answer = answered.recv() => match answer {
                Some(answer) => frame::write_json(&mut write, &answer, MAX_REPLY_BYTES).await?,
                None => return Ok(()),
            },
            // A watching client has nothing more to say: whatever comes is its end.
            _ = reader.read() => return Ok(()),
        }
    }
}
