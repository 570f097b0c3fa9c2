//! The task that owns the swarm: takes commands, hands out events, and keeps the time of everything that is due.
//!
//! `select!` only picks the source; what a source says is dealt with by one method. Gossip goes the shortest way: a
//! command is published where it is taken from the queue, and a message goes to the loop where the swarm reports it.
//! What belongs to one connection or one peer is in [`super::connections`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fedp2p_core::Verdict;
use fedp2p_core::input::{Exchange, GossipId};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::op::NodeKey;
use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError, TopicHash};
use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns};
use rand_core::{OsRng, RngCore as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::behaviour::{self, Behaviour, BehaviourEvent, MembersEvent};
use super::connections::{Connection, Report, Waiting};
use super::dialler::{Dialler, Standing};
use super::discovery::{Found, Registry};
use super::sessions::{Lanes, Peer};
use super::{Command, Config, Counters, Error, Event, address, gate, gossip};

/// Most commands that are taken before the swarm has its turn.
const COMMANDS_PER_TURN: usize = 64;
/// Places in the event queue that gossip leaves free, so that a burst of it does not keep out the rest.
const EVENTS_BESIDE_GOSSIP: usize = 64;
/// How long connections get to close at the end.
const CLOSING: Duration = Duration::from_millis(250);
/// Least time between two notices of what was left undone.
const COUNTER_NOTICES: Duration = Duration::from_secs(60);
/// When nothing is due.
const FAR: Duration = Duration::from_secs(3600);

/// Our place in the registry, while the task that holds it runs.
struct RegistryTask {
    /// Our addresses; dropping it ends the task.
    addresses: watch::Sender<Vec<String>>,
    found: mpsc::Receiver<Vec<Found>>,
    task: JoinHandle<()>,
}

/// The worker.
pub(super) struct Worker {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) me: NodeId,
    pub(super) chain: Chain,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) counters: Arc<Counters>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    pub(super) peers: HashMap<PeerId, Peer>,
    pub(super) lanes: Lanes,
    pub(super) dialler: Dialler,
    pub(super) tasks: JoinSet<Report>,
    pub(super) waiting: HashMap<Exchange, Waiting>,
    pub(super) last_exchange: u64,
    pub(super) listening: Vec<(ListenerId, Multiaddr)>,
    /// Something may be due earlier than the timer thinks.
    pub(super) stirred: bool,
    /// When the timer fires.
    due: Instant,
    commands: mpsc::Receiver<Command>,
    /// The addresses changed and the loop does not know yet.
    tell_addresses: bool,
    wants_mdns: bool,
    registry: Option<RegistryTask>,
    noticed: [u64; 5],
    next_counter_notice: Instant,
}

impl Worker {
    pub(super) fn new(
        config: Config,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        lanes: Lanes,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        let me = NodeKey::from_seed(config.key).id();
        if config.chain.subject() != me {
            return Err(Error::Key);
        }
        let transport = |error: &dyn std::fmt::Display| Error::Transport(error.to_string());
        let key = Keypair::ed25519_from_bytes(config.key).map_err(|error| transport(&error))?;
        let mut swarm = behaviour::new(&key).map_err(|error| transport(&error))?;
        for address in config.listen {
            swarm.listen_on(address.clone()).map_err(|source| Error::Listen { address, source })?;
        }
        let now = Instant::now();
        let dialler = Dialler::new(*swarm.local_peer_id(), OsRng.next_u64(), now);
        let registry = config.registry.map(|folder| {
            let (addresses, current) = watch::channel(Vec::new());
            let (news, found) = mpsc::channel(16);
            let registry = Registry::new(folder, config.chain.network(), me);
            let task = tokio::spawn(registry.run(current, news));
            RegistryTask { addresses, found, task }
        });
        let mut worker = Self {
            swarm,
            me,
            chain: config.chain,
            events,
            counters,
            connections: HashMap::new(),
            peers: HashMap::new(),
            lanes,
            dialler,
            tasks: JoinSet::new(),
            waiting: HashMap::new(),
            last_exchange: 0,
            listening: Vec::new(),
            stirred: true,
            due: now + FAR,
            commands,
            tell_addresses: false,
            wants_mdns: config.mdns,
            registry,
            noticed: [0; 5],
            next_counter_notice: now,
        };
        for peer in config.members {
            worker.admit(&peer, &[]);
        }
        for (peer, addresses) in config.remembered {
            worker.admit(&peer, &addresses);
        }
        for address in config.peers {
            worker.dialler.learn_blind(address, now);
        }
        Ok(worker)
    }

    /// Runs until it is told to stop or nobody can tell it any longer.
    pub(super) async fn run(mut self) {
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let told = loop {
            if std::mem::take(&mut self.stirred) {
                self.on_time(Instant::now());
                timer.as_mut().reset(self.due);
            }
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = self.commands.recv() => match command {
                    Some(command) => if let Some(told) = self.on_commands(command) { break Some(told) },
                    None => break None,
                },
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => match ended {
                    Ok(report) => self.on_report(report),
                    Err(error) => self.notice(format!("a task of the network worker failed: {error}")),
                },
                Some(news) = found(&mut self.registry) => self.on_found(news),
                () = &mut timer => self.stirred = true,
            }
        };
        self.shut_down().await;
        if let Some(told) = told {
            // Who asked may have gone; the worker ends all the same.
            let _heard = told.send(());
        }
    }

    /// Does what is due and notes when the next thing is.
    fn on_time(&mut self, now: Instant) {
        if self.due <= now {
            self.dialler.was_late(now - self.due, now);
        }
        if self.tell_addresses {
            self.publish_addresses();
        }
        let doubts = self.doubt_sessions(now);
        self.dial(now);
        let connections = self.close_overdue(now);
        let sessions = self.open_sessions(now);
        let surplus = self.prune(now);
        self.notice_counters(now);
        let retry = self.tell_addresses.then(|| now + Duration::from_millis(100));
        self.due = [self.dialler.deadline(now), doubts, connections, sessions, surplus, retry]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + FAR);
    }

    fn dial(&mut self, now: Instant) {
        while let Some(options) = self.dialler.next(now) {
            let connection = options.connection_id();
            if self.swarm.dial(options).is_err() {
                self.dialler.failed(connection, now);
            }
        }
    }

    /// Deals with a command and those behind it; returns who wants to know when the worker has ended.
    fn on_commands(&mut self, first: Command) -> Option<oneshot::Sender<()>> {
        let mut next = Some(first);
        for left in (0..COMMANDS_PER_TURN).rev() {
            match next? {
                Command::Shutdown(told) => return Some(told),
                command @ (Command::Subscribe { .. }
                | Command::Publish { .. }
                | Command::Judge(..)
                | Command::Send { .. }
                | Command::Admit { .. }
                | Command::HelloAnswer(..)
                | Command::Disconnect { .. }
                | Command::TicketSecret(..)
                | Command::JoinAnswer(..)
                | Command::OwnChain(_)) => self.on_command(command),
            }
            next = if left > 0 { self.commands.try_recv().ok() } else { None };
        }
        None
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { topic, data } => self.publish(topic, data),
            Command::Judge(id, verdict) => self.judge(&id, verdict),
            Command::Send { peer, frame } => self.send_frame(&peer, frame),
            Command::Subscribe { topic } => {
                let gossip = &mut self.swarm.behaviour_mut().gate.inner_mut().gossip;
                if let Err(error) = gossip::subscribe(gossip, topic) {
                    self.notice(format!("cannot take part in a topic: {error}"));
                }
            }
            Command::Admit { peer, addresses } => self.admit(&peer, &addresses),
            Command::HelloAnswer(exchange, admitted) => self.answer_hello(exchange, admitted),
            Command::Disconnect { peer, reason } => self.disconnect(&peer, &reason),
            Command::TicketSecret(exchange, secret) => self.answer_ticket(exchange, secret),
            Command::JoinAnswer(exchange, answer) => self.answer_join(exchange, *answer),
            Command::OwnChain(chain) => self.chain = *chain,
            Command::Shutdown(_) => {}
        }
    }

    fn publish(&mut self, topic: String, data: Vec<u8>) {
        let gossip = &mut self.swarm.behaviour_mut().gate.inner_mut().gossip;
        match gossip.publish(TopicHash::from_raw(topic), data) {
            // Without a listener there is nobody to lose it; who comes later asks in sync.
            Ok(_) | Err(PublishError::Duplicate | PublishError::NoPeersSubscribedToTopic) => {}
            Err(PublishError::AllQueuesFull(_)) => Counters::add(&self.counters.gossip_unsent),
            Err(
                error @ (PublishError::SigningError(_)
                | PublishError::MessageTooLarge
                | PublishError::TransformFailed(_)),
            ) => self.notice(format!("an op cannot be gossiped: {error}")),
        }
    }

    fn judge(&mut self, id: &GossipId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        if let Some(from) = address::peer_of(&id.from) {
            self.report_validation(&MessageId::from(id.id.to_vec()), &from, acceptance);
        }
    }

    fn report_validation(&mut self, id: &MessageId, from: &PeerId, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gate.inner_mut().gossip;
        // A message that left gossip's cache meanwhile is not passed on any more; sync brings it to who lacks it.
        let _known = gossip.report_message_validation_result(id, from, acceptance);
    }

    fn on_gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.on_gossip(propagation_source, message_id, message.data);
            }
            gossipsub::Event::Subscribed { peer_id, .. } | gossipsub::Event::Unsubscribed { peer_id, .. } => {
                let too_many = self.swarm.behaviour_mut().door.conduct.subscription(&peer_id, Instant::now());
                if let Some(node) = address::node_of(&peer_id).filter(|_| too_many) {
                    self.disconnect(&node, "it floods gossip with subscriptions");
                }
            }
            gossipsub::Event::GossipsubNotSupported { .. } | gossipsub::Event::SlowPeer { .. } => {}
        }
    }

    fn on_gossip(&mut self, from: PeerId, message_id: MessageId, data: Vec<u8>) {
        let id = <[u8; 20]>::try_from(message_id.0.as_slice()).ok();
        let (Some(id), Some(node)) = (id, address::node_of(&from)) else {
            return self.report_validation(&message_id, &from, MessageAcceptance::Ignore);
        };
        let looked_at = self.swarm.behaviour_mut().door.conduct.gossip(&from, data.len(), Instant::now());
        let event = Event::Gossip { id: GossipId { id, from: node }, data };
        if !looked_at || self.events.capacity() < EVENTS_BESIDE_GOSSIP || self.events.try_send(event).is_err() {
            Counters::add(&self.counters.gossip_unread);
            self.report_validation(&message_id, &from, MessageAcceptance::Ignore);
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(event) => return self.on_behaviour_event(event, now),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint, now);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.on_closed(peer_id, connection_id, num_established, now);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } = &error {
                    self.dialler.forget_address(connection_id, address);
                }
                self.dialler.failed(connection_id, now);
            }
            SwarmEvent::IncomingConnectionError { .. } => Counters::add(&self.counters.refused),
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listening.push((listener_id, address));
                self.on_addresses();
                // An interface has come up, and with it perhaps the way to others.
                self.dialler.retry(now);
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                self.listening.retain(|known| *known != (listener_id, address.clone()));
                self.on_addresses();
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                self.listening.retain(|(id, _)| *id != listener_id);
                self.on_addresses();
                self.notice(format!("a listener closed: {reason:?}"));
            }
            SwarmEvent::ListenerError { error, .. } => self.notice(format!("a listener failed: {error}")),
            // These repeat what the behaviours report, or what we did ourselves.
            SwarmEvent::IncomingConnection { .. }
            | SwarmEvent::Dialing { .. }
            | SwarmEvent::NewExternalAddrCandidate { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. }
            | SwarmEvent::NewExternalAddrOfPeer { .. }
            | _ => return,
        }
        self.stirred = true;
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent, now: Instant) {
        match event {
            BehaviourEvent::Gate(gate::Event::Inner(MembersEvent::Gossip(event))) => {
                return self.on_gossip_event(event);
            }
            BehaviourEvent::Gate(gate::Event::Inner(MembersEvent::Identify(event))) => {
                if let identify::Event::Received { peer_id, info, .. } = event {
                    self.learn(peer_id, info.listen_addrs, now);
                }
            }
            BehaviourEvent::Gate(gate::Event::Opened(connection)) => self.on_opened(connection, now),
            BehaviourEvent::Streams(event) => self.on_stream(event, now),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    let (bare, named) = address::split_peer(address);
                    if named == Some(peer) && address::is_dialable(&bare) {
                        self.dialler.learn(peer, vec![bare], Standing::Hint, now);
                    }
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(expired)) => {
                for (peer, _) in expired {
                    self.dialler.forget_hint(&peer);
                }
            }
        }
        self.stirred = true;
    }

    fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let local = self.is_local(&peer);
        let usable = address::read_all(&texts).into_iter().filter(|address| local || !address::is_loopback(address));
        self.dialler.learn(peer, usable.collect(), Standing::Hint, now);
    }

    fn on_found(&mut self, news: Vec<Found>) {
        let now = Instant::now();
        self.stirred = true;
        for found in news {
            match found {
                Found::Here(entry) => {
                    let addresses = address::read_all(&entry.addresses);
                    if let Some(peer) = address::peer_of(&entry.node) {
                        self.dialler.learn(peer, addresses, Standing::Local, now);
                        self.dialler.renew(&peer, now);
                    }
                }
                Found::Gone(node) => {
                    if let Some(peer) = address::peer_of(&node) {
                        self.dialler.forget_hint(&peer);
                    }
                }
                Found::Trouble(text) => self.notice(text),
            }
        }
    }

    fn on_addresses(&mut self) {
        self.tell_addresses = true;
        if std::mem::take(&mut self.wants_mdns)
            && let Err(error) = behaviour::start_mdns(&mut self.swarm, &self.listening)
        {
            self.notice(format!("the local network cannot be searched for nodes: {error}"));
        }
    }

    fn publish_addresses(&mut self) {
        let addresses = address::write_all(self.listening.iter().map(|(_, address)| address));
        if let Some(registry) = &self.registry {
            // The task may have ended with the folder; that was noticed then.
            let _heard = registry.addresses.send(addresses.clone());
        }
        self.tell_addresses = self.events.try_send(Event::Listening(addresses)).is_err() && !self.events.is_closed();
    }

    /// Tells the log, unless the loop is so far behind that it would cost it more than it is worth.
    pub(super) fn notice(&self, text: String) {
        let _told = self.events.try_send(Event::Notice(text));
    }

    fn notice_counters(&mut self, now: Instant) {
        let names = [
            ("entries not gossiped", &self.counters.gossip_unsent),
            ("gossip messages not read", &self.counters.gossip_unread),
            ("frames for nobody", &self.counters.frames_unsent),
            ("strangers turned away", &self.counters.strangers),
            ("incoming connections that came to nothing", &self.counters.refused),
        ];
        let current = names.map(|(_, counter)| counter.load(Ordering::Relaxed));
        if current == self.noticed || now < self.next_counter_notice {
            return;
        }
        let news: Vec<String> = names
            .iter()
            .zip(current.iter().zip(&self.noticed))
            .filter(|(_, (now, before))| now > before)
            .map(|((name, _), (now, before))| format!("{name}: {}", now - before))
            .collect();
        self.notice(news.join(", "));
        self.noticed = current;
        self.next_counter_notice = now + COUNTER_NOTICES;
    }

    async fn shut_down(&mut self) {
        if let Some(RegistryTask { addresses, found, task }) = self.registry.take() {
            drop((addresses, found));
            // The task only removes a file now; if it panicked, the next daemon finds the file's process dead.
            let _ended = tokio::time::timeout(CLOSING, task).await;
        }
        for connection in self.connections.keys() {
            self.swarm.close_connection(*connection);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        // What has not closed by then is closed by the end of the process.
        let _in_time = tokio::time::timeout(CLOSING, closed).await;
    }
}

async fn found(registry: &mut Option<RegistryTask>) -> Option<Vec<Found>> {
    match registry {
        Some(registry) => match registry.found.recv().await {
            Some(news) => Some(news),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
