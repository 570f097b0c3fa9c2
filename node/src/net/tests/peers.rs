//! What the tests play with: organisations, nodes with a scripted loop, and a bare swarm that follows no rules.

use std::path::PathBuf;
use std::time::Duration;

use fedp2p_protocols::certificate::{Certificate, Chain, Roles};
use fedp2p_protocols::hello::{Knock, Welcome};
use fedp2p_protocols::id::{NodeId, OrganisationId, Serial};
use fedp2p_protocols::op::NodeKey;
use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::mpsc;

use super::super::streams::{self, Kind, Outcome, Streams};
use super::super::{Command, Config, Event, Net, address, behaviour, frames};

/// Generous: a loaded machine is no failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn root(organisation: u8) -> NodeKey {
    NodeKey::from_seed([organisation; 32])
}

pub(super) fn organisation(number: u8) -> OrganisationId {
    OrganisationId::from_bytes(*root(number).id().as_bytes())
}

pub(super) fn chain(number: u8, node: NodeId) -> Chain {
    let certificate = Certificate {
        organisation: organisation(number),
        organisation_name: "acme".parse().unwrap(),
        subject: node,
        name: "node".parse().unwrap(),
        roles: Roles::MEMBER,
        not_before: 0,
        not_after: u64::MAX,
        serial: Serial::from_bytes([1; 16]),
        issuer: [0; 32],
    };
    Chain::by_root(&root(number), certificate)
}

pub(super) fn config(number: u8, seed: u8) -> Config {
    let key = [seed; 32];
    Config {
        key,
        chain: chain(number, NodeKey::from_seed(key).id()),
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        mdns: false,
        members: Vec::new(),
        remembered: Vec::new(),
        peers: Vec::new(),
        registry: None,
    }
}

/// A worker with what stands in for the core: it admits every node of its organisation.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) net: Net,
    pub(super) events: mpsc::Receiver<Event>,
    organisation: OrganisationId,
    pub(super) admits: bool,
    /// How often each kind of event came before the one that was waited for.
    pub(super) connects: usize,
}

impl Node {
    pub(super) fn start(config: Config) -> Self {
        let id = NodeKey::from_seed(config.key).id();
        let organisation = config.chain.certificate().organisation;
        let (net, events) = Net::start(config).unwrap();
        Self { id, net, events, organisation, admits: true, connects: 0 }
    }

    /// Takes one event, answering hellos.
    pub(super) async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("no event").expect("ended");
        match &event {
            Event::Hello { exchange, peer, welcome } => {
                let good = self.admits && welcome.chain.check(peer, &self.organisation).is_ok();
                if good {
                    let addresses = welcome.addresses.clone();
                    self.net.send(Command::Admit { peer: *peer, addresses }).unwrap();
                }
                self.net.send(Command::HelloAnswer(*exchange, good)).unwrap();
            }
            Event::Connected { .. } => self.connects += 1,
            Event::Listening(_)
            | Event::Disconnected { .. }
            | Event::Gossip { .. }
            | Event::Frame { .. }
            | Event::TicketShown { .. }
            | Event::JoinRequested { .. }
            | Event::Notice(_) => {}
        }
        event
    }

    /// Takes events until `wanted` gives something.
    pub(super) async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.event().await) {
                return found;
            }
        }
    }

    pub(super) async fn listening(&mut self) -> Multiaddr {
        let is_listening = |event| match event {
            Event::Listening(addresses) => addresses.first().cloned(),
            _ => None,
        };
        self.until(is_listening).await.parse().unwrap()
    }

    pub(super) async fn connected(&mut self) -> NodeId {
        self.until(|event| match event {
            Event::Connected { peer, .. } => Some(peer),
            _ => None,
        })
        .await
    }

    pub(super) async fn disconnected(&mut self) -> NodeId {
        self.until(|event| match event {
            Event::Disconnected { peer } => Some(peer),
            _ => None,
        })
        .await
    }

    pub(super) async fn frame(&mut self) -> (NodeId, Vec<u8>) {
        self.until(|event| match event {
            Event::Frame { peer, frame, .. } => Some((peer, frame)),
            _ => None,
        })
        .await
    }

    pub(super) fn send(&self, peer: NodeId, frame: &[u8]) {
        self.net.send(Command::Send { peer, frame: frame.to_vec() }).unwrap();
    }

    pub(super) fn subscribe(&self, topic: &str) {
        self.net.send(Command::Subscribe { topic: topic.to_owned() }).unwrap();
    }

    pub(super) fn publish(&self, topic: &str, data: &[u8]) {
        self.net.send(Command::Publish { topic: topic.to_owned(), data: data.to_vec() }).unwrap();
    }

    pub(super) async fn shut_down(self) {
        let (told, done) = tokio::sync::oneshot::channel();
        self.net.send(Command::Shutdown(told)).unwrap();
        done.await.unwrap();
    }
}

/// Waits until both are connected.
pub(super) async fn both_connected(a: &mut Node, b: &mut Node) {
    let (to_a, to_b) = tokio::join!(a.connected(), b.connected());
    assert_eq!((to_a, to_b), (b.id, a.id));
}

pub(super) fn in_registry(mut config: Config, folder: &std::path::Path) -> Config {
    config.registry = Some(PathBuf::from(folder));
    config
}

pub(super) fn knowing(mut config: Config, address: &Multiaddr) -> Config {
    config.peers.push(address.clone());
    config
}

/// A swarm that speaks our stream protocols and nothing else, and says what the test wants.
pub(super) struct Rogue {
    pub(super) id: NodeId,
    pub(super) swarm: Swarm<Streams>,
    was_closed: bool,
}

impl Rogue {
    pub(super) fn new(seed: u8) -> Self {
        let key = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        Self {
            id: NodeKey::from_seed([seed; 32]).id(),
            swarm: behaviour::patient(&key, Streams::default()).unwrap(),
            was_closed: false,
        }
    }

    pub(super) async fn dial(&mut self, to: NodeId, address: &Multiaddr) -> (PeerId, ConnectionId) {
        let peer = address::peer_of(&to).unwrap();
        let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address.clone()]);
        self.swarm.dial(options.build()).unwrap();
        loop {
            if let SwarmEvent::ConnectionEstablished { connection_id, .. } = self.next().await {
                return (peer, connection_id);
            }
        }
    }

    pub(super) async fn next(&mut self) -> SwarmEvent<streams::Event> {
        tokio::time::timeout(PATIENCE, self.swarm.select_next_some()).await.expect("no event of the swarm")
    }

    pub(super) async fn open(&mut self, peer: PeerId, connection: ConnectionId, kind: Kind) -> Option<Stream> {
        self.swarm.behaviour_mut().open(peer, connection, kind);
        loop {
            match self.next().await {
                SwarmEvent::Behaviour(streams::Event { outcome: Outcome::Opened(stream), .. }) => return Some(stream),
                SwarmEvent::Behaviour(streams::Event { outcome: Outcome::Failed, .. }) => return None,
                SwarmEvent::ConnectionClosed { connection_id, .. } if connection_id == connection => return None,
                _ => {}
            }
        }
    }

    /// Waits until the other end closes the connection.
    pub(super) async fn closed(&mut self) {
        while !self.was_closed {
            self.was_closed = matches!(self.next().await, SwarmEvent::ConnectionClosed { .. });
        }
    }

    /// Does something on a stream while the swarm runs.
    pub(super) async fn with<T>(&mut self, work: impl Future<Output = T>) -> T {
        let work = tokio::time::timeout(PATIENCE, work);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done.expect("the work on a stream does not end"),
                event = self.swarm.select_next_some() => {
                    self.was_closed |= matches!(event, SwarmEvent::ConnectionClosed { .. });
                }
            }
        }
    }

    /// Says hello as a member of an organisation and returns the connection, which is a member's then.
    pub(super) async fn greet(&mut self, number: u8, to: NodeId, address: &Multiaddr) -> (PeerId, ConnectionId) {
        use futures::AsyncReadExt as _;
        let (peer, connection) = self.dial(to, address).await;
        let mut stream = self.open(peer, connection, Kind::Hello).await.unwrap();
        let knock = Knock::new(&organisation(number), [1; 16], &self.id, &to).encode();
        let welcome = Welcome { chain: chain(number, self.id), addresses: vec![] }.encode();
        let admitted = self
            .with(async {
                frames::write(&mut stream, &knock).await.unwrap();
                frames::read(&mut stream, 10_000).await.unwrap();
                frames::write(&mut stream, &welcome).await.unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                byte
            })
            .await;
        assert_eq!(admitted, [1]);
        (peer, connection)
    }
}
