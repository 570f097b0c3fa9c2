//! One sync stream: a task that reads frames for the loop and writes those of the core.
//!
//! The task alone tells the loop that a peer is connected, what it says and that it is gone, so these come in order.
//! When the loop does not keep up the reader waits, and with it the sender on the other machine. The writer takes
//! frames from a bounded queue; when that is full the worker ends the session, and the next one starts over.

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::MAX_FRAME_BYTES;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::Event;
use super::frames::{self, FrameError};

/// Most frames that wait to be written.
pub(super) const MAX_QUEUED_FRAMES: usize = 1024;
/// Bytes that are gathered before they are flushed, and that one read asks for.
const BATCH_BYTES: usize = 64 * 1024;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SessionError {
    /// The stream broke, or a frame was too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The worker or the loop does not want it any longer.
    #[error("ended here")]
    Cancelled,
}

impl SessionError {
    /// Whether the peer broke the protocol.
    pub(super) fn is_violation(&self) -> bool {
        matches!(self, Self::Frame(FrameError::TooLarge { .. }))
    }
}

/// One session.
pub(super) struct Session {
    pub(super) peer: NodeId,
    /// The peer's address, for people.
    pub(super) address: String,
    /// Frames to write.
    pub(super) frames: mpsc::Receiver<Vec<u8>>,
    pub(super) events: mpsc::Sender<Event>,
    /// Ends the session when its other half is dropped or used.
    pub(super) cancel: oneshot::Receiver<()>,
}

impl Session {
    /// Runs until the stream or the session is ended; returns why.
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> SessionError {
        let Self { peer, address, frames, events, cancel } = self;
        if events.send(Event::Connected { peer, address }).await.is_err() {
            return SessionError::Cancelled;
        }
        let (reader, writer) = stream.split();
        let ended = tokio::select! {
            ended = read(peer, reader, &events) => ended,
            ended = write(writer, frames) => ended,
            _ended = cancel => SessionError::Cancelled,
        };
        if events.send(Event::Disconnected { peer }).await.is_err() {
            return SessionError::Cancelled;
        }
        ended
    }
}

async fn read(peer: NodeId, reader: impl AsyncRead + Unpin, events: &mpsc::Sender<Event>) -> SessionError {
    let mut reader = BufReader::with_capacity(BATCH_BYTES, reader);
    loop {
        let frame = match frames::read(&mut reader, MAX_FRAME_BYTES).await {
            Ok(frame) => frame,
            Err(error) => return error.into(),
        };
        if events.send(Event::Frame { peer, frame }).await.is_err() {
            return SessionError::Cancelled;
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Vec<u8>>) -> SessionError {
    let mut buffer = Vec::new();
    while let Some(frame) = frames.recv().await {
        frames::append(&mut buffer, &frame);
        while buffer.len() < BATCH_BYTES
            && let Ok(frame) = frames.try_recv()
        {
            frames::append(&mut buffer, &frame);
        }
        let written = async {
            writer.write_all(&buffer).await?;
            writer.flush().await
        };
        if let Err(error) = written.await {
            return FrameError::Io(error).into();
        }
        buffer.clear();
        buffer.shrink_to(4096);
    }
    SessionError::Cancelled
}
