//! Streams: opens one on a given connection, and reports those that others open.
//!
//! `libp2p-stream` opens a stream on any connection of a peer and does not say on which one a stream arrived. A hello
//! belongs to one connection, and there are two when both ends dial at once, so this behaviour keeps the connection
//! with the stream. It also has no queue of its own in which a stream could be lost.
//!
//! Called by the worker, on both sides of the gate: a stranger may open a stream of every kind, and the worker decides
//! which it takes. Dropping a stream resets it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use fedp2p_protocols::{hello, joining, sync};

/// Most streams that wait on one connection to be handed over. They are handed over at once; this only bounds what
/// a peer can pile up while the worker is busy.
const MAX_WAITING: usize = 16;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The hello.
    Hello,
    /// The joining handshake.
    Join,
    /// Sync frames.
    Sync,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Hello, Self::Join, Self::Sync];

    const fn name(self) -> &'static str {
        match self {
            Self::Hello => hello::PROTOCOL,
            Self::Join => joining::PROTOCOL,
            Self::Sync => sync::PROTOCOL,
        }
    }
}

/// A stream was opened, or could not be.
#[derive(Debug)]
pub(super) struct Event {
    /// The other end.
    pub(super) peer: PeerId,
    /// On which connection.
    pub(super) connection: ConnectionId,
    /// What for.
    pub(super) kind: Kind,
    /// What became of it.
    pub(super) outcome: Outcome,
}

/// See [`Event`].
#[derive(Debug)]
pub(super) enum Outcome {
    /// The other end opened it.
    Accepted(Stream),
    /// We asked for it with [`Streams::open`].
    Opened(Stream),
    /// We asked for it and the other end refused or did not answer.
    Failed,
}

/// The behaviour.
#[derive(Debug, Default)]
pub(super) struct Streams {
    queue: VecDeque<ToSwarm<Event, Kind>>,
}

impl Streams {
    /// Asks for a stream on this connection. One [`Event`] follows, unless the connection closes first.
    pub(super) fn open(&mut self, peer: PeerId, connection: ConnectionId, kind: Kind) {
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: kind,
        });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        (kind, outcome): THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(Event { peer, connection, kind, outcome }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The handler of one connection.
#[derive(Debug, Default)]
pub(super) struct Handler {
    wanted: VecDeque<Kind>,
    done: VecDeque<(Kind, Outcome)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Kind;
    type ToBehaviour = (Kind, Outcome);
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Kind;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(Kind::ALL.to_vec()), ())
    }

    fn on_behaviour_event(&mut self, kind: Kind) {
        self.wanted.push_back(kind);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Kind, (Kind, Outcome)>> {
        if let Some(done) = self.done.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(done));
        }
        match self.wanted.pop_front() {
            Some(kind) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Offer(vec![kind]), kind),
            }),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Kind>) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) = event {
            let (kind, stream) = protocol;
            if self.done.len() < MAX_WAITING {
                self.done.push_back((kind, Outcome::Accepted(stream)));
            }
        } else if let ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) = event {
            let (kind, stream) = protocol;
            self.done.push_back((kind, Outcome::Opened(stream)));
        } else if let ConnectionEvent::DialUpgradeError(DialUpgradeError { info, .. }) = event {
            self.done.push_back((info, Outcome::Failed));
        }
    }
}

/// The protocols that are offered, or asked for, in one negotiation.
#[derive(Debug)]
pub(super) struct Offer(Vec<Kind>);

/// A [`Kind`] by the name under which it is negotiated.
#[derive(Debug, Clone)]
pub(super) struct Name(Kind);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0.name()
    }
}

impl From<Name> for StreamProtocol {
    fn from(name: Name) -> Self {
        Self::new(name.0.name())
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = std::vec::IntoIter<Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|kind| Name(*kind)).collect::<Vec<_>>().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Kind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Kind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}
