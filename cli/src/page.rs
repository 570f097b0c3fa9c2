//! Which part of a long list is asked for, and what is said when there is more of it.

use clap::Args;

use crate::context::Context;
use crate::shell;

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

/// Says that there is more than a command shows that takes no page, and which `list` shows the rest.
pub(crate) fn note_list(context: &Context, list: &str, more: u64, next: Option<&str>) {
    if let Some(next) = next.filter(|_| more > 0) {
        context.out.note(&format!("{more} more, use \"{}\"", rest(&context.program, list, next)));
    }
}

/// The command that shows what a list has after `next`.
fn rest(program: &str, list: &str, next: &str) -> String {
    format!("{program} {list} --after {}", shell::word(next))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn the_rest_of_a_list_is_shown_by_a_command_that_parses() {
        for list in ["task list --all", "task list --all --mine --agent coder"] {
            let line = rest("fedp2p --home '/my home'", list, "fix-the-leak@taichi");
            assert!(line.ends_with(" --after fix-the-leak@taichi"), "{line}");
            let words = shell::split(&line).unwrap();
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
