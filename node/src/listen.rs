//! Where a node listens: what a person asked for, or every interface on one port that stays the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// A text is not an address to listen on.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an address to listen on")]
pub(crate) struct ListenError {
    text: String,
}

/// Where to listen, and what to remember.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) addresses: Vec<Multiaddr>,
    /// The port to use from now on, if it was chosen just now.
    pub(crate) remember: Option<u16>,
    /// The remembered port, if something else uses it.
    pub(crate) taken: Option<u16>,
}

/// Returns the addresses to listen on.
///
/// # Errors
/// If a text is neither `IP:PORT`, nor `IP`, nor a multiaddr.
pub(crate) fn choose(asked: &[String], remembered: Option<u16>) -> Result<Chosen, ListenError> {
    if asked.is_empty() {
        return Ok(everywhere(remembered));
    }
    let mut chosen = Chosen::default();
    for text in asked {
        if text.starts_with('/') {
            let address = text.parse().map_err(|_| ListenError { text: text.clone() })?;
            chosen.addresses.push(address);
            continue;
        }
        let (ip, port) = match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
            (Ok(address), _) if address.port() != 0 => (address.ip(), address.port()),
            (Ok(address), _) => (address.ip(), pick(address.ip(), remembered, &mut chosen)),
            (_, Ok(ip)) => (ip, pick(ip, remembered, &mut chosen)),
            _ => return Err(ListenError { text: text.clone() }),
        };
        chosen.addresses.extend(both(ip, port));
    }
    Ok(chosen)
}

fn everywhere(remembered: Option<u16>) -> Chosen {
    let mut chosen = Chosen::default();
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let port = pick(all, remembered, &mut chosen);
    chosen.addresses.extend(both(all, port));
    chosen
}

/// TCP and QUIC on one port.
fn both(ip: IpAddr, port: u16) -> [Multiaddr; 2] {
    let base = Multiaddr::from(ip);
    [base.clone().with(Protocol::Tcp(port)), base.with(Protocol::Udp(port)).with(Protocol::QuicV1)]
}

/// The remembered port if it is free, or one that is.
fn pick(ip: IpAddr, remembered: Option<u16>, chosen: &mut Chosen) -> u16 {
    match remembered {
        Some(port) if is_free(ip, port) => port,
        Some(port) => {
            chosen.taken = Some(port);
            free_port(ip)
        }
        None => {
            let port = free_port(ip);
            chosen.remember = (port != 0).then_some(port);
            port
        }
    }
}

fn is_free(ip: IpAddr, port: u16) -> bool {
    TcpListener::bind((ip, port)).is_ok() && UdpSocket::bind((ip, port)).is_ok()
}

/// A port that is free for TCP and UDP; 0 lets the system choose when none was found.
fn free_port(ip: IpAddr) -> u16 {
    (0..16)
        .filter_map(|_| TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).ok())
        .map(|address| address.port())
        .find(|port| is_free(ip, *port))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_both_transports_on_one_port() {
        let chosen = choose(&["127.0.0.1:4801".to_owned()], None).unwrap();
        let texts: Vec<String> = chosen.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["/ip4/127.0.0.1/tcp/4801", "/ip4/127.0.0.1/udp/4801/quic-v1"]);
    }

    #[test]
    fn a_chosen_port_is_remembered_and_kept() {
        let first = choose(&["127.0.0.1:0".to_owned()], None).unwrap();
        let port = first.remember.unwrap();
        let second = choose(&["127.0.0.1".to_owned()], Some(port)).unwrap();
        assert_eq!(second.remember, None);
        assert_eq!(first.addresses, second.addresses);
    }

    #[test]
    fn what_is_no_address_is_named() {
        let error = choose(&["nonsense".to_owned()], None).unwrap_err();
        assert_eq!(error.to_string(), "\"nonsense\" is not an address to listen on");
    }
}
