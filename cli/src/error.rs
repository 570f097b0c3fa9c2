//! What can go wrong in a command, what is said about it, and the exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | refused: nothing was changed |
//! | 2 | the command line is not valid |
//! | 3 | no daemon is running that could do it |
//! | 4 | it was asked for, but whether it was done is not known |
//! | 70 | a bug |

use std::error::Error as _;
use std::io;

use fedp2p_node::client::{Age, CallError, ConnectError};
use fedp2p_node::{daemon, home};
use fedp2p_protocols::api::{self, Access, ErrorCode};
use serde::Serialize;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Nothing was changed.
    Refused = 1,
    /// The command line is not valid.
    Usage = 2,
    /// No daemon is running that could do it.
    NoDaemon = 3,
    /// Whether it was done is not known.
    Unknown = 4,
    /// A bug.
    Bug = 70,
}

impl Exit {
    /// Returns the kind of end that a process with this code came to.
    pub(crate) fn of_code(code: Option<i32>) -> Self {
        match code {
            Some(2) => Self::Usage,
            Some(3) => Self::NoDaemon,
            Some(4) => Self::Unknown,
            Some(70) => Self::Bug,
            _ => Self::Refused,
        }
    }
}

/// What is said about a failure, to people and to programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// For programs.
    pub(crate) code: String,
    /// What went wrong.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: String,
    /// What may have been meant.
    pub(crate) suggestions: Vec<String>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What was typed makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to type.
        hint: String,
    },
    /// There is no daemon to talk to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon did not do it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The folders are not usable.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The daemon did not start, or stopped with an error.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// A daemon that was started in the background did not come up.
    #[error("{message}")]
    Child {
        /// What it said.
        message: String,
        /// What it said to do.
        hint: String,
        /// How it ended.
        exit: Exit,
    },
    /// Refused here, for a reason of ours.
    #[error(transparent)]
    Refused(#[from] api::Error),
    /// Done, and what was waited for has not happened yet.
    #[error("{message}")]
    NotYet {
        /// What has not.
        message: String,
        /// How to look again.
        hint: String,
    },
    /// The demo did not go as it should.
    #[error("{message}")]
    Demo {
        /// What was expected and did not happen.
        message: String,
    },
    /// Nobody reads the output any more.
    #[error("the output was closed")]
    OutputClosed,
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// The system refused something that normally works.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A failure whose envelope has been printed with the reply that it belongs to.
    #[error(transparent)]
    InEnvelope(Box<Error>),
}

impl From<io::Error> for Error {
    /// Only for writing output; everything else names what it tried.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Output(error)
    }
}

impl Error {
    /// Says that what was typed makes no sense.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// Says what the system refused.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    /// Returns how the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Connect(ConnectError::NoDaemon) => Exit::NoDaemon,
            Self::Connect(ConnectError::Refused(error)) | Self::Call(CallError::Refused(error)) => {
                exit_of_code(error.code)
            }
            Self::Call(CallError::Lost { access: Access::Read }) => Exit::Refused,
            Self::Call(CallError::Lost { .. }) => Exit::Unknown,
            Self::Call(CallError::Protocol(_)) => Exit::Bug,
            Self::Connect(_) | Self::Call(_) => Exit::Refused,
            Self::Daemon(daemon::Error::Refused(error)) | Self::Refused(error) => exit_of_code(error.code),
            Self::Child { exit, .. } => *exit,
            Self::NotYet { .. } => Exit::Unknown,
            Self::Home(_)
            | Self::Daemon(_)
            | Self::Demo { .. }
            | Self::OutputClosed
            | Self::Output(_)
            | Self::System { .. } => Exit::Refused,
            Self::InEnvelope(error) => error.exit(),
        }
    }

    /// Returns what to say. `program` is how this program is called, with the flags that lead to the same home.
    pub(crate) fn report(&self, program: &str) -> Report {
        let refusal = |error: &api::Error| Report {
            code: word(error.code),
            message: error.message.clone(),
            hint: match &error.hint {
                // The daemon does not know how its client was called.
                Some(hint) => hint.replace("\"fedp2p ", &format!("\"{program} ")),
                None => default_hint(error.code, program),
            },
            suggestions: error.suggestions.clone(),
        };
        let (code, hint) = match self {
            Self::Call(CallError::Refused(error))
            | Self::Connect(ConnectError::Refused(error))
            | Self::Daemon(daemon::Error::Refused(error))
            | Self::Refused(error) => return refusal(error),
            Self::InEnvelope(error) => return error.report(program),
            Self::Usage { hint, .. } => ("usage", hint.clone()),
            Self::Child { hint, .. } => ("daemon", hint.clone()),
            Self::NotYet { hint, .. } => ("not_yet", hint.clone()),
            Self::Connect(error) => connect_hint(error, program),
            Self::Call(error) => call_hint(error, program),
            Self::Home(error) => ("home", error.hint()),
            Self::Daemon(error) => ("conflict", in_use_hint(error, program)),
            Self::Demo { .. } => ("demo", "look at the nodes afterwards with \"fedp2p demo --keep\"".to_owned()),
            Self::OutputClosed => ("output_closed", "nothing more was done".to_owned()),
            Self::Output(_) => ("output", "look at where the output goes".to_owned()),
            Self::System { .. } => ("system", "look at permissions and free space there".to_owned()),
        };
        Report { code: code.to_owned(), message: self.with_causes(), hint, suggestions: Vec::new() }
    }

    /// Returns the failure and what caused it, in one line.
    fn with_causes(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        message
    }
}

fn exit_of_code(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::Unknown => Exit::Unknown,
        ErrorCode::Internal => Exit::Bug,
        ErrorCode::Invalid
        | ErrorCode::NotFound
        | ErrorCode::Ambiguous
        | ErrorCode::Conflict
        | ErrorCode::Forbidden
        | ErrorCode::TooLarge
        | ErrorCode::Busy
        | ErrorCode::Storage
        | _ => Exit::Refused,
    }
}

/// Returns the name that `code` has in JSON.
fn word(code: ErrorCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "other".to_owned(),
    }
}

fn default_hint(code: ErrorCode, program: &str) -> String {
    match code {
        ErrorCode::NotFound => format!("see who is there with \"{program} agents\""),
        ErrorCode::Ambiguous => "give more of it".to_owned(),
        ErrorCode::Conflict => format!("see how things stand with \"{program} status\""),
        ErrorCode::Forbidden => "ask an admin of the organisation".to_owned(),
        ErrorCode::TooLarge => "make it shorter, or send it in parts".to_owned(),
        ErrorCode::Busy => "try again in a moment".to_owned(),
        ErrorCode::Storage => "make room on the disk and see that the home folder can be written".to_owned(),
        ErrorCode::Unknown => format!("look before you try again: \"{program} history\""),
        ErrorCode::Internal => "this is a bug: report it with what you did".to_owned(),
        ErrorCode::Invalid | _ => format!("see \"{program} help\""),
    }
}

fn connect_hint(error: &ConnectError, program: &str) -> (&'static str, String) {
    let restart = || format!("restart it with \"{program} down && {program} up\"");
    match error {
        ConnectError::NoDaemon => ("no_daemon", format!("start it with \"{program} up\"")),
        ConnectError::OtherUser { .. } => {
            ("other_user", "run this as that user, or use a home of your own with --home DIR".to_owned())
        }
        ConnectError::Version { age: Age::Older, .. } => ("version", format!("the daemon is older: {}", restart())),
        ConnectError::Version { age: Age::Newer, .. } => {
            ("version", format!("the daemon is newer: use the program that started it, or {}", restart()))
        }
        ConnectError::Silent => ("silent", restart()),
        ConnectError::Protocol(_) => ("protocol", restart()),
        ConnectError::Home(error) => ("home", error.hint()),
        ConnectError::Io(_) | _ => ("io", restart()),
    }
}

fn call_hint(error: &CallError, program: &str) -> (&'static str, String) {
    match error {
        CallError::TooLarge { .. } => ("too_large", "make it shorter, or send it in parts".to_owned()),
        CallError::NotSent(_) => ("not_sent", format!("nothing was done; see \"{program} status\" and try again")),
        CallError::Lost { access: Access::Read } => ("lost", "try again".to_owned()),
        CallError::Lost { .. } => {
            ("outcome_unknown", format!("it may have been done: look before you try again (\"{program} history\")"))
        }
        CallError::Protocol(_) | _ => {
            ("protocol", format!("restart the daemon with \"{program} down && {program} up\""))
        }
    }
}

fn in_use_hint(error: &daemon::Error, program: &str) -> String {
    match error {
        daemon::Error::InUse { pid: Some(pid) } => {
            format!("it is process {pid}; talk to it with \"{program} status\" or stop it with \"{program} down\"")
        }
        daemon::Error::InUse { .. } | _ => {
            format!("talk to it with \"{program} status\", stop it with \"{program} down\", or use another --home")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(error: ConnectError) -> Error {
        Error::Connect(error)
    }

    #[test]
    fn no_daemon_exits_with_3_and_says_how_to_start_it() {
        let error = connect(ConnectError::NoDaemon);
        assert_eq!(error.exit(), Exit::NoDaemon);
        assert_eq!(error.report("fedp2p").hint, "start it with \"fedp2p up\"");
    }

    #[test]
    fn lost_write_is_unknown_and_lost_read_is_not() {
        let lost = |access| Error::Call(CallError::Lost { access });
        assert_eq!(lost(Access::Write).exit(), Exit::Unknown);
        assert_eq!(lost(Access::Administer).exit(), Exit::Unknown);
        assert_eq!(lost(Access::Read).exit(), Exit::Refused);
    }

    #[test]
    fn refusals_keep_their_code_hint_and_suggestions() {
        let refusal =
            api::Error::new(ErrorCode::NotFound, "no agent babby").hint("look").suggest(vec!["baby@baby".to_owned()]);
        let error = Error::Call(CallError::Refused(refusal));
        let report = error.report("fedp2p");
        assert_eq!((report.code.as_str(), report.hint.as_str()), ("not_found", "look"));
        assert_eq!(report.suggestions, ["baby@baby"]);
        assert_eq!(error.exit(), Exit::Refused);
    }

    #[test]
    fn commands_in_a_hint_of_the_daemon_lead_to_the_same_home() {
        let refusal = api::Error::new(ErrorCode::NotFound, "nobody").hint("\"fedp2p agents\" lists everybody");
        let report = Error::Refused(refusal).report("fedp2p --home /x");
        assert_eq!(report.hint, "\"fedp2p --home /x agents\" lists everybody");
    }

    #[test]
    fn bugs_and_unknown_outcomes_of_the_daemon_have_their_own_exit_codes() {
        let refused = |code| Error::Refused(api::Error::new(code, "x")).exit();
        assert_eq!(refused(ErrorCode::Internal), Exit::Bug);
        assert_eq!(refused(ErrorCode::Unknown), Exit::Unknown);
        assert_eq!(refused(ErrorCode::Storage), Exit::Refused);
    }

    #[test]
    fn every_failure_has_a_hint() {
        let errors = [
            connect(ConnectError::Silent),
            connect(ConnectError::OtherUser { owner: 1 }),
            connect(ConnectError::Refused(api::Error::new(ErrorCode::Busy, "x"))),
            connect(ConnectError::Version { daemon: "9".to_owned(), ours: "1", age: Age::Newer }),
            Error::Call(CallError::TooLarge { bytes: 2, limit: 1 }),
            Error::Call(CallError::Protocol(None)),
            Error::Daemon(daemon::Error::InUse { pid: None }),
            Error::Refused(api::Error::new(ErrorCode::Forbidden, "x")),
            Error::from(io::Error::from(io::ErrorKind::BrokenPipe)),
            Error::from(io::Error::from(io::ErrorKind::StorageFull)),
            Error::system("x")(io::Error::from(io::ErrorKind::PermissionDenied)),
        ];
        for error in errors {
            assert!(!error.report("fedp2p").hint.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn a_failure_names_its_cause() {
        let error = Error::system("open the log")(io::Error::other("disk on fire"));
        assert_eq!(error.report("fedp2p").message, "cannot open the log: disk on fire");
    }

    #[test]
    fn a_child_ends_its_parent_with_its_own_code() {
        for exit in [Exit::Refused, Exit::Usage, Exit::NoDaemon, Exit::Unknown, Exit::Bug] {
            assert_eq!(Exit::of_code(Some(exit as i32)), exit);
        }
        assert_eq!(Exit::of_code(None), Exit::Refused);
    }
}
