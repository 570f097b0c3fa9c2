//! The network worker: everything a node says to other nodes goes through here.
//!
//! One task owns the libp2p swarm. The loop that drives the core gives it [`Command`]s through [`Net::send`], which
//! never blocks, and takes [`Event`]s from one bounded queue. The worker decides nothing about ops: who is a member,
//! what is a good message and what to answer is asked of the core each time.
//!
//! | module | holds |
//! |---|---|
//! | `worker`, `connections`, `sessions` | the task: commands, the life of a connection, one sync stream per peer |
//! | `liveness` | whether a session still carries anything |
//! | `behaviour`, `gossip` | the swarm, its transports and limits, the settings of gossipsub |
//! | `door`, `conduct` | who is turned away at once, how much of each peer is looked at, and who is kept out how long |
//! | `gate` | members' protocols start on a connection only after its hello |
//! | `streams`, `unhurried` | one stream on one given connection, in and out; how fast connections are taken in |
//! | `hello`, `joining`, `frames`, `queue` | what is said on those streams, and what waits to be said |
//! | `dialler`, `discovery` | whom to dial and when; the registry of live daemons on this machine |
//! | [`address`] | the two forms of a node's identity, and addresses as people type them |
//!
//! # Invariants
//! - A node gets gossip and sync only on a connection whose hello the core has answered with yes.
//! - [`Event::Connected`] and [`Event::Disconnected`] alternate for each peer, and every [`Event::Frame`] lies between.
//! - Nothing that a peer sends stops the worker: it costs the peer its stream or its connection.
//! - Every queue has a bound. Gossip that does not fit is dropped, because sync mends it; frames wait in the task of
//!   their stream, which slows their sender down; commands that do not fit come back to the caller.

pub mod address;
mod behaviour;
mod conduct;
mod connections;
mod dialler;
mod discovery;
mod door;
mod frames;
mod gate;
mod gossip;
mod hello;
mod joining;
mod liveness;
mod queue;
mod sessions;
mod streams;
mod unhurried;
mod worker;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fedp2p_core::Verdict;
use fedp2p_core::input::{Exchange, GossipId};
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::hello::Welcome;
use fedp2p_protocols::id::{NodeId, TicketId};
use fedp2p_protocols::joining as protocol;
use fedp2p_protocols::sync::Frame;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};

use sessions::Lanes;

pub use joining::{JoinFailure, Joined, join};

/// Most commands that wait for the worker.
const COMMANDS: usize = 4096;
/// Places in the command queue that gossip leaves free, so that a burst of it does not keep out the rest.
const COMMANDS_BESIDE_GOSSIP: usize = 1024;
/// Most events that wait for the loop. An event may hold 64 KiB, so this is also a bound on memory.
const EVENTS: usize = 512;

/// How the worker starts.
#[derive(Debug)]
pub struct Config {
    /// Seed of the node's key.
    pub key: [u8; 32],
    /// The node's own certificate chain; it names the organisation and so the network.
    pub chain: Chain,
    /// Where to listen: `/ip4/ADDRESS/tcp/PORT` or `/ip4/ADDRESS/udp/PORT/quic-v1`, also with `ip6`.
    pub listen: Vec<Multiaddr>,
    /// Whether to look for nodes on the local network.
    pub mdns: bool,
    /// Nodes whose membership is known and current.
    pub members: Vec<NodeId>,
    /// Nodes that were connected before, and where.
    pub remembered: Vec<(NodeId, Vec<String>)>,
    /// Addresses that a person gave, with or without `/p2p`; dialled until the node stops.
    pub peers: Vec<Multiaddr>,
    /// Folder in which the live daemons of this machine register.
    pub registry: Option<PathBuf>,
}

/// What the worker is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Take part in a topic.
    Subscribe {
        /// The topic.
        topic: String,
    },
    /// Gossip an op. Dropped without an error when the queue is full.
    Publish {
        /// The topic.
        topic: String,
        /// The op as it travels.
        data: Vec<u8>,
    },
    /// Decide the fate of a gossip message.
    Judge(GossipId, Verdict),
    /// Send a sync frame to a connected peer. Without a session it is dropped and counted: a new session starts over.
    Send {
        /// To whom.
        peer: NodeId,
        /// Its content.
        frame: Vec<u8>,
    },
    /// This node is a member: keep a connection to it.
    Admit {
        /// The node.
        peer: NodeId,
        /// Where it may be reached.
        addresses: Vec<String>,
    },
    /// Answer [`Event::Hello`].
    HelloAnswer(Exchange, bool),
    /// Close every connection to this node, and have none with it for a quarter of a minute, twice as long each time.
    Disconnect {
        /// The node.
        peer: NodeId,
        /// Why, for the log.
        reason: String,
    },
    /// Answer [`Event::TicketShown`]; nothing if the ticket is not ours.
    TicketSecret(Exchange, Option<[u8; 32]>),
    /// Answer [`Event::JoinRequested`].
    JoinAnswer(Exchange, Box<protocol::Answer>),
    /// Say hello with this chain from now on.
    OwnChain(Box<Chain>),
    /// Close all connections, leave the registry, tell the sender and end.
    Shutdown(oneshot::Sender<()>),
}

/// What happened; each but [`Event::Notice`] is an input of the core.
#[derive(Debug)]
pub enum Event {
    /// The node listens on exactly these addresses now; those that other machines can reach come first.
    Listening(Vec<String>),
    /// A node said hello and waits for [`Command::HelloAnswer`]. Its chain leads to its own key.
    Hello {
        /// Names the exchange.
        exchange: Exchange,
        /// The node, as its connection proves.
        peer: NodeId,
        /// What it says of itself.
        welcome: Box<Welcome>,
    },
    /// A member has said hello and its sync stream is open.
    Connected {
        /// The node.
        peer: NodeId,
        /// Its address, for people.
        address: String,
    },
    /// Its sync stream is closed.
    Disconnected {
        /// The node.
        peer: NodeId,
    },
    /// Gossip brought an op; its fate must be told by [`Command::Judge`].
    Gossip {
        /// Names the message.
        id: GossipId,
        /// The op as it travelled.
        data: Vec<u8>,
    },
    /// A sync frame came.
    Frame {
        /// From whom.
        peer: NodeId,
        /// Its content.
        frame: Vec<u8>,
        /// Dropped once what it brought is stored and has been followed, if its sender waits for that.
        done: Option<Done>,
    },
    /// Somebody shows a ticket and waits for [`Command::TicketSecret`].
    TicketShown {
        /// Names the exchange.
        exchange: Exchange,
        /// The ticket.
        ticket: TicketId,
    },
    /// A holder of a ticket has proven it and waits for [`Command::JoinAnswer`].
    JoinRequested {
        /// Names the exchange.
        exchange: Exchange,
        /// The node, as its connection proves.
        peer: NodeId,
        /// The ticket.
        ticket: TicketId,
        /// What it asks.
        request: protocol::Request,
    },
    /// Something for the log.
    Notice(String),
}

/// Tells the sender of a frame, when it is dropped, that the frame was looked at.
#[derive(Debug)]
pub struct Done(#[expect(dead_code, reason = "its end is the word")] oneshot::Sender<()>);

impl Event {
    /// Takes out what is to be dropped once this was looked at.
    pub fn take_done(&mut self) -> Option<Done> {
        let Self::Frame { done, .. } = self else { return None };
        done.take()
    }
}

/// The worker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The seed and the certificate are of two nodes.
    #[error("the certificate is of another key")]
    Key,
    /// A transport cannot be made.
    #[error("cannot set up the network: {0}")]
    Transport(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// Why.
        #[source]
        source: libp2p::TransportError<std::io::Error>,
    },
}

/// A command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too many commands wait.
    #[error("the network worker is busy")]
    Busy,
    /// The worker has ended.
    #[error("the network worker has ended")]
    Stopped,
}

/// What the worker had to leave undone, counted since it started.
#[derive(Debug, Default)]
pub struct Counters {
    gossip_unsent: AtomicU64,
    gossip_unread: AtomicU64,
    frames_unsent: AtomicU64,
    strangers: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Ops that were not gossiped because a queue was full.
    pub fn gossip_unsent(&self) -> u64 {
        self.gossip_unsent.load(Ordering::Relaxed)
    }

    /// Gossip messages that were not handed to the loop because it did not keep up.
    pub fn gossip_unread(&self) -> u64 {
        self.gossip_unread.load(Ordering::Relaxed)
    }

    /// Sync frames for peers without a session.
    pub fn frames_unsent(&self) -> u64 {
        self.frames_unsent.load(Ordering::Relaxed)
    }

    /// Connections and streams that were closed because the other end did not prove anything.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }

    /// Incoming connections that failed or were over a limit.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A handle of the worker. The worker ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Net {
    commands: mpsc::Sender<Command>,
    lanes: Lanes,
    counters: Arc<Counters>,
}

impl Net {
    /// Starts the worker on the current tokio runtime and listens.
    ///
    /// # Errors
    /// If the key is not the certificate's or an address cannot be listened on.
    pub fn start(config: Config) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        let (commands, command_queue) = mpsc::channel(COMMANDS);
        let (events, event_queue) = mpsc::channel(EVENTS);
        let counters = Arc::new(Counters::default());
        let lanes = Lanes::default();
        let worker = worker::Worker::new(config, command_queue, events, lanes.clone(), counters.clone())?;
        drop(tokio::spawn(worker.run()));
        Ok((Self { commands, lanes, counters }, event_queue))
    }

    /// Hands a command over without waiting.
    ///
    /// # Errors
    /// If the queue is full, except for [`Command::Publish`], which is dropped and counted then; or if the worker
    /// has ended.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        let command = if let Command::Send { peer, frame } = command {
            // Past the worker: somebody waits for what is in it. But a ping is for the worker to see.
            let sent = if Frame::is_ping(&frame) { Err(frame) } else { self.lanes.send(&peer, frame) };
            match sent {
                Ok(()) => return Ok(()),
                Err(frame) => Command::Send { peer, frame },
            }
        } else {
            command
        };
        let gossip = matches!(command, Command::Publish { .. });
        if gossip && self.commands.capacity() < COMMANDS_BESIDE_GOSSIP {
            Counters::add(&self.counters.gossip_unsent);
            return Ok(());
        }
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Busy,
            mpsc::error::TrySendError::Closed(_) => SendError::Stopped,
        })
    }

    /// What had to be left undone.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
