//! The door: turns connections away before they cost anything.
//!
//! A host may begin so many connections a second, have so many of them half open and so many of strangers; a peer that
//! is kept out does not get in. What a member used up is given back to its host once it is admitted: many nodes behind
//! one address are normal. Limits of a machine's own loopback address are wider, as all its nodes share it.
//!
//! A behaviour beside the others, because only behaviours are asked; called by the worker.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::core::{Endpoint, multiaddr::Protocol, transport::PortUse};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::conduct::{Bucket, Conduct, Rate};

/// Most hosts that are remembered.
const MAX_HOSTS: usize = 4096;

/// What one host may do.
struct Limits {
    /// Connections that it begins.
    begun: Rate,
    /// Its connections that have not shown a key yet.
    half_open: usize,
    /// Its connections that are not a member's.
    strangers: usize,
}

const REMOTE: Limits = Limits { begun: Rate { burst: 64.0, per_second: 4.0 }, half_open: 8, strangers: 32 };
const LOCAL: Limits = Limits { begun: Rate { burst: 256.0, per_second: 32.0 }, half_open: 32, strangers: 128 };

/// Why a connection is turned away.
#[derive(Debug, thiserror::Error)]
enum Turned {
    #[error("too many connections from one host")]
    Host,
    #[error("kept out")]
    Out,
}

/// The behaviour.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub(super) conduct: Conduct,
    hosts: BTreeMap<IpAddr, Bucket>,
    half_open: HashMap<ConnectionId, IpAddr>,
    strangers: HashMap<ConnectionId, IpAddr>,
}

/// The host of an address; of IPv6 the network, as a host has all of its addresses.
fn host(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| {
        if let Protocol::Ip4(ip) = part {
            return Some(IpAddr::V4(ip));
        }
        let Protocol::Ip6(ip) = part else { return None };
        Some(match ip.to_ipv4_mapped() {
            Some(ip) => IpAddr::V4(ip),
            None if ip.is_loopback() => IpAddr::V6(ip),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
        })
    })
}

fn limits(host: IpAddr) -> &'static Limits {
    if host.is_loopback() { &LOCAL } else { &REMOTE }
}

fn count(of: &HashMap<ConnectionId, IpAddr>, host: IpAddr) -> usize {
    of.values().filter(|other| **other == host).count()
}

impl Door {
    fn knocked(&mut self, connection: ConnectionId, host: IpAddr, now: Instant) -> Result<(), Turned> {
        let limits = limits(host);
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&host) {
            self.hosts.clear();
        }
        let begun = self.hosts.entry(host).or_insert_with(|| Bucket::full(limits.begun, now));
        if count(&self.half_open, host) >= limits.half_open || !begun.take(limits.begun, 1.0, now) {
            return Err(Turned::Host);
        }
        self.half_open.insert(connection, host);
        Ok(())
    }

    fn came(
        &mut self,
        connection: ConnectionId,
        peer: &PeerId,
        host: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Turned> {
        self.half_open.remove(&connection);
        if !self.conduct.may_connect(peer, now) {
            return Err(Turned::Out);
        }
        let Some(host) = host else { return Ok(()) };
        if count(&self.strangers, host) >= limits(host).strangers {
            return Err(Turned::Host);
        }
        self.strangers.insert(connection, host);
        Ok(())
    }

    /// A connection became a member's.
    pub(super) fn admitted(&mut self, connection: ConnectionId) {
        if let Some(host) = self.strangers.remove(&connection)
            && let Some(begun) = self.hosts.get_mut(&host)
        {
            begun.give(limits(host).begun, 1.0);
        }
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(host) = host(remote) else { return Ok(()) };
        self.knocked(connection, host, Instant::now()).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.came(connection, &peer, host(remote), Instant::now()).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.conduct.is_out(&peer, Instant::now()) {
            return Err(ConnectionDenied::new(Turned::Out));
        }
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = event {
            self.strangers.remove(&closed.connection_id);
        } else if let FromSwarm::ListenFailure(failure) = event {
            self.half_open.remove(&failure.connection_id);
            self.strangers.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FAR: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0));

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn a_host_is_held_to_so_many_half_open_connections_and_others_are_not() {
        let (mut door, now) = (Door::default(), Instant::now());
        let let_in = (0..100).filter(|number| door.knocked(id(*number), FAR, now).is_ok()).count();
        assert_eq!(let_in, REMOTE.half_open);
        let other = IpAddr::V4([192, 0, 2, 1].into());
        assert!(door.knocked(id(200), other, now).is_ok());
        door.came(id(0), &PeerId::random(), Some(FAR), now).unwrap();
        assert!(door.knocked(id(201), FAR, now).is_ok());
    }

    #[test]
    fn a_host_is_held_to_a_rate_of_connections_that_members_do_not_use_up() {
        let (mut door, now) = (Door::default(), Instant::now());
        let mut attempt = |number: usize, member: bool, now: Instant| {
            let begun = door.knocked(id(number), FAR, now).is_ok();
            let connected = begun && door.came(id(number), &PeerId::random(), Some(FAR), now).is_ok();
            if member {
                door.admitted(id(number));
            } else {
                door.strangers.remove(&id(number));
            }
            connected
        };
        assert_eq!((0..500).filter(|number| attempt(*number, true, now)).count(), 500);
        assert_eq!((500..1000).filter(|number| attempt(*number, false, now)).count(), 64);
        let later = now + Duration::from_secs(2);
        assert_eq!((1000..1100).filter(|number| attempt(*number, false, later)).count(), 8);
    }

    #[test]
    fn a_host_is_held_to_so_many_strangers() {
        let (mut door, now) = (Door::default(), Instant::now());
        let mut let_in = 0;
        for number in 0..60 {
            door.knocked(id(number), FAR, now).unwrap();
            let_in += usize::from(door.came(id(number), &PeerId::random(), Some(FAR), now).is_ok());
        }
        assert_eq!(let_in, REMOTE.strangers);
    }

    #[test]
    fn a_peer_that_broke_the_rules_is_kept_out_and_let_in_again() {
        let (mut door, now, peer) = (Door::default(), Instant::now(), PeerId::random());
        let until = door.conduct.offend(&peer, now);
        assert!(door.came(id(1), &peer, Some(FAR), now).is_err());
        assert!(door.came(id(2), &peer, Some(FAR), until).is_ok());
    }

    #[test]
    fn a_host_has_all_addresses_of_its_network() {
        let at = |address: &str| host(&address.parse().unwrap()).unwrap();
        assert_eq!(at("/ip6/2001:db8:0:1::7/tcp/1"), FAR);
        assert_eq!(at("/ip6/2001:db8:0:1:9::7/udp/1/quic-v1"), FAR);
        assert_eq!(at("/ip6/::ffff:192.0.2.1/tcp/1"), at("/ip4/192.0.2.1/tcp/9"));
        assert!(at("/ip6/::1/tcp/1").is_loopback());
    }
}
