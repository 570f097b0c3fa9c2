//! `fedp2p agents`.

use clap::Args;
use fedp2p_protocols::api::agents;

use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::ui::colour::Style;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::Clock;
use crate::ui::{Output, show};

/// List the agents of the mesh
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fedp2p agents\n  fedp2p agents --limit 20 --after coder@taichi\n  fedp2p agents --json"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    page: Page,
}

/// Lists the agents of the mesh.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let Page { limit, after } = arguments.page;
    let begins = after.is_none();
    let reply = context.ask(agents::Request { limit, after }).await?;
    if reply.agents.is_empty() && begins {
        context.out.note("no agent has spoken yet");
    }
    context.show::<agents::Request>(&reply, |out| words(&reply, out))?;
    page::note(context, reply.more, reply.next.as_deref());
    Ok(())
}

fn words(reply: &agents::Reply, out: &Output) -> String {
    if reply.agents.is_empty() {
        return String::new();
    }
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::fixed("Agent"),
        Column::fixed("Kind"),
        Column::fixed("Presence"),
        Column::fixed("Attention"),
        Column::text("Status"),
        Column::text("Summary"),
        Column::number("Updated"),
    ]);
    for agent in &reply.agents {
        table.row([
            Cell::styled(&agent.address.to_string(), Style::Strong),
            show::kind(agent.kind).into(),
            show::presence(agent.presence),
            show::attention(agent.attention).into(),
            Cell::maybe(agent.status.as_deref()),
            Cell::maybe(agent.summary.as_deref()),
            Cell::maybe(agent.updated.map(|at| clock.ago(at)).as_deref()),
        ]);
    }
    table.render(out.width(), out.paint())
}
