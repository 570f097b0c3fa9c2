//! One sync stream per member: a task that reads frames for the loop and writes those of the core.
//!
//! The end with the smaller node id opens the stream; when that does not happen, the other does after three seconds. The
//! newest stream always wins. A session whose answers stay out is in doubt (see [`super::liveness`]): then either end
//! dials another connection, and when that is admitted the stream is opened anew on it and the old connection closed.
//!
//! The task alone tells the loop that a peer is connected, what it says and that it is gone, so these come in order.
//! When the loop does not keep up the reader waits, and with it the sender on the other machine. The writer takes
//! frames from a bounded queue; when that is full the worker ends the session, and the next one starts over. The loop
//! puts frames straight into that queue, by [`Lanes`]; what does not fit goes by way of the worker, which decides, and so
//! do pings, for the worker judges by their answers.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::MAX_FRAME_BYTES;
use fedp2p_protocols::sync::Frame;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use libp2p::PeerId;
use libp2p::swarm::{ConnectionId, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::conduct::{self, Allowance, Charge};
use super::connections::{Connection, Report};
use super::frames::{self, FrameError};
use super::liveness::Liveness;
use super::queue::{Queue, Waiting, queue};
use super::streams::Kind;
use super::worker::Worker;
use super::{Counters, Done, Event, address};

/// Most frames that wait to be written.
const MAX_QUEUED_FRAMES: usize = 1024;
/// Bytes that are gathered before they are flushed, and that one read asks for.
const BATCH_BYTES: usize = 64 * 1024;

/// How many entries are looked at together that a member has pushed beyond its allowance.
const PART: usize = 8;
/// Pauses are saved up to this length: the timer is no finer.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

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

/// The queues of all sessions, for the loop.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<HashMap<NodeId, Queue>>>);

impl Lanes {
    /// Puts a frame into the queue of its session.
    ///
    /// # Errors
    /// With the frame, if there is no session or its queue is full. From then on this session's frames all come back:
    /// they would overtake this one.
    pub(super) fn send(&self, peer: &NodeId, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get(peer) else { return Err(frame) };
        lane.push(frame).inspect_err(|_| drop(lanes.remove(peer)))
    }

    fn open(&self, peer: NodeId, lane: Queue) {
        self.lock().insert(peer, lane);
    }

    fn close(&self, peer: &NodeId) {
        self.lock().remove(peer);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Queue>> {
        // Nothing in here panics halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session.
pub(super) struct Session {
    pub(super) peer: NodeId,
    /// The peer's address, for people.
    pub(super) address: String,
    /// Frames to write.
    pub(super) frames: Waiting,
    pub(super) events: mpsc::Sender<Event>,
    /// When something last came.
    pub(super) heard: Heard,
    /// How much of it is read, and how fast.
    pub(super) allowance: Allowance,
    /// Ends the session when its other half is dropped or used.
    pub(super) cancel: oneshot::Receiver<()>,
}

impl Session {
    /// Runs until the stream or the session is ended; returns why.
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> SessionError {
        let Self { peer, address, frames, events, heard, allowance, cancel } = self;
        if events.send(Event::Connected { peer, address }).await.is_err() {
            return SessionError::Cancelled;
        }
        let (reader, writer) = stream.split();
        let ended = tokio::select! {
            ended = read(peer, reader, &heard, &events, &allowance) => ended,
            ended = write(writer, frames, &allowance) => ended,
            _ended = cancel => SessionError::Cancelled,
        };
        if events.send(Event::Disconnected { peer }).await.is_err() {
            return SessionError::Cancelled;
        }
        ended
    }
}

async fn read(
    peer: NodeId,
    reader: impl AsyncRead + Unpin,
    heard: &Heard,
    events: &mpsc::Sender<Event>,
    allowance: &Allowance,
) -> SessionError {
    let reader = Listening { reader, heard: heard.clone() };
    let mut reader = BufReader::with_capacity(BATCH_BYTES, reader);
    let mut owed = Duration::ZERO;
    loop {
        let frame = match timeout(SILENCE, frames::read(&mut reader, MAX_FRAME_BYTES)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return error.into(),
            Err(_) => return SessionError::Silent,
        };
        let Charge { mut wait, paced } = allowance.charge(&frame, Instant::now());
        // What it sends meanwhile waits on its own machine.
        let taken = heard.without(async {
            // In parts, so that what others sent is never behind many of its entries.
            let parts = if paced.is_some() { Frame::parts(frame, PART) } else { vec![frame] };
            for part in parts {
                let (done, looked_at) = paced.map(|_| oneshot::channel()).unzip();
                let entries = conduct::entries(part.len());
                let room = events.reserve().await?;
                let given = Instant::now();
                room.send(Event::Frame { peer, frame: part, done: done.map(Done) });
                if let (Some(looked_at), Some(times)) = (looked_at, paced) {
                    // Nothing is ever sent: that the other end is gone is the answer.
                    let _gone = looked_at.await;
                    owed += conduct::pause(given.elapsed(), times, entries);
                }
                if owed >= SHORTEST_PAUSE {
                    wait = wait.saturating_sub(owed);
                    tokio::time::sleep(std::mem::take(&mut owed)).await;
                }
            }
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            Ok::<(), mpsc::error::SendError<()>>(())
        });
        if taken.await.is_err() {
            return SessionError::Cancelled;
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut frames: Waiting, allowance: &Allowance) -> SessionError {
    let mut buffer = Vec::new();
    while let Some(frame) = frames.recv().await {
        let append = |frame: &[u8], buffer: &mut Vec<u8>| {
            allowance.serve(frame, Instant::now());
            frames::append(buffer, frame);
        };
        append(&frame, &mut buffer);
        while buffer.len() < BATCH_BYTES
            && let Some(frame) = frames.try_recv()
        {
            append(&frame, &mut buffer);
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

/// When something last came, shared with the task that reads.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    since: Instant,
    /// Microseconds since the session began, or [`NOT_LISTENING`].
    last: Arc<AtomicU64>,
}

/// Stands for a time: nobody reads now what comes.
const NOT_LISTENING: u64 = u64::MAX;

impl Heard {
    pub(super) fn new(since: Instant) -> Self {
        Self { since, last: Arc::default() }
    }

    fn now(&self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(NOT_LISTENING - 1);
        self.last.store(micros, Ordering::Relaxed);
    }

    /// Does something before more is read. Silence meanwhile is ours, not the peer's, also where many frames came at
    /// once: these are no less heard because they are looked at one by one.
    async fn without<T>(&self, work: impl Future<Output = T>) -> T {
        self.last.store(NOT_LISTENING, Ordering::Relaxed);
        let done = work.await;
        self.now();
        done
    }

    fn last(&self) -> Instant {
        match self.last.load(Ordering::Relaxed) {
            NOT_LISTENING => Instant::now(),
            micros => self.since + Duration::from_micros(micros),
        }
    }
}

/// A reader that notes when something comes, also a part of a frame: a large one takes long over a slow link.
struct Listening<R> {
    reader: R,
    heard: Heard,
}

impl<R: AsyncRead + Unpin> AsyncRead for Listening<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.reader).poll_read(cx, buffer));
        self.heard.now();
        Poll::Ready(read)
    }
}

/// What is common to the connections of one member.
#[derive(Default)]
pub(super) struct Peer {
    session: Option<Running>,
    /// The stream of the next session, which begins when this one has ended.
    next: Option<(ConnectionId, Stream)>,
    /// When to open a sync stream.
    open_at: Option<Instant>,
    /// When to close the connections that the session does not use.
    prune_at: Option<Instant>,
    failures: u32,
}

struct Running {
    connection: ConnectionId,
    since: Instant,
    frames: Queue,
    heard: Heard,
    liveness: Liveness,
    cancel: Option<oneshot::Sender<()>>,
}

impl Running {
    fn is_in_doubt(&mut self, now: Instant) -> bool {
        self.liveness.heard(self.heard.last());
        self.liveness.is_in_doubt(now)
    }
}

impl Worker {
    /// A peer has a connection for a sync stream.
    pub(super) fn plan_session(&mut self, peer: PeerId, node: &NodeId, now: Instant) {
        let known = self.peers.entry(peer).or_default();
        if known.next.is_some() {
            return;
        }
        let opens = self.me < *node;
        match &known.session {
            None => known.open_at = Some(now + if opens { Duration::ZERO } else { OTHER_OPENS }),
            // One of us has dialled beside it, so one of us has reason to doubt it. Two connections that came of both
            // ends dialling at once are no such reason.
            Some(session) if opens && now - session.since >= SETTLED => known.open_at = Some(now),
            Some(_) => {}
        }
    }

    /// Whether this peer has a session that nothing speaks against.
    pub(super) fn has_good_session(&mut self, peer: &PeerId, now: Instant) -> bool {
        let session = self.peers.get_mut(peer).and_then(|known| known.session.as_mut());
        session.is_some_and(|session| session.cancel.is_some() && !session.is_in_doubt(now))
    }

    /// Whether the peer's session runs on this connection, or is about to.
    pub(super) fn carries_session(&self, peer: &PeerId, id: ConnectionId) -> bool {
        self.peers.get(peer).is_some_and(|known| {
            let running = known.session.as_ref().map(|session| session.connection);
            let next = known.next.as_ref().map(|(connection, _)| *connection);
            running == Some(id) || next == Some(id)
        })
    }

    /// Looks which sessions are in doubt, and tells the dialler; returns when the next one may be.
    pub(super) fn doubt_sessions(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (peer, known) in &mut self.peers {
            let Some(session) = &mut known.session else { continue };
            let doubted = session.is_in_doubt(now);
            self.dialler.set_doubt(peer, doubted, now);
            next = session.liveness.deadline().into_iter().chain(next).min();
        }
        next
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
        let (frames, queue) = queue(MAX_QUEUED_FRAMES);
        let (cancel, cancelled) = oneshot::channel();
        self.lanes.open(connection.node, frames.clone());
        let heard = Heard::new(now);
        let (shared, liveness) = (heard.clone(), Liveness::default());
        known.session =
            Some(Running { connection: id, since: now, frames, heard: shared, liveness, cancel: Some(cancel) });
        if self.me < connection.node {
            known.prune_at = Some(now + SETTLED);
            self.stirred = true;
        }
        let session = Session {
            peer: connection.node,
            address: connection.remote.to_string(),
            frames: queue,
            events: self.events.clone(),
            heard,
            allowance: self.swarm.behaviour_mut().door.conduct.allowance(&connection.peer, now),
            cancel: cancelled,
        };
        let peer = connection.peer;
        self.tasks.spawn(async move { Report::Session(peer, session.run(stream).await) });
    }

    pub(super) fn on_session_ended(&mut self, peer: PeerId, ended: &SessionError, now: Instant) {
        let node = address::node_of(&peer);
        if let Some(node) = &node {
            self.lanes.close(node);
        }
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
        let moved = self.peers.get(&peer).and_then(|known| known.next.as_ref()).map(|(id, _)| *id);
        if let (Some(moved), Some(session)) = (moved, &session)
            && moved != session.connection
        {
            // It was left for dead.
            self.close(session.connection);
        }
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if let (true, Some(node)) = (ended.is_violation(), node) {
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

    /// Closes connections beside those of sessions: several come of it when a link returns on which both ends dialled.
    /// Returns when the next ones are due.
    pub(super) fn prune(&mut self, now: Instant) -> Option<Instant> {
        let mut surplus = Vec::new();
        for (peer, known) in &mut self.peers {
            if known.prune_at.take_if(|at| *at <= now).is_some()
                && let Some(session) = &known.session
            {
                let others = self.connections.iter().filter(|(id, other)| {
                    // One whose hello goes on may be the better one.
                    other.peer == *peer && other.is_member() && **id != session.connection
                });
                surplus.extend(others.map(|(id, _)| *id));
            }
        }
        for id in surplus {
            self.close(id);
        }
        self.peers.values().filter_map(|known| known.prune_at).min()
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
        if Frame::is_ping(&frame) {
            session.liveness.heard(session.heard.last());
            session.liveness.asked(Instant::now());
            self.stirred = true;
        }
        if session.frames.push(frame).is_err() {
            session.cancel = None;
            Counters::add(&self.counters.frames_unsent);
            self.notice(format!("node {} does not keep up with sync; its session starts over", node.short()));
        }
    }
}

#[cfg(test)]
mod tests;
