//! `fedp2p log`.

use std::time::Duration;

use clap::{Args, Subcommand};
use fedp2p_node::client::ConnectError;
use fedp2p_node::home::Home;
use fedp2p_protocols::api::{Error as Refusal, ErrorCode, log_verify};

use crate::context::Context;
use crate::error::Error;
use crate::ui::{escape, time};

/// How long checking a long history may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Look after the stored history
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prove the chain and the signatures of everything stored
    #[command(after_help = "\
Works with and without a running daemon. Exits with 1 and names the first broken entry if there is one.

Examples:
  fedp2p log verify
  fedp2p log verify --json")]
    Verify,
}

/// Looks after the history.
pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::Verify => verify(context).await,
    }
}

async fn verify(context: &Context) -> Result<(), Error> {
    let reply = match context.connect().await {
        Ok(mut client) => {
            client.set_patience(PATIENCE);
            client.call(log_verify::Request {}).await?
        }
        Err(ConnectError::NoDaemon) => verify_offline(&context.home)?,
        Err(error) => return Err(error.into()),
    };
    let took = match reply.took_ms {
        0 => "less than 1 ms".to_owned(),
        took => time::measured(Duration::from_millis(took)),
    };
    let counted = format!("{} entries in {} logs checked in {took}", reply.ops, reply.logs);
    match &reply.broken {
        None => context.show::<log_verify::Request>(&reply, |_| format!("{counted}: all as signed\n")),
        Some(broken) => {
            let failure = Error::Refused(
                Refusal::new(ErrorCode::Storage, describe(broken)).hint(context.home.without_database()),
            );
            Err(context.show_with::<log_verify::Request>(&reply, |_| format!("{counted}\n"), failure))
        }
    }
}

fn describe(broken: &log_verify::Broken) -> String {
    let mut place = format!("entry {} in order of arrival", broken.position);
    if let (Some(author), Some(log), Some(seq)) = (&broken.author, &broken.log, broken.seq) {
        place.push_str(&format!(" (author {}, log {}, number {seq})", author.short(), log.short()));
    }
    format!("{place} is not what was signed: {}", escape::line(&broken.problem))
}

/// Checks the database of a home that no daemon uses.
fn verify_offline(home: &Home) -> Result<log_verify::Reply, Error> {
    let database = home.database();
    if !database.exists() {
        let message = format!("there is no history in {}", home.root().display());
        return Err(Refusal::new(ErrorCode::NotFound, message).hint("give the home with --home DIR").into());
    }
    fedp2p_node::store::verify_file(&database).map_err(|error| {
        Refusal::new(ErrorCode::Storage, error.to_string()).hint("check the folder and its permissions").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_entry_is_named_as_far_as_it_can_be_told() {
        let mut broken = log_verify::Broken {
            position: 7,
            author: None,
            log: None,
            seq: None,
            problem: "the signature is not valid".to_owned(),
        };
        assert_eq!(describe(&broken), "entry 7 in order of arrival is not what was signed: the signature is not valid");
        broken.author = Some(fedp2p_protocols::id::NodeId::from_bytes([1; 32]));
        broken.log = Some(fedp2p_protocols::id::LogId::from_bytes([1; 16]));
        broken.seq = Some(3);
        assert!(describe(&broken).contains("number 3"));
    }
}
