//! `fedp2p note`.

use std::io;

use clap::{Args, Subcommand};
use fedp2p_protocols::api::note::Saved;
use fedp2p_protocols::api::{Operation, note_append, note_edit, note_history, note_list, note_restore, note_show};
use fedp2p_protocols::name::NoteName;

use super::send::read_text;
use crate::context::Context;
use crate::error::Error;
use crate::ui::colour::Style;
use crate::ui::show::QUOTE;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::Clock;
use crate::ui::{Output, escape};

/// Write texts together
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put lines at the end of a note, or begin one
    #[command(after_help = "\
Examples:
  fedp2p note append plan \"- measure the index first\"
  cargo test 2>&1 | tail | fedp2p note append findings - --agent tester")]
    Append {
        /// The note
        name: NoteName,
        /// The text, or - to read it from stdin
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Put another passage in the place of one
    #[command(after_help = "\
The passage must stand in the note exactly once. What others edit elsewhere in the note at the same time stands as well.

Examples:
  fedp2p note edit plan --replace \"owner: nobody\" --with \"owner: coder\"
  fedp2p note edit plan --replace \"a wrong line\" --with \"a right one\"")]
    Edit {
        /// The note
        name: NoteName,
        /// The passage, word for word
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        replace: String,
        /// What stands there afterwards; nothing removes the passage
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        with: String,
    },
    /// Show a note
    #[command(after_help = "Examples:\n  fedp2p note show plan\n  fedp2p note show plan --version 4f6h2k3a")]
    Show {
        /// The note
        name: NoteName,
        /// As it was after this edit: its id in the history, or a start of it that is unique there
        #[arg(long, value_name = "ID")]
        version: Option<String>,
        /// Only from this character on
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u32,
    },
    /// List the edits of a note and who made them
    #[command(after_help = "Examples:\n  fedp2p note history plan\n  fedp2p note history plan --limit 5 --json")]
    History {
        /// The note
        name: NoteName,
        /// Only edits before this one: its id, or a start of it that is unique there
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// At most this many, the newest
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Make a note what it was after one of its edits
    #[command(after_help = "\
This is an edit like any other: nothing is lost, and it can be undone in the same way.

Examples:
  fedp2p note restore plan 4f6h2k3a")]
    Restore {
        /// The note
        name: NoteName,
        /// The edit: its id in the history, or a start of it that is unique there
        version: String,
    },
    /// List the notes
    #[command(after_help = "Examples:\n  fedp2p note list\n  fedp2p note list --after plan --limit 20 --json")]
    List {
        /// Only those after this name
        #[arg(long, value_name = "NAME")]
        after: Option<NoteName>,
        /// At most this many
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

/// Appends, edits, shows or restores.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::Append { name, text } => {
            let text = if text == "-" { read_text(io::stdin())? } else { text };
            save(note_append::Request { name, text }, context).await
        }
        Action::Edit { name, replace, with } => save(note_edit::Request { name, replace, with }, context).await,
        Action::Restore { name, version } => save(note_restore::Request { name, version }, context).await,
        Action::Show { name, version, from } => show(note_show::Request { name, version, from }, context).await,
        Action::History { name, before, limit } => {
            history(note_history::Request { name, before, limit }, context).await
        }
        Action::List { after, limit } => list(note_list::Request { after, limit }, context).await,
    }
}

async fn save<O: Operation<Reply = Saved>>(operation: O, context: &Context) -> Result<(), Error> {
    let reply = context.ask(operation).await?;
    context.show::<O>(&reply, |_| match &reply.version {
        Some(version) => format!("edited {}: {}, {} bytes now\n", reply.name, version.short(), reply.bytes),
        None => format!("{} was so already\n", reply.name),
    })
}

async fn show(request: note_show::Request, context: &Context) -> Result<(), Error> {
    let reply = context.ask(request).await?;
    context.show::<note_show::Request>(&reply, |out| {
        let clock = Clock::local();
        let mut head = format!("{}  {} edits", out.paint().strong(reply.name.as_str()), reply.edits);
        if let (Some(by), Some(at)) = (&reply.by, reply.at) {
            head.push_str(&format!(", the last by {by} {}", clock.moment(at)));
        }
        let text = reply.text.strip_suffix('\n').unwrap_or(&reply.text);
        format!("{head}\n{}", escape::block(text, QUOTE))
    })?;
    if let Some(next) = reply.next {
        context.out.note(&format!("there is more: --from {next}"));
    }
    Ok(())
}

async fn history(request: note_history::Request, context: &Context) -> Result<(), Error> {
    let reply = context.ask(request).await?;
    context.show::<note_history::Request>(&reply, |out| edits(&reply, out))?;
    if let Some(before) = &reply.before {
        context.out.note(&format!("{} came before these: --before {}", reply.earlier, before.short()));
    }
    if reply.left_out > 0 {
        context
            .out
            .note(&format!("{} more do not count: they build on what is not here, or break a rule", reply.left_out));
    }
    Ok(())
}

fn edits(reply: &note_history::Reply, out: &Output) -> String {
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::fixed("Version"),
        Column::fixed("By"),
        Column::fixed("At"),
        Column::number("Added"),
        Column::number("Removed"),
    ]);
    for edit in &reply.edits {
        table.row([
            Cell::styled(&edit.version.short(), Style::Strong),
            edit.by.to_string().into(),
            clock.moment(edit.at).into(),
            edit.inserted.to_string().into(),
            edit.deleted.to_string().into(),
        ]);
    }
    table.render(out.width(), out.paint())
}

async fn list(request: note_list::Request, context: &Context) -> Result<(), Error> {
    let first = request.after.is_none();
    let reply = context.ask(request).await?;
    if first && reply.notes.is_empty() {
        context.out.note(&format!("no notes: \"{} note append\" begins one", context.program));
    }
    context.show::<note_list::Request>(&reply, |out| {
        if reply.notes.is_empty() {
            return String::new();
        }
        let clock = Clock::local();
        let mut table = Table::new(&[
            Column::fixed("Note"),
            Column::number("Edits"),
            Column::fixed("Last by"),
            Column::number("Age"),
        ]);
        for row in &reply.notes {
            table.row([
                Cell::styled(row.name.as_str(), Style::Strong),
                row.edits.to_string().into(),
                row.by.to_string().into(),
                clock.ago(row.at).into(),
            ]);
        }
        table.render(out.width(), out.paint())
    })?;
    if let Some(after) = &reply.after {
        context.out.note(&format!("there are more: --after {after}"));
    }
    Ok(())
}
