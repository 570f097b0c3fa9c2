//! One sync stream per member: a task that reads frames for the loop and writes those of the core.
//!
//! The end with the smaller node id opens the stream. When that end believes in an older session that is really dead,
//! the other opens one after three seconds; the newest stream always wins.
//!
//! The task alone tells the loop that a peer is connected, what it says and that it is gone, so these come in order.
//! When the loop does not keep up the reader waits, and with it the sender on the other machine. The writer takes
//! frames from a bounded queue; when that is full the worker ends the session, and the next one starts over.

use std::time::Duration;

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::MAX_FRAME_BYTES;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use libp2p::PeerId;
use libp2p::swarm::{ConnectionId, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::connections::{Connection, Report};
use super::frames::{self, FrameError};
use super::streams::Kind;
use super::worker::Worker;
use super::{Counters, Event, address};

/// Most frames that wait to be written.
const MAX_QUEUED_FRAMES: usize = 1024;
/// Bytes that are gathered before they are flushed, and that one read asks for.
const BATCH_BYTES: usize = 64 * 1024;

/// How long the end with the larger node id waits for the other to open the sync stream.
const OTHER_OPENS: Duration = Duration::from_secs(3);
/// A session that is younger is not replaced by another stream: a peer could make the loop spin by opening many.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a frame may take to come. Cores say something every 5 seconds, so a peer that takes longer is gone, and
/// TCP would not say so for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(20);
/// First and longest delay before a failed sync stream is opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SessionError {
    /// The stream broke, or a frame was too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Nothing came for too long: the connection is dead.
    #[error("silent for too long")]
    Silent,
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
        let frame = match timeout(SILENCE, frames::read(&mut reader, MAX_FRAME_BYTES)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return error.into(),
            Err(_) => return SessionError::Silent,
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

/// What is common to the connections of one member.
#[derive(Default)]
pub(super) struct Peer {
    session: Option<Running>,
    /// The stream of the next session, which begins when this one has ended.
    next: Option<(ConnectionId, Stream)>,
    /// When to open a sync stream.
    open_at: Option<Instant>,
    failures: u32,
}

struct Running {
    connection: ConnectionId,
    since: Instant,
    frames: mpsc::Sender<Vec<u8>>,
    cancel: Option<oneshot::Sender<()>>,
}

impl Worker {
    /// A peer has a connection for a sync stream.
    pub(super) fn plan_session(&mut self, peer: PeerId, node: &NodeId, now: Instant) {
        let known = self.peers.entry(peer).or_default();
        if known.session.is_none() && known.next.is_none() {
            let wait = if self.me < *node { Duration::ZERO } else { OTHER_OPENS };
            known.open_at = Some(now + wait);
        }
    }

    /// Ends what runs on a connection that is closed.
    pub(super) fn end_session_on(&mut self, peer: PeerId, id: ConnectionId, remaining: u32) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.next.take_if(|(connection, _)| *connection == id);
        if let Some(session) = known.session.as_mut().filter(|session| session.connection == id) {
            session.cancel = None;
        }
        if remaining == 0 && known.session.is_none() {
            self.peers.remove(&peer);
        }
    }

    /// Ends a peer's session and plans none.
    pub(super) fn end_session(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.next = None;
            known.open_at = None;
            if let Some(session) = &mut known.session {
                session.cancel = None;
            }
        }
    }

    pub(super) fn start_session(&mut self, id: ConnectionId, stream: Stream, now: Instant) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let known = self.peers.entry(connection.peer).or_default();
        known.open_at = None;
        if let Some(session) = &mut known.session {
            if session.cancel.is_some() && now - session.since < SETTLED {
                return;
            }
            // The newest stream wins; it begins when the task of the old one has told the loop of its end.
            session.cancel = None;
            known.next = Some((id, stream));
            return;
        }
        let (frames, queue) = mpsc::channel(MAX_QUEUED_FRAMES);
        let (cancel, cancelled) = oneshot::channel();
        known.session = Some(Running { connection: id, since: now, frames, cancel: Some(cancel) });
        let session = Session {
            peer: connection.node,
            address: connection.remote.to_string(),
            frames: queue,
            events: self.events.clone(),
            cancel: cancelled,
        };
        let peer = connection.peer;
        self.tasks.spawn(async move { Report::Session(peer, session.run(stream).await) });
    }

    pub(super) fn on_session_ended(&mut self, peer: PeerId, ended: &SessionError, now: Instant) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let session = known.session.take();
        if session.as_ref().is_some_and(|session| now - session.since > REOPEN.1) {
            known.failures = 0;
        }
        if let (SessionError::Silent, Some(session)) = (ended, &session) {
            // What else goes over it is dead too. Once it is closed the dialler looks for another way.
            self.close(session.connection);
        }
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if let (true, Some(node)) = (ended.is_violation(), address::node_of(&peer)) {
            self.disconnect(&node, &ended.to_string());
        } else if let Some((id, stream)) = known.next.take() {
            self.start_session(id, stream, now);
        } else {
            self.postpone_session(peer, now);
        }
    }

    /// Plans the next sync stream, if there is a connection for it.
    pub(super) fn postpone_session(&mut self, peer: PeerId, now: Instant) {
        self.stirred = true;
        let node = self.member_connection(&peer).map(|(_, connection)| connection.node);
        let Some(known) = self.peers.get_mut(&peer).filter(|known| known.session.is_none()) else {
            return;
        };
        let Some(node) = node else {
            self.peers.remove(&peer);
            return;
        };
        let delay = REOPEN.0.saturating_mul(1 << known.failures.min(8)).min(REOPEN.1);
        known.failures += 1;
        known.open_at = Some(now + if self.me < node { delay } else { delay + OTHER_OPENS });
    }

    fn member_connection(&self, peer: &PeerId) -> Option<(ConnectionId, &Connection)> {
        self.connections
            .iter()
            .filter(|(_, connection)| connection.peer == *peer && connection.is_member())
            .map(|(id, connection)| (*id, connection))
            .max_by_key(|(id, _)| *id)
    }

    /// Opens the sync streams that are due; returns when the next one is.
    pub(super) fn open_sessions(&mut self, now: Instant) -> Option<Instant> {
        let due: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, known)| known.open_at.is_some_and(|at| at <= now))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            let id = self.member_connection(&peer).map(|(id, _)| id);
            if let Some(known) = self.peers.get_mut(&peer) {
                known.open_at = None;
            }
            if let Some(id) = id {
                self.swarm.behaviour_mut().streams.open(peer, id, Kind::Sync);
            }
        }
        self.peers.values().filter_map(|known| known.open_at).min()
    }

    pub(super) fn send_frame(&mut self, node: &NodeId, frame: Vec<u8>) {
        let session = address::peer_of(node)
            .and_then(|peer| self.peers.get_mut(&peer))
            .and_then(|known| known.session.as_mut())
            .filter(|session| session.cancel.is_some());
        let Some(session) = session else {
            return Counters::add(&self.counters.frames_unsent);
        };
        if session.frames.try_send(frame).is_err() {
            session.cancel = None;
            Counters::add(&self.counters.frames_unsent);
            self.notice(format!("node {} does not keep up with sync; its session starts over", node.short()));
        }
    }
}
