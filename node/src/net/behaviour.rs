//! The swarm: transports, limits and the behaviours that share its connections.
//!
//! Built once by the worker, and by a joiner for the length of one handshake.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::transport::Transport as _;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{FromSwarm, NetworkBehaviour, NewListenAddr};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identify, mdns, noise, tcp, yamux};

use super::door::Door;
use super::gate::Gate;
use super::gossip::{self, Gossip};
use super::streams::Streams;
use super::unhurried::Unhurried;

/// What nodes of ours call themselves; other libp2p programs on the same network have other names.
const PROTOCOL_VERSION: &str = "fedp2p/1";
/// Members are quiet for long; whether one is still there is the core's business.
const IDLE_TIMEOUT: Duration = Duration::from_hours(24);
/// How long a TCP connection to a member may take to be made. A request that was lost is repeated after a second, so it
/// is time for one more; the dialler does not wait for one attempt before it makes the next.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a whole dial may take, as libp2p has it.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most streams of one connection.
const MAX_STREAMS: usize = 256;
/// Most streams of one connection that are being negotiated by the other end.
const MAX_NEGOTIATING: usize = 32;
/// Most connections between us and one peer that is not known as a member; for members see [`super::connections`].
const MAX_PER_PEER: u32 = 4;
/// Most incoming connections that have not shown a key yet.
const MAX_PENDING_INCOMING: u32 = 128;
/// Most incoming connections of nodes that are not known as members.
const MAX_INCOMING: u32 = 256;
/// How often the local network is asked.
const MDNS_QUERY: Duration = Duration::from_secs(20);
/// How long an answer on the local network holds.
const MDNS_TTL: Duration = Duration::from_secs(100);

/// What only members speak.
#[derive(NetworkBehaviour)]
pub(super) struct Members {
    pub(super) gossip: Gossip,
    pub(super) identify: identify::Behaviour,
}

/// Everything on a connection. The limits come first, because a connection that they refuse must not be seen by others.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) door: Door,
    pub(super) streams: Streams,
    pub(super) gate: Gate<Members>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
}

/// Makes the node's swarm.
///
/// # Errors
/// If a transport or gossip cannot be set up.
pub(super) fn new(key: &Keypair) -> Result<Swarm<Behaviour>, String> {
    let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public())
        .with_agent_version(concat!("fedp2p/", env!("CARGO_PKG_VERSION")).to_owned())
        .with_push_listen_addr_updates(true);
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING))
        .with_max_established_incoming(Some(MAX_INCOMING))
        .with_max_established_per_peer(Some(MAX_PER_PEER));
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        door: Door::default(),
        streams: Streams::default(),
        gate: Gate::new(Members { gossip: gossip::new()?, identify: identify::Behaviour::new(identify) }),
        mdns: Toggle::from(None),
    };
    swarm(key, behaviour, CONNECT)
}

/// Makes a swarm around any behaviour that never dials twice, so that its dials get all the time there is.
///
/// # Errors
/// If a transport cannot be set up.
pub(super) fn patient<B: NetworkBehaviour + Send>(key: &Keypair, behaviour: B) -> Result<Swarm<B>, String> {
    swarm(key, behaviour, HANDSHAKE)
}

/// Makes a swarm whose TCP connections have so long to be made.
///
/// # Errors
/// If a transport cannot be set up.
fn swarm<B: NetworkBehaviour + Send>(key: &Keypair, behaviour: B, connect: Duration) -> Result<Swarm<B>, String> {
    let mut multiplexer = yamux::Config::default();
    multiplexer.set_max_num_streams(MAX_STREAMS);
    let secure = noise::Config::new(key).map_err(|error| error.to_string())?;
    let quic_streams = u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX);
    let built = SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = quic_streams;
            config
        })
        .with_other_transport(|_| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
            let tcp = TransportTimeout::with_outgoing_timeout(Unhurried::new(tcp), connect);
            tcp.upgrade(Version::V1Lazy).authenticate(secure).multiplex(multiplexer)
        })
        .map_err(|error| error.to_string())?
        .with_behaviour(|_| behaviour)
        .map_err(|error| error.to_string())?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(MAX_NEGOTIATING)
                .with_per_connection_event_buffer_size(32)
        })
        .build();
    Ok(built)
}

/// Starts to look for nodes on the local network.
///
/// Only now, because a query that arrives before we know our addresses would be answered with none and not be
/// repeated for a second.
///
/// # Errors
/// If there is no network to look at. The node works without.
pub(super) fn start_mdns<'a>(
    swarm: &mut Swarm<Behaviour>,
    listening: impl IntoIterator<Item = &'a (libp2p::core::transport::ListenerId, Multiaddr)>,
) -> std::io::Result<()> {
    let config = mdns::Config { ttl: MDNS_TTL, query_interval: MDNS_QUERY, ..mdns::Config::default() };
    let mut behaviour = mdns::tokio::Behaviour::new(config, *swarm.local_peer_id())?;
    for (listener_id, addr) in listening {
        behaviour.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr { listener_id: *listener_id, addr }));
    }
    swarm.behaviour_mut().mdns = Toggle::from(Some(behaviour));
    Ok(())
}
