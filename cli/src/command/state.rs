//! `fedp2p state`.

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};
use fedp2p_protocols::api::state;
use fedp2p_protocols::pulse::Pulse;

use crate::context::Context;
use crate::error::Error;
use crate::ui::table::{Cell, Column, Table};

/// The names of the fields that can be emptied.
const FIELDS: [&str; 6] = ["summary", "action", "thinking", "wondering", "offering", "status"];

/// Say what you are about, for everybody's pulse
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
#[command(after_help = "\
Fields that are not given stay as they were.

Examples:
  fedp2p state --summary \"Refactoring auth module\" --action EXECUTING
  fedp2p state --thinking \"Considering OAuth2 vs JWT tradeoffs\" --wondering \"Refresh tokens?\"
  fedp2p state --agent coder --status IDLE --clear thinking --clear wondering")]
pub(crate) struct Arguments {
    /// What you work on, in one line
    #[arg(long, group = "change", value_name = "TEXT")]
    summary: Option<String>,

    /// What you are doing this moment, such as EXECUTING or WAITING
    #[arg(long, group = "change", value_name = "TEXT")]
    action: Option<String>,

    /// What you have in mind
    #[arg(long, group = "change", value_name = "TEXT")]
    thinking: Option<String>,

    /// What you would like to know
    #[arg(long, group = "change", value_name = "TEXT")]
    wondering: Option<String>,

    /// What you can do for others
    #[arg(long, group = "change", value_name = "TEXT")]
    offering: Option<String>,

    /// One word for tables, such as IDLE
    #[arg(long, group = "change", value_name = "TEXT")]
    status: Option<String>,

    /// Empty this field; may be given several times
    #[arg(long, group = "change", value_name = "FIELD", value_parser = PossibleValuesParser::new(FIELDS))]
    clear: Vec<String>,
}

/// Updates the caller's pulse.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let reply = context.ask(request(arguments)?).await?;
    context.show::<state::Request>(&reply, |out| {
        let mut table = Table::new(&[Column::fixed("Field"), Column::text("You say")]);
        for (name, value) in reply.pulse.fields() {
            table.row([name.into(), Cell::maybe(value)]);
        }
        table.render(out.width(), out.paint())
    })
}

fn request(arguments: Arguments) -> Result<state::Request, Error> {
    let pulse = Pulse {
        summary: arguments.summary,
        action: arguments.action,
        thinking: arguments.thinking,
        wondering: arguments.wondering,
        offering: arguments.offering,
        status: arguments.status,
    };
    let both =
        pulse.fields().into_iter().find(|(name, value)| value.is_some() && arguments.clear.iter().any(|c| c == name));
    if let Some((name, _)) = both {
        return Err(Error::usage(format!("--{name} is both set and cleared"), "give one of the two"));
    }
    Ok(state::Request { pulse, clear: arguments.clear })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &[&str]) -> Result<state::Request, Error> {
        let line = Line::try_parse_from(std::iter::once(&"state").chain(words));
        request(line.map_err(|error| Error::usage(error.to_string(), ""))?.arguments)
    }

    #[test]
    fn fields_are_set_and_cleared_by_name() {
        let request = parse(&["--action", "WAITING", "--clear", "thinking"]).unwrap();
        assert_eq!(request.pulse.action.as_deref(), Some("WAITING"));
        assert_eq!(request.clear, ["thinking"]);
    }

    #[test]
    fn nothing_to_say_unknown_fields_and_contradictions_are_refused() {
        for words in [&[][..], &["--clear", "mood"], &["--status", "IDLE", "--clear", "status"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_fields_are_those_of_a_pulse() {
        assert_eq!(FIELDS, Pulse::default().fields().map(|(name, _)| name));
    }
}
