//! The gate: members' protocols run on a connection only after its hello.
//!
//! [`Gate`] wraps the behaviour that members share. A new connection is hidden from it: on that connection nothing of
//! the wrapped behaviour is offered, and the wrapped behaviour does not know that it exists. [`Gate::open`] lets one
//! connection in: only then is its handler made and `ConnectionEstablished` told, with the other connections counted
//! among those that were let in. (gossipsub greets a peer only when that count is zero.)
//!
//! Both ends open their gate at nearly the same time, and a stream that arrives at a closed gate is refused for good:
//! gossipsub would note that the peer does not speak gossip. So the end that was dialled opens first and *holds*: it
//! answers streams but starts none, until the first stream of the dialling end shows that its gate is open too.
//!
//! Called by the worker. Invariant: the wrapped behaviour sees each connection opened at most once and closed exactly
//! as often as opened.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::task::{Context, Poll};

use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::core::{ConnectedPoint, Endpoint, transport::PortUse};
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::{
    AddressChange as HandlerAddressChange, ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound,
    FullyNegotiatedOutbound, ListenUpgradeError,
};
use libp2p::swarm::handler::{InboundUpgradeSend, SendWrapper};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

/// Which end of a connection opens its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The one that dialled: it may start streams at once, for the other end is open.
    Dialler,
    /// The one that was dialled: it waits for the first stream.
    Listener,
}

/// What a [`Gate`] tells the worker.
#[derive(Debug)]
pub(super) enum Event<E> {
    /// The handler of this connection is in place: streams of the other end are answered from now on.
    Opened(ConnectionId),
    /// The wrapped behaviour says.
    Inner(E),
}

struct Known {
    peer: PeerId,
    endpoint: ConnectedPoint,
    open: bool,
}

/// A behaviour for members only.
pub(super) struct Gate<B: NetworkBehaviour> {
    inner: B,
    connections: HashMap<ConnectionId, Known>,
    open: HashMap<PeerId, Vec<ConnectionId>>,
    queue: VecDeque<ToSwarm<Event<B::ToSwarm>, THandlerInEvent<Self>>>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner, connections: HashMap::new(), open: HashMap::new(), queue: VecDeque::new() }
    }

    /// The wrapped behaviour.
    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Lets a connection in. [`Event::Opened`] follows when its handler is in place.
    ///
    /// # Errors
    /// If the wrapped behaviour does not want the connection.
    pub(super) fn open(&mut self, connection: ConnectionId, end: End) -> Result<(), ConnectionDenied> {
        let Some(known) = self.connections.get_mut(&connection).filter(|known| !known.open) else {
            return Ok(());
        };
        let peer = known.peer;
        let handler = match &known.endpoint {
            ConnectedPoint::Dialer { address, role_override, port_use } => self
                .inner
                .handle_established_outbound_connection(connection, peer, address, *role_override, *port_use)?,
            ConnectedPoint::Listener { local_addr, send_back_addr } => {
                self.inner.handle_established_inbound_connection(connection, peer, local_addr, send_back_addr)?
            }
        };
        known.open = true;
        let open = self.open.entry(peer).or_default();
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: connection,
            endpoint: &known.endpoint,
            failed_addresses: &[],
            other_established: open.len(),
        }));
        open.push(connection);
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: ToHandler::Open { handler: Box::new(handler), held: end == End::Listener },
        });
        Ok(())
    }

    fn on_connection_closed(&mut self, closed: ConnectionClosed<'_>) {
        let Some(known) = self.connections.remove(&closed.connection_id).filter(|known| known.open) else {
            return;
        };
        let mut remaining = 0;
        if let Some(open) = self.open.get_mut(&known.peer) {
            open.retain(|id| *id != closed.connection_id);
            remaining = open.len();
        }
        if remaining == 0 {
            self.open.remove(&known.peer);
        }
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            remaining_established: remaining,
            ..closed
        }));
    }

    /// Aims an event for "any" connection of a peer at one that was let in: the others could not take it.
    fn aim(&self, peer: &PeerId, handler: NotifyHandler) -> Option<ConnectionId> {
        match handler {
            NotifyHandler::One(connection) => Some(connection),
            NotifyHandler::Any => self.open.get(peer)?.first().copied(),
        }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Handler<THandler<B>>;
    type ToSwarm = Event<B::ToSwarm>;

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

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionEstablished(established) = event {
            self.connections.insert(
                established.connection_id,
                Known { peer: established.peer_id, endpoint: established.endpoint.clone(), open: false },
            );
        } else if let FromSwarm::ConnectionClosed(closed) = event {
            self.on_connection_closed(closed);
        } else if let FromSwarm::AddressChange(change) = event {
            if let Some(known) = self.connections.get_mut(&change.connection_id) {
                known.endpoint = change.new.clone();
                if known.open {
                    self.inner.on_swarm_event(event);
                }
            }
        } else {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            FromHandler::Opened => self.queue.push_back(ToSwarm::GenerateEvent(Event::Opened(connection))),
            FromHandler::Inner(event) => self.inner.on_connection_handler_event(peer, connection, event),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(next) = self.queue.pop_front() {
            return Poll::Ready(next);
        }
        while let Poll::Ready(next) = self.inner.poll(cx) {
            if let ToSwarm::NotifyHandler { peer_id, handler, event } = next {
                let Some(connection) = self.aim(&peer_id, handler) else {
                    continue;
                };
                return Poll::Ready(ToSwarm::NotifyHandler {
                    peer_id,
                    handler: NotifyHandler::One(connection),
                    event: ToHandler::Inner(event),
                });
            }
            return Poll::Ready(next.map_in(ToHandler::Inner).map_out(Event::Inner));
        }
        Poll::Pending
    }
}

/// What a [`Gate`] tells its handler.
pub(super) enum ToHandler<H: ConnectionHandler> {
    /// Start to work.
    Open {
        /// The wrapped handler.
        handler: Box<H>,
        /// Whether it waits for the other end's first stream.
        held: bool,
    },
    /// The wrapped behaviour says.
    Inner(H::FromBehaviour),
}

impl<H: ConnectionHandler> fmt::Debug for ToHandler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { held, .. } => f.debug_struct("Open").field("held", held).finish(),
            Self::Inner(event) => f.debug_tuple("Inner").field(event).finish(),
        }
    }
}

/// What a handler tells its [`Gate`].
#[derive(Debug)]
pub(super) enum FromHandler<E> {
    /// The wrapped handler is in place.
    Opened,
    /// The wrapped handler says.
    Inner(E),
}

/// The handler of one connection: it offers nothing until it is opened.
pub(super) struct Handler<H> {
    inner: Option<H>,
    held: bool,
    announce: bool,
}

impl<H> Default for Handler<H> {
    fn default() -> Self {
        Self { inner: None, held: false, announce: false }
    }
}

type Inbound<H> = Either<SendWrapper<<H as ConnectionHandler>::InboundProtocol>, SendWrapper<DeniedUpgrade>>;
type InboundInfo<H> = Either<<H as ConnectionHandler>::InboundOpenInfo, ()>;
type Negotiated<H> = FullyNegotiatedInbound<Inbound<H>, InboundInfo<H>>;
type Failed<H> = ListenUpgradeError<InboundInfo<H>, Inbound<H>>;

impl<H: ConnectionHandler> Handler<H> {
    fn on_inbound(&mut self, FullyNegotiatedInbound { protocol, info }: Negotiated<H>) {
        let (Some(inner), futures::future::Either::Left(protocol), Either::Left(info)) =
            (self.inner.as_mut(), protocol, info)
        else {
            return;
        };
        self.held = false;
        inner.on_connection_event(ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }));
    }

    fn on_inbound_error(&mut self, ListenUpgradeError { error, info }: Failed<H>) {
        // A stream that was being refused when the gate opened fails afterwards; it is of no interest.
        if let (Some(inner), Either::Left(error), Either::Left(info)) = (self.inner.as_mut(), error, info) {
            inner.on_connection_event(ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }));
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Handler<H>
where
    H::InboundProtocol: InboundUpgradeSend,
{
    type FromBehaviour = ToHandler<H>;
    type ToBehaviour = FromHandler<H::ToBehaviour>;
    type InboundProtocol = Inbound<H>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = InboundInfo<H>;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        match &self.inner {
            Some(inner) => {
                inner.listen_protocol().map_upgrade(|upgrade| Either::Left(SendWrapper(upgrade))).map_info(Either::Left)
            }
            None => SubstreamProtocol::new(Either::Right(SendWrapper(DeniedUpgrade)), Either::Right(())),
        }
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.as_ref().is_some_and(ConnectionHandler::connection_keep_alive)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match (event, &mut self.inner) {
            (ToHandler::Open { handler, held }, empty @ None) => {
                *empty = Some(*handler);
                self.held = held;
                self.announce = true;
            }
            (ToHandler::Inner(event), Some(inner)) => inner.on_behaviour_event(event),
            (ToHandler::Open { .. }, Some(_)) | (ToHandler::Inner(_), None) => {}
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        if std::mem::take(&mut self.announce) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(FromHandler::Opened));
        }
        match &mut self.inner {
            Some(inner) if !self.held => inner.poll(cx).map(|event| event.map_custom(FromHandler::Inner)),
            Some(_) | None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        match &mut self.inner {
            Some(inner) => inner.poll_close(cx).map(|event| event.map(FromHandler::Inner)),
            None => Poll::Ready(None),
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        let event = match event {
            ConnectionEvent::FullyNegotiatedInbound(negotiated) => return self.on_inbound(negotiated),
            ConnectionEvent::ListenUpgradeError(error) => return self.on_inbound_error(error),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error })
            }
            ConnectionEvent::AddressChange(change) => {
                ConnectionEvent::AddressChange(HandlerAddressChange { new_address: change.new_address })
            }
            ConnectionEvent::LocalProtocolsChange(change) => ConnectionEvent::LocalProtocolsChange(change),
            ConnectionEvent::RemoteProtocolsChange(change) => ConnectionEvent::RemoteProtocolsChange(change),
            // `ConnectionEvent` may grow; what we do not know the wrapped handler can do without.
            _ => return,
        };
        if let Some(inner) = &mut self.inner {
            inner.on_connection_event(event);
        }
    }
}
