//! The life of a connection and of a peer: hello, gate, sync session, end.
//!
//! A connection begins as a stranger's and has a quarter of a minute to become a member's. Its dialler says hello; when
//! both cores agree both gates are opened, the dialled end's first (see [`super::gate`]); then [`super::sessions`] opens
//! the peer's sync stream, if it has none.

use std::time::Duration;

use fedp2p_core::input::Exchange;
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::joining::Answer;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, Stream};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::dialler::Standing;
use super::gate::End;
use super::hello::{Hello, HelloError};
use super::joining::{Invitation, InviteError};
use super::sessions::SessionError;
use super::streams::{self, Kind, Outcome};
use super::worker::Worker;
use super::{Counters, address};

/// How long a connection may last without becoming a member's.
const STRANGER: Duration = Duration::from_secs(15);
/// How long a stranger whose knock failed may still start to join.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// Most handshakes of joiners at one time.
const MAX_JOINS: usize = 32;
/// Most connections of one peer. One more takes the place of the oldest.
const MAX_PER_MEMBER: usize = 4;
/// One connection.
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) node: NodeId,
    pub(super) remote: Multiaddr,
    dialled: bool,
    stage: Stage,
    /// When it is closed, unless it became a member's.
    deadline: Option<Instant>,
    said_hello: bool,
    joining: bool,
    /// A sync stream that came before our gate was open.
    early: Option<Stream>,
}

#[derive(Debug)]
enum Stage {
    /// The hello is not finished.
    Greeting,
    /// The core said yes and the gate opens; the dialled end's hello waits for that.
    Opening(Option<oneshot::Sender<bool>>),
    /// A member's.
    Member,
    /// We are closing it: nothing more comes of it.
    Closing,
}

/// What waits for an answer of the core.
pub(super) enum Waiting {
    /// A hello.
    Hello(ConnectionId, oneshot::Sender<bool>),
    /// A joiner: first the ticket's secret, then the answer.
    Join(Option<oneshot::Sender<Option<[u8; 32]>>>, Option<oneshot::Sender<Answer>>),
}

/// What a task of the worker came to.
pub(super) enum Report {
    /// A hello ended.
    Hello {
        connection: ConnectionId,
        exchange: Exchange,
        /// The other end, when it was dialled.
        dialled: Option<(PeerId, Multiaddr)>,
        outcome: Result<(), HelloError>,
    },
    /// A joiner's handshake ended.
    Join(ConnectionId, Exchange, Result<(), InviteError>),
    /// A sync session ended.
    Session(PeerId, SessionError),
}

impl Connection {
    pub(super) fn is_member(&self) -> bool {
        matches!(self.stage, Stage::Member)
    }

    /// Whether a stream that the other end opens may have a use. A sync stream has one even beside another: the newest
    /// stands for all.
    fn has_use_for(&self, kind: Kind) -> bool {
        match kind {
            Kind::Hello => !self.dialled && !self.said_hello,
            Kind::Join => !self.dialled && !self.joining && matches!(self.stage, Stage::Greeting),
            Kind::Sync => self.is_member() || self.said_hello,
        }
    }

    fn is_wanted(&self) -> bool {
        !matches!(self.stage, Stage::Closing)
    }
}

impl Worker {
    pub(super) fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint, now: Instant) {
        let remote = endpoint.get_remote_address().clone();
        self.dialler.connected(id, peer, &remote, now);
        let dialled = endpoint.is_dialer();
        if dialled && self.has_good_session(&peer, now) {
            // The reason for which it was dialled is gone.
            self.swarm.close_connection(id);
            return;
        }
        self.make_room(&peer);
        let siblings = self.connections.values().filter(|other| other.peer == peer && other.is_wanted()).count();
        let Some(node) = address::node_of(&peer).filter(|_| siblings < MAX_PER_MEMBER) else {
            Counters::add(&self.counters.refused);
            self.swarm.close_connection(id);
            return;
        };
        let connection = Connection {
            peer,
            node,
            remote: address::split_peer(remote).0,
            dialled,
            stage: Stage::Greeting,
            deadline: Some(now + STRANGER),
            said_hello: false,
            joining: false,
            early: None,
        };
        self.connections.insert(id, connection);
        if dialled {
            self.swarm.behaviour_mut().streams.open(peer, id, Kind::Hello);
        }
    }

    /// Closes the oldest connection to a peer that has all it may have, but not that of its session: what was there
    /// before a link went away must not stand in the way of what is dialled when it is back. The other end may have
    /// closed it long ago and not come through with it.
    fn make_room(&mut self, peer: &PeerId) {
        let (siblings, oldest) = {
            let siblings = self.connections.iter().filter(|(_, other)| other.peer == *peer && other.is_wanted());
            let spare = siblings.clone().filter(|(id, _)| !self.carries_session(peer, **id));
            (siblings.count(), spare.map(|(id, _)| *id).min())
        };
        if let Some(oldest) = oldest.filter(|_| siblings >= MAX_PER_MEMBER) {
            self.close(oldest);
            self.connections.remove(&oldest);
        }
    }

    pub(super) fn on_closed(&mut self, peer: PeerId, id: ConnectionId, remaining: u32, now: Instant) {
        self.connections.remove(&id);
        self.end_session_on(peer, id, remaining);
        if remaining == 0 {
            self.dialler.disconnected(&peer, now);
        }
    }

    pub(super) fn on_stream(&mut self, event: streams::Event, now: Instant) {
        let streams::Event { peer, connection: id, kind, outcome } = event;
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_wanted()) else {
            return;
        };
        let (node, useful) = (connection.node, connection.has_use_for(kind));
        if matches!(outcome, Outcome::Accepted(_)) && !useful {
            if self.swarm.behaviour_mut().door.conduct.needless(&peer, now) {
                self.disconnect(&node, "it opens streams that have no use");
            }
            return Counters::add(&self.counters.strangers);
        }
        match (kind, outcome) {
            (Kind::Hello, Outcome::Opened(stream)) => self.start_hello(id, stream),
            (Kind::Hello, Outcome::Failed) => self.turn_away(id),
            (Kind::Hello, Outcome::Accepted(stream)) => self.start_hello(id, stream),
            (Kind::Join, Outcome::Accepted(stream)) => self.start_join(id, stream),
            (Kind::Join, Outcome::Opened(_) | Outcome::Failed) => {}
            (Kind::Sync, Outcome::Failed) => self.postpone_session(peer, now),
            (Kind::Sync, Outcome::Opened(stream)) => self.start_session(id, stream, now),
            (Kind::Sync, Outcome::Accepted(stream)) => match connection.stage {
                Stage::Member => self.start_session(id, stream, now),
                // The other end's gate was open first; ours is about to be.
                Stage::Opening(_) | Stage::Greeting if connection.said_hello => connection.early = Some(stream),
                Stage::Opening(_) | Stage::Greeting | Stage::Closing => Counters::add(&self.counters.strangers),
            },
        }
    }

    fn exchange(&mut self) -> Exchange {
        self.last_exchange += 1;
        Exchange(self.last_exchange)
    }

    fn start_hello(&mut self, id: ConnectionId, stream: Stream) {
        let exchange = self.exchange();
        let addresses = self.own_addresses(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.said_hello = true;
        let welcome = Welcome { chain: self.chain.clone(), addresses };
        let (answer, verdict) = oneshot::channel();
        self.waiting.insert(exchange, Waiting::Hello(id, answer));
        let dialled = connection.dialled.then(|| (connection.peer, connection.remote.clone()));
        let hello = Hello {
            organisation: self.chain.certificate().organisation,
            me: self.me,
            peer: connection.node,
            exchange,
            welcome: welcome.encode(),
            events: self.events.clone(),
            verdict,
        };
        self.tasks.spawn(async move {
            let outcome = match &dialled {
                Some(_) => hello.dial(stream).await,
                None => hello.listen(stream).await,
            };
            Report::Hello { connection: id, exchange, dialled, outcome }
        });
    }

    /// Our addresses, as far as they are of use to the other end.
    fn own_addresses(&self, id: ConnectionId) -> Vec<String> {
        let local = self.connections.get(&id).is_some_and(|connection| address::is_loopback(&connection.remote));
        let all = self.listening.iter().map(|(_, address)| address);
        address::write_all(all.filter(|address| local || !address::is_loopback(address)))
    }

    /// Whether this peer is connected over the loopback interface.
    pub(super) fn is_local(&self, peer: &PeerId) -> bool {
        let mut connections = self.connections.values().filter(|connection| connection.peer == *peer);
        connections.any(|connection| address::is_loopback(&connection.remote))
    }

    pub(super) fn answer_hello(&mut self, exchange: Exchange, admitted: bool) {
        let Some(Waiting::Hello(id, answer)) =
            self.waiting.remove_entry(&exchange).and_then(|(exchange, waiting)| match waiting {
                Waiting::Hello(..) => Some(waiting),
                Waiting::Join(..) => {
                    self.waiting.insert(exchange, waiting);
                    None
                }
            })
        else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_wanted()) else {
            return;
        };
        if admitted && !connection.dialled {
            // The answer goes to the hello once the gate is open: the dialler sends as soon as it hears it.
            connection.stage = Stage::Opening(Some(answer));
            self.open_gate(id, End::Listener);
        } else {
            // If the hello has timed out meanwhile, its report says so.
            let _heard = answer.send(admitted);
        }
    }

    fn open_gate(&mut self, id: ConnectionId, end: End) {
        if self.swarm.behaviour_mut().gate.open(id, end).is_err() {
            self.close(id);
        }
    }

    pub(super) fn on_opened(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_wanted()) else {
            return;
        };
        if let Stage::Opening(Some(answer)) = std::mem::replace(&mut connection.stage, Stage::Member) {
            // If the hello has timed out meanwhile, its report closes the connection.
            let _heard = answer.send(true);
        }
        connection.deadline = None;
        self.swarm.behaviour_mut().door.admitted(id);
        let (peer, early) = (connection.peer, connection.early.take());
        let node = connection.node;
        self.dialler.admitted(&peer, now);
        self.plan_session(peer, &node, now);
        if let Some(stream) = early {
            self.start_session(id, stream, now);
        }
    }

    pub(super) fn on_report(&mut self, report: Report) {
        let now = Instant::now();
        self.stirred = true;
        match report {
            Report::Hello { connection, exchange, dialled, outcome } => {
                self.waiting.remove(&exchange);
                if let (Err(error), Some((peer, remote))) = (&outcome, &dialled)
                    && self.dialler.failures(peer) <= 1
                {
                    self.notice(format!("the hello with the node at {remote} failed: {error}"));
                }
                self.on_hello_ended(connection, outcome, now);
            }
            Report::Join(id, exchange, outcome) => {
                self.waiting.remove(&exchange);
                if let Err(error) = outcome {
                    Counters::add(&self.counters.strangers);
                    self.notice(format!("a node that wanted to join failed: {error}"));
                }
                self.close(id);
            }
            Report::Session(peer, ended) => self.on_session_ended(peer, &ended, now),
        }
    }

    fn on_hello_ended(&mut self, id: ConnectionId, outcome: Result<(), HelloError>, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_wanted()) else {
            return;
        };
        match outcome {
            Ok(()) if connection.dialled => {
                connection.stage = Stage::Opening(None);
                self.open_gate(id, End::Dialler);
            }
            Ok(()) => {}
            Err(HelloError::Knock) => {
                Counters::add(&self.counters.strangers);
                connection.deadline = Some(now + if connection.joining { STRANGER } else { LAST_CHANCE });
            }
            Err(_) => self.turn_away(id),
        }
    }

    /// Closes a connection whose other end did not prove what it should.
    fn turn_away(&mut self, id: ConnectionId) {
        Counters::add(&self.counters.strangers);
        self.close(id);
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Closing;
            connection.deadline = None;
        }
        self.swarm.close_connection(id);
    }

    fn start_join(&mut self, id: ConnectionId, stream: Stream) {
        let under_way = self.waiting.values().filter(|waiting| matches!(waiting, Waiting::Join(..))).count();
        let exchange = self.exchange();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let stranger = matches!(connection.stage, Stage::Greeting);
        if connection.joining || connection.dialled || !stranger || under_way >= MAX_JOINS {
            return Counters::add(&self.counters.strangers);
        }
        connection.joining = true;
        let (give_secret, secret) = oneshot::channel();
        let (give_answer, answer) = oneshot::channel();
        self.waiting.insert(exchange, Waiting::Join(Some(give_secret), Some(give_answer)));
        let invitation =
            Invitation { me: self.me, peer: connection.node, exchange, events: self.events.clone(), secret, answer };
        self.tasks.spawn(async move { Report::Join(id, exchange, invitation.run(stream).await) });
    }

    pub(super) fn answer_ticket(&mut self, exchange: Exchange, secret: Option<[u8; 32]>) {
        if let Some(Waiting::Join(waiting, _)) = self.waiting.get_mut(&exchange)
            && let Some(waiting) = waiting.take()
        {
            // If the handshake has timed out meanwhile, its report says so.
            let _heard = waiting.send(secret);
        }
    }

    pub(super) fn answer_join(&mut self, exchange: Exchange, answer: Answer) {
        if let Some(Waiting::Join(_, waiting)) = self.waiting.get_mut(&exchange)
            && let Some(waiting) = waiting.take()
        {
            // If the handshake has timed out meanwhile, its report says so.
            let _heard = waiting.send(answer);
        }
    }

    pub(super) fn admit(&mut self, node: &NodeId, addresses: &[String]) {
        let Some(peer) = address::peer_of(node) else {
            return;
        };
        self.stirred = true;
        self.swarm.behaviour_mut().limits.bypass_peer_id(&peer);
        self.dialler.learn(peer, address::read_all(addresses), Standing::Member, Instant::now());
    }

    pub(super) fn disconnect(&mut self, node: &NodeId, reason: &str) {
        let Some(peer) = address::peer_of(node) else {
            return;
        };
        self.stirred = true;
        self.notice(format!("node {} is disconnected: {reason}", node.short()));
        let behaviour = self.swarm.behaviour_mut();
        behaviour.limits.remove_peer_id(&peer);
        let until = behaviour.door.conduct.offend(&peer, Instant::now());
        self.dialler.banish(&peer, until);
        self.end_session(&peer);
        let ids = self.connections.iter().filter(|(_, connection)| connection.peer == peer).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            self.close(id);
        }
    }

    /// Closes connections that did not become a member's in time; returns when the next one is due.
    pub(super) fn close_overdue(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (id, connection) in &mut self.connections {
            match connection.deadline {
                Some(deadline) if deadline <= now => {
                    connection.deadline = None;
                    connection.stage = Stage::Closing;
                    self.swarm.close_connection(*id);
                }
                Some(deadline) => next = Some(next.map_or(deadline, |next: Instant| next.min(deadline))),
                None => {}
            }
        }
        next
    }
}
