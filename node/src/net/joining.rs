//! The joining handshake on one stream: the inviter's task, and the joiner's short-lived swarm.
//!
//! What is said, and why it is safe to say it to a stranger, is in [`fedp2p_protocols::joining`]. [`join`] is called by
//! the daemon when it is to become a member; it needs no running worker and must not have one with the same key.

use std::collections::BTreeMap;
use std::time::Duration;

use fedp2p_core::input::Exchange;
use fedp2p_protocols::certificate::Chain;
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::joining::{Answer, Inviter, JoinError, Joiner, Request, Turned, split_first};
use fedp2p_protocols::limits::MAX_JOIN_BYTES;
use fedp2p_protocols::name::NodeName;
use fedp2p_protocols::op::NodeKey;
use fedp2p_protocols::ticket::Ticket;
use futures::StreamExt as _;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{mpsc, oneshot};

use super::frames::{self, FrameError};
use super::streams::{Event as StreamEvent, Kind, Outcome, Streams};
use super::{Event, address, behaviour};

/// How long one message, or the core's answer, may take at the inviter.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the joiner waits for everything.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A failed handshake keeps its place for so long, which bounds how many secrets can be tried.
const FAILURE_PENALTY: Duration = Duration::from_secs(1);

/// A handshake failed at the inviter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum InviteError {
    /// The stream broke.
    #[error("the stream ended")]
    Frame(#[from] FrameError),
    /// The joiner or the core took too long.
    #[error("timeout")]
    Timeout(#[from] tokio::time::error::Elapsed),
    /// The joiner does not hold the ticket, or its messages cannot be read.
    #[error("the ticket was not proven")]
    Join(#[from] JoinError),
    /// The ticket is not ours.
    #[error("the ticket is not known here")]
    Unknown,
}

/// The inviter's part of a handshake.
pub(super) struct Invitation {
    pub(super) me: NodeId,
    pub(super) peer: NodeId,
    pub(super) exchange: Exchange,
    pub(super) events: mpsc::Sender<Event>,
    /// The core's answer to [`Event::TicketShown`].
    pub(super) secret: oneshot::Receiver<Option<[u8; 32]>>,
    /// The core's answer to [`Event::JoinRequested`].
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Invitation {
    /// Runs the handshake.
    ///
    /// # Errors
    /// If it fails; the error comes late, to slow down who tries secrets.
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), InviteError> {
        let outcome = self.handshake(stream).await;
        if outcome.is_err() {
            tokio::time::sleep(FAILURE_PENALTY).await;
        }
        outcome
    }

    async fn handshake(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), InviteError> {
        let Self { me, peer, exchange, events, secret, answer } = self;
        let first = step(frames::read(&mut stream, MAX_JOIN_BYTES)).await??;
        let (ticket, message) = split_first(&first).map_err(JoinError::from)?;
        let asked = async {
            events.send(Event::TicketShown { exchange, ticket }).await.ok()?;
            secret.await.ok()?
        };
        let secret = step(asked).await?.ok_or(InviteError::Unknown)?;
        let (inviter, second) = Inviter::new(&peer, &me, secret, message)?;
        step(frames::write(&mut stream, &second)).await??;
        let third = step(frames::read(&mut stream, MAX_JOIN_BYTES)).await??;
        let (inviting, request) = inviter.request(&third)?;
        let asked = async {
            events.send(Event::JoinRequested { exchange, peer, ticket, request }).await.ok()?;
            answer.await.ok()
        };
        let answer = step(asked).await?.ok_or(InviteError::Unknown)?;
        step(frames::write(&mut stream, &inviting.answer(&answer))).await??;
        // The joiner closes once it has read; dropping our end earlier could reset the answer unread.
        let _ended = step(stream.read(&mut [0])).await;
        Ok(())
    }
}

async fn step<F: Future>(future: F) -> Result<F::Output, tokio::time::error::Elapsed> {
    tokio::time::timeout(STEP_TIMEOUT, future).await
}

/// What a joiner gets.
#[derive(Debug)]
pub struct Joined {
    /// Its own certificate chain, which leads from the ticket's organisation to its own key.
    pub chain: Chain,
    /// The inviter's.
    pub inviter: Chain,
    /// Where the inviter answered.
    pub address: Multiaddr,
}

/// Joining failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinFailure {
    /// No address of the ticket answered.
    #[error("the inviting node does not answer at {}", list(.tried))]
    Unreachable {
        /// Each address, and why not.
        tried: Vec<(String, String)>,
    },
    /// The ticket has expired.
    #[error("the ticket has expired")]
    Expired,
    /// The ticket was used before.
    #[error("the ticket was used by another node")]
    Used,
    /// The name belongs to another node.
    #[error("another node has this name; {free} is free")]
    NameTaken {
        /// A name that is free.
        free: NodeName,
    },
    /// The inviting node cannot admit others now.
    #[error("the inviting node cannot admit others")]
    Unable,
    /// The inviting node closed without a word: it does not know the ticket.
    #[error("the inviting node does not know this ticket")]
    Unknown,
    /// The inviting node answered, and not in time.
    #[error("the inviting node did not finish in time")]
    Timeout,
    /// What came back is not what the protocol says.
    #[error("the inviting node does not follow the protocol")]
    Protocol(#[source] JoinError),
    /// The network of this machine cannot be used.
    #[error("cannot set up the network: {0}")]
    Network(String),
}

fn list(tried: &[(String, String)]) -> String {
    match tried {
        [] => "any address: the ticket names none that can be dialled".to_owned(),
        _ => tried.iter().map(|(address, _)| address.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// Joins the organisation of a ticket: dials all its addresses at once and runs the handshake with whichever answers.
///
/// # Errors
/// See [`JoinFailure`]; none of them leaves anything behind here.
///
/// # Cancel safety
/// Dropping the future ends the attempt. The inviter may have counted the ticket as used; the same key may show it
/// again.
pub async fn join(seed: [u8; 32], ticket: &Ticket, name: NodeName) -> Result<Joined, JoinFailure> {
    let mut tried: BTreeMap<String, String> =
        ticket.addresses.iter().map(|address| (address.clone(), "no answer".to_owned())).collect();
    let attempt = attempt(seed, ticket, name, &mut tried);
    match tokio::time::timeout(JOIN_TIMEOUT, attempt).await {
        Ok(Err(JoinFailure::Unreachable { .. })) => Err(unreachable(tried)),
        Ok(outcome) => outcome,
        // Only an attempt that got through takes the reason of its addresses away.
        Err(_) if tried.is_empty() => Err(JoinFailure::Timeout),
        Err(_) => Err(unreachable(tried)),
    }
}

fn unreachable(tried: BTreeMap<String, String>) -> JoinFailure {
    JoinFailure::Unreachable { tried: tried.into_iter().collect() }
}

async fn attempt(
    seed: [u8; 32],
    ticket: &Ticket,
    name: NodeName,
    tried: &mut BTreeMap<String, String>,
) -> Result<Joined, JoinFailure> {
    let no_address = || JoinFailure::Unreachable { tried: Vec::new() };
    let key = Keypair::ed25519_from_bytes(seed).map_err(|error| JoinFailure::Network(error.to_string()))?;
    let inviter = address::peer_of(&ticket.issuer).ok_or_else(no_address)?;
    let addresses = address::read_all(&ticket.addresses);
    if addresses.is_empty() {
        return Err(no_address());
    }
    let mut swarm = behaviour::patient(&key, Streams::default()).map_err(JoinFailure::Network)?;
    let (stream, address) = reach(&mut swarm, inviter, addresses, tried).await?;
    tried.clear();
    let me = NodeKey::from_seed(seed).id();
    let handshake = handshake(stream, &me, ticket, name);
    futures::pin_mut!(handshake);
    let (chain, inviter) = loop {
        tokio::select! {
            outcome = &mut handshake => break outcome?,
            _event = swarm.select_next_some() => {}
        }
    };
    Ok(Joined { chain, inviter, address })
}

/// Dials and opens the stream.
async fn reach(
    swarm: &mut Swarm<Streams>,
    inviter: PeerId,
    addresses: Vec<Multiaddr>,
    tried: &mut BTreeMap<String, String>,
) -> Result<(Stream, Multiaddr), JoinFailure> {
    let no_answer = || JoinFailure::Unreachable { tried: Vec::new() };
    let dial = DialOpts::peer_id(inviter)
        .addresses(addresses)
        .override_dial_concurrency_factor(std::num::NonZeroU8::MAX)
        .allocate_new_port()
        .build();
    swarm.dial(dial).map_err(|_| no_answer())?;
    let mut used = None;
    loop {
        let event = swarm.select_next_some().await;
        if let SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } = event {
            used = Some(address::split_peer(endpoint.get_remote_address().clone()).0);
            swarm.behaviour_mut().open(peer_id, connection_id, Kind::Join);
        } else if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
            note(tried, &error);
            return Err(no_answer());
        } else if let SwarmEvent::ConnectionClosed { .. } = event {
            return Err(no_answer());
        } else if let SwarmEvent::Behaviour(StreamEvent { outcome, .. }) = event {
            match (outcome, used.take()) {
                (Outcome::Opened(stream), Some(address)) => return Ok((stream, address)),
                (Outcome::Failed, _) => return Err(JoinFailure::Unable),
                (Outcome::Accepted(_) | Outcome::Opened(_), other) => used = other,
            }
        }
    }
}

fn note(tried: &mut BTreeMap<String, String>, error: &DialError) {
    if let DialError::Transport(failures) = error {
        for (address, failure) in failures {
            let bare = address::split_peer(address.clone()).0.to_string();
            tried.insert(bare, failure.to_string());
        }
    } else if let DialError::WrongPeerId { address, .. } = error {
        let bare = address::split_peer(address.clone()).0.to_string();
        tried.insert(bare, "another node answers there".to_owned());
    }
}

async fn handshake(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    me: &NodeId,
    ticket: &Ticket,
    name: NodeName,
) -> Result<(Chain, Chain), JoinFailure> {
    let (joiner, first) = Joiner::new(me, &ticket.issuer, ticket.secret).map_err(JoinFailure::Protocol)?;
    frames::write(&mut stream, &first).await.map_err(|_| JoinFailure::Unknown)?;
    let second = frames::read(&mut stream, MAX_JOIN_BYTES).await.map_err(|_| JoinFailure::Unknown)?;
    let (joining, third) = joiner.second(&second, &Request { name }).map_err(JoinFailure::Protocol)?;
    // From here on silence means that the other end did not believe us.
    let silent = |_: FrameError| JoinFailure::Protocol(JoinError::Noise);
    frames::write(&mut stream, &third).await.map_err(silent)?;
    let last = frames::read(&mut stream, MAX_JOIN_BYTES).await.map_err(silent)?;
    match joining.answer(&last).map_err(JoinFailure::Protocol)? {
        Answer::Admitted { chain, inviter } => {
            let check = |chain: &Chain, node: &NodeId| chain.check(node, &ticket.organisation);
            check(&chain, me)
                .and_then(|()| check(&inviter, &ticket.issuer))
                .map_err(|error| JoinFailure::Protocol(error.into()))?;
            Ok((chain, inviter))
        }
        Answer::Turned(Turned::Expired) => Err(JoinFailure::Expired),
        Answer::Turned(Turned::Used) => Err(JoinFailure::Used),
        Answer::Turned(Turned::NameTaken { free }) => Err(JoinFailure::NameTaken { free }),
        // `Turned` may grow; a reason that we do not know is a refusal all the same.
        Answer::Turned(_) => Err(JoinFailure::Unable),
    }
}
