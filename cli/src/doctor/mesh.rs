//! The daemon and the other nodes, as the daemon sees them.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fedp2p_node::client::Client;
use fedp2p_protocols::api::{Presence, peers, pulse, status};

use super::Finding;
use super::machine::active_firewall;
use crate::context::Context;
use crate::error::Error;
use crate::ui::time::{measured, now};

/// How far the clock of another node may be ahead; beyond that nothing of it is accepted.
const MAX_AHEAD: Duration = fedp2p_protocols::limits::MAX_FUTURE;
/// How long a port of this machine has to answer.
const PORT_PATIENCE: Duration = Duration::from_secs(1);
/// An answer of the daemon that takes longer is slow.
const SLOW: Duration = Duration::from_millis(100);
/// When a certificate that has not been renewed is worth a word.
const EXPIRES_SOON: Duration = Duration::from_secs(3 * 24 * 3600);

/// Looks at the daemon and what it says of the mesh. Without a daemon that is all there is to find.
pub(crate) async fn mesh(context: &Context) -> Vec<Finding> {
    match ask(context).await {
        Ok(findings) => findings,
        Err(error) => {
            let report = error.report(&context.program);
            let hint = report
                .hint
                .replace(&format!("{} up\"", context.program), &format!("{} up --detach\"", context.program));
            vec![Finding::bad("daemon", report.message, hint)]
        }
    }
}

async fn ask(context: &Context) -> Result<Vec<Finding>, Error> {
    let mut client = context.connect().await?;
    let begun = Instant::now();
    let status = client.call(status::Request {}).await?;
    let mut findings = vec![daemon(&status, begun.elapsed(), context)];
    findings.extend(
        status
            .warnings
            .iter()
            .map(|warning| Finding::doubtful("daemon", warning, format!("see \"{} status\"", context.program))),
    );
    findings.push(certificate(&status));
    findings.push(pin(&status, context));
    let peers = client.call(peers::Request {}).await?.peers;
    findings.push(discovery(&peers, context));
    findings.push(firewall(&status, &peers));
    findings.extend(clocks(&mut client).await?);
    Ok(findings)
}

fn daemon(status: &status::Reply, took: Duration, context: &Context) -> Finding {
    let found = format!("version {}, process {}, answers in {}", status.version, status.pid, measured(took));
    if status.version != env!("CARGO_PKG_VERSION") {
        let hint = format!("restart it: \"{0} down && {0} up --detach\"", context.program);
        return Finding::doubtful("daemon", format!("{found}; this program is {}", env!("CARGO_PKG_VERSION")), hint);
    }
    if took > SLOW {
        return Finding::doubtful("daemon", found, "see what else this machine does");
    }
    Finding::good("daemon", found)
}

fn certificate(status: &status::Reply) -> Finding {
    let left = Duration::from_millis(status.certificate_expires.saturating_sub(now()));
    let hint = "let this node meet the one that founded the organisation, which renews it";
    match left {
        Duration::ZERO => Finding::bad("certificate", "it has expired", hint),
        left if left < EXPIRES_SOON => Finding::doubtful("certificate", "it expires within three days", hint),
        _ => Finding::good("certificate", format!("valid for another {} days", left.as_secs() / 86_400)),
    }
}

fn pin(status: &status::Reply, context: &Context) -> Finding {
    if status.pin {
        return Finding::good("PIN", "set: no program answers approvals for people");
    }
    let found = "not set: nobody can answer approvals here yet";
    Finding::doubtful("PIN", found, format!("set it: \"{} pin\"", context.program))
}

fn discovery(peers: &[peers::Peer], context: &Context) -> Finding {
    let away: Vec<&str> =
        peers.iter().filter(|peer| peer.presence != Presence::Reachable).map(|peer| peer.name.as_str()).collect();
    let hint = "see that they run and share a network, or name one: fedp2p up --peer HOST:PORT";
    match (peers.len(), away.len()) {
        (0, _) => Finding::good("other nodes", format!("none yet; invite one: \"{} invite\"", context.program)),
        (all, 0) => Finding::good("other nodes", format!("all {all} reachable")),
        (all, gone) if all == gone => Finding::bad("other nodes", format!("none of {all} reachable"), hint),
        (all, _) => {
            let found = format!("{} of {all} not reachable: {}", away.len(), away.join(", "));
            Finding::doubtful("other nodes", found, hint)
        }
    }
}

/// Looks whether the node's ports answer, and whether something here may keep others from them.
fn firewall(status: &status::Reply, peers: &[peers::Peer]) -> Finding {
    let ports: Vec<SocketAddr> = status.listening.iter().filter_map(|address| tcp(address)).collect();
    let closed = ports.iter().find(|port| TcpStream::connect_timeout(port, PORT_PATIENCE).is_err());
    if let Some(port) = closed {
        let hint = format!("let TCP and UDP through to port {}", port.port());
        return Finding::bad("firewall", format!("{port} does not answer, not even from here"), hint);
    }
    let reached = peers.iter().any(|peer| peer.presence == Presence::Reachable);
    let outside = ports.iter().find(|port| !port.ip().is_loopback());
    match (active_firewall(), outside) {
        (Some(name), Some(port)) if !reached => {
            let hint = format!("let TCP and UDP through to port {}, or see that {name} does", port.port());
            Finding::doubtful("firewall", format!("{name} is on, and no other node is connected"), hint)
        }
        (_, None) => Finding::good("firewall", "the node listens on this machine alone"),
        _ => Finding::good("firewall", "the node's ports answer"),
    }
}

/// The address of a TCP port in a multiaddress, such as `/ip4/192.0.2.1/tcp/4001`.
fn tcp(address: &str) -> Option<SocketAddr> {
    let mut parts = address.split('/').skip(1);
    let (family, ip) = (parts.next()?, parts.next()?);
    if !matches!(family, "ip4" | "ip6") || parts.next()? != "tcp" {
        return None;
    }
    Some(SocketAddr::new(ip.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Looks whether the clocks of others are ahead of ours, as far as their pulses say.
async fn clocks(client: &mut Client) -> Result<Option<Finding>, Error> {
    let latest = now() + u64::try_from(MAX_AHEAD.as_millis()).unwrap_or(u64::MAX);
    let rows = client.call(pulse::Request::default()).await?.agents;
    let ahead = rows.into_iter().find(|row| row.at > latest);
    Ok(ahead.map(|row| {
        let found = format!("the clock of {} is ahead of this machine's by more than two minutes", row.address.node);
        Finding::bad("clocks", found, "set both clocks, best by NTP: timedatectl set-ntp true")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_out_of_addresses() {
        assert_eq!(tcp("/ip4/192.0.2.1/tcp/4001"), Some("192.0.2.1:4001".parse().unwrap()));
        assert_eq!(tcp("/ip6/::1/tcp/4001/p2p/x"), Some("[::1]:4001".parse().unwrap()));
        for other in ["/ip4/192.0.2.1/udp/4001/quic-v1", "", "/dns/x/tcp/1", "192.0.2.1:4001"] {
            assert_eq!(tcp(other), None, "{other}");
        }
    }
}
