//! Which part of a long list is asked for, and what is said when there is more of it.

use clap::Args;

use crate::context::Context;

// A doc comment here would become that of the commands.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Page {
    /// At most this many
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
    /// Only what comes after this, where the page before ended
    #[arg(long, value_name = "PLACE")]
    pub(crate) after: Option<String>,
}

/// Says that there is more of a list, and how to go on.
pub(crate) fn note(context: &Context, more: u64, next: Option<&str>) {
    if let Some(next) = next.filter(|_| more > 0) {
        context.out.note(&format!("{more} more, use --after {next}"));
    }
}
