//! `fedp2p status`.

use std::path::Path;

use fedp2p_protocols::api::{Operation, status};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::mcp::http::Place;
use crate::ui::colour::Style;
use crate::ui::table::{Column, Table};
use crate::ui::time::{Clock, span};
use crate::ui::{Output, escape, show};

/// How many characters of a digest tell two nodes apart at a glance.
const DIGEST: usize = 12;

/// Shows how the node is doing.
pub(crate) async fn run(context: &Context) -> Result<(), Error> {
    let reply = context.ask(status::Request {}).await?;
    let place = Place::of(&context.home);
    let shown = Shown { status: &reply, mcp: place.url().map(|url| Mcp { url, token_file: place.token_file() }) };
    if context.out.json() {
        context.out.envelope(status::Request::NAME, &shown, None)?;
        return Ok(());
    }
    let mut text = words(&reply, &context.out);
    if let Some(mcp) = &shown.mcp {
        let line = format!("{}, token in {}", mcp.url, mcp.token_file.display());
        text.push_str(&format!("\nAI tools connect at {}\n", escape::line(&line)));
    }
    context.out.print(&text)?;
    Ok(())
}

/// What programs read: the daemon's answer, and where AI tools connect.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a status::Reply,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp: Option<Mcp<'a>>,
}

/// Where AI tools connect over HTTP, and the file with the token that they show.
#[derive(Serialize)]
struct Mcp<'a> {
    url: String,
    token_file: &'a Path,
}

fn words(reply: &status::Reply, out: &Output) -> String {
    let (paint, clock) = (out.paint(), Clock::local());
    let mut text = show::node(reply, out);
    let running = format!("fedp2p {}, process {}, up {}", reply.version, reply.pid, span(reply.uptime_ms));
    text.push_str(&format!("  {} {}\n", paint.faint("daemon       "), escape::line(&running)));
    let expires = clock.until(reply.certificate_expires);
    text.push_str(&format!("  {} {expires}\n\n", paint.faint("certificate  ")));
    let mut table = Table::new(&[
        Column::fixed("Conversation"),
        Column::number("Entries"),
        Column::number("Logs"),
        Column::number("Waiting"),
        Column::fixed("Entries digest"),
        Column::fixed("Picture digest"),
    ]);
    for conversation in &reply.conversations {
        table.row([
            (&conversation.name).into(),
            conversation.ops.to_string().into(),
            conversation.logs.to_string().into(),
            conversation.pending.to_string().into(),
            short(&conversation.ops_digest).into(),
            short(&conversation.picture_digest).into(),
        ]);
    }
    text.push_str(&table.render(out.width(), paint));
    for fork in &reply.forks {
        let line = format!("{} contradicted itself in log {} at {}", fork.node, fork.log.short(), fork.seq);
        text.push_str(&format!("{} {}\n", paint.paint(Style::Bad, "fork:"), escape::line(&line)));
    }
    for warning in &reply.warnings {
        text.push_str(&format!("{} {}\n", paint.paint(Style::Doubtful, "warning:"), escape::line(warning)));
    }
    text
}

fn short(digest: &str) -> String {
    digest.chars().take(DIGEST).collect()
}
