//! `fedp2p peers`.

use std::time::Duration;

use fedp2p_protocols::api::peers;

use crate::context::Context;
use crate::error::Error;
use crate::ui::colour::Style;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::{Clock, measured};
use crate::ui::{Output, show};

/// Lists the other nodes.
pub(crate) async fn run(context: &Context) -> Result<(), Error> {
    let reply = context.ask(peers::Request {}).await?;
    if reply.peers.is_empty() {
        context.out.note(&format!("no other nodes yet: \"{} invite\" makes a ticket for one", context.program));
    }
    context.show::<peers::Request>(&reply, |out| words(&reply, out))
}

fn words(reply: &peers::Reply, out: &Output) -> String {
    if reply.peers.is_empty() {
        return String::new();
    }
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::fixed("Node"),
        Column::fixed("Presence"),
        Column::number("Round trip"),
        Column::number("Seen"),
        Column::number("Behind"),
        Column::number("Certificate"),
        Column::text("Address"),
    ]);
    for peer in &reply.peers {
        let rtt = peer.rtt_us.map(|us| measured(Duration::from_micros(us)));
        table.row([
            Cell::styled(&peer.name, Style::Strong),
            show::presence(peer.presence),
            Cell::maybe(rtt.as_deref()),
            Cell::maybe(peer.last_seen.map(|at| clock.ago(at)).as_deref()),
            peer.behind.to_string().into(),
            clock.until(peer.certificate_expires).into(),
            Cell::maybe(peer.address.as_deref()),
        ]);
    }
    table.render(out.width(), out.paint())
}
