//! Addresses: as people type them, as libp2p wants them, and the two forms of a node's identity.
//!
//! A [`NodeId`] is an Ed25519 public key and a libp2p peer id is a wrapping of the same key, so each can be made from
//! the other. Called by the rest of `net`, and by whoever reads `--peer`.

use std::net::{IpAddr, SocketAddr};

use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::limits::{MAX_ADDRESS_BYTES, MAX_ADDRESSES};
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// A text is not the address of a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It starts like a multiaddr and is not one.
    #[error("not a valid address: {0}")]
    Multiaddr(String),
    /// It is a multiaddr that no transport of ours can dial.
    #[error("only /ip4 or /ip6 with /tcp/PORT or /udp/PORT/quic-v1 can be dialled, not {0}")]
    Transport(Multiaddr),
    /// It is neither a multiaddr nor host and port.
    #[error("an address is written HOST:PORT or /ip4/ADDRESS/tcp/PORT, not {0:?}")]
    Form(String),
    /// The name of the host leads nowhere.
    #[error("cannot find the host {host:?}")]
    Lookup {
        /// The name and port that were looked up.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Returns the addresses that `text`, a multiaddr or `HOST:PORT`, stands for. A port without more is a TCP port.
///
/// # Errors
/// If the text is neither, or the host is not found.
pub async fn resolve(text: &str) -> Result<Vec<Multiaddr>, AddressError> {
    if text.starts_with('/') {
        let address: Multiaddr =
            text.parse().map_err(|error: libp2p::multiaddr::Error| AddressError::Multiaddr(error.to_string()))?;
        if !is_dialable(&address) {
            return Err(AddressError::Transport(address));
        }
        return Ok(vec![address]);
    }
    let form = || AddressError::Form(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
    if host.is_empty() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(form());
    }
    let found =
        tokio::net::lookup_host(text).await.map_err(|source| AddressError::Lookup { host: text.to_owned(), source })?;
    Ok(found.map(tcp).collect())
}

fn tcp(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

/// Returns the peer id of a node, or nothing if the node id is not a key.
pub(super) fn peer_of(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Returns the node with this peer id, or nothing if its key is not an Ed25519 key.
pub(super) fn node_of(peer: &PeerId) -> Option<NodeId> {
    // The peer id of a short key is the key itself in an identity "hash".
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(NodeId::from_bytes(key.try_into_ed25519().ok()?.to_bytes()))
}

/// Splits a trailing `/p2p/PEER` off.
pub(super) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.pop() {
        Some(Protocol::P2p(peer)) => (address, Some(peer)),
        Some(other) => (address.with(other), None),
        None => (address, None),
    }
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => Some(ip.into()),
        Some(Protocol::Ip6(ip)) => Some(ip.into()),
        Some(_) | None => None,
    }
}

/// Whether only this machine can reach the address.
pub(super) fn is_loopback(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_loopback())
}

/// Whether the address goes over TCP.
pub(super) fn is_tcp(address: &Multiaddr) -> bool {
    matches!(address.iter().nth(1), Some(Protocol::Tcp(_)))
}

/// Whether our transports can dial the address: nothing but an IP, a port and perhaps a peer.
pub(super) fn is_dialable(address: &Multiaddr) -> bool {
    let (bare, _) = split_peer(address.clone());
    let parts: Vec<Protocol<'_>> = bare.iter().collect();
    let host = ip(address).is_some_and(|ip| !ip.is_unspecified() && !ip.is_multicast());
    host && match parts.as_slice() {
        [_, Protocol::Tcp(port)] | [_, Protocol::Udp(port), Protocol::QuicV1] => *port != 0,
        _ => false,
    }
}

/// Reads addresses that somebody else wrote, leaving out what cannot be dialled.
pub(super) fn read_all<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<Multiaddr> {
    texts
        .into_iter()
        .filter(|text| text.len() <= MAX_ADDRESS_BYTES)
        .filter_map(|text| text.parse().ok())
        .filter(is_dialable)
        .map(|address| split_peer(address).0)
        .take(MAX_ADDRESSES)
        .collect()
}

/// Writes addresses for others: those that other machines can reach come first.
pub(super) fn write_all<'a>(addresses: impl IntoIterator<Item = &'a Multiaddr>) -> Vec<String> {
    let mut sorted: Vec<&Multiaddr> = addresses.into_iter().collect();
    sorted.sort_by_key(|address| (is_loopback(address), !is_tcp(address)));
    sorted.iter().take(MAX_ADDRESSES).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedp2p_protocols::op::NodeKey;

    #[test]
    fn a_node_and_its_peer_id_are_the_same_key() {
        let seed = [7; 32];
        let node = NodeKey::from_seed(seed).id();
        let key = libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap();
        assert_eq!(peer_of(&node), Some(key.public().to_peer_id()));
        assert_eq!(node_of(&key.public().to_peer_id()), Some(node));
    }

    #[tokio::test]
    async fn host_and_port_become_a_tcp_address() {
        let found = resolve("127.0.0.1:4801").await.unwrap();
        assert_eq!(found, ["/ip4/127.0.0.1/tcp/4801".parse().unwrap()]);
        let found = resolve("[::1]:4801").await.unwrap();
        assert_eq!(found, ["/ip6/::1/tcp/4801".parse().unwrap()]);
        assert!(!resolve("localhost:4801").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_not_an_address_is_named() {
        for text in ["", "host", "host:", ":80", "host:port", "host:0", "1.2.3.4:99999"] {
            assert!(matches!(resolve(text).await, Err(AddressError::Form(_))), "{text}");
        }
        assert!(matches!(resolve("/ip4/1.2.3").await, Err(AddressError::Multiaddr(_))));
        for text in ["/dns4/example.org/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip4/1.2.3.4/udp/1", "/"] {
            let error = resolve(text).await.unwrap_err();
            let expected = matches!(error, AddressError::Transport(_) | AddressError::Multiaddr(_));
            assert!(expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_others_are_filtered_and_bounded() {
        let mut texts = vec!["nonsense".to_owned(), "/ip4/1.2.3.4/tcp/0".to_owned(), "/memory/1".to_owned()];
        texts.extend((1..100).map(|port| format!("/ip4/1.2.3.4/tcp/{port}")));
        let read = read_all(&texts);
        assert_eq!(read.len(), MAX_ADDRESSES);
        assert_eq!(read[0], "/ip4/1.2.3.4/tcp/1".parse().unwrap());
    }
}
