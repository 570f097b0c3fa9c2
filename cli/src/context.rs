//! What every command needs: whose daemon, who speaks, and where the answer goes.

use std::ffi::OsString;
use std::path::Path;

use fedp2p_node::client::{Client, ConnectError};
use fedp2p_node::home::Home;
use fedp2p_protocols::api::{Caller, Operation};
use fedp2p_protocols::name::{self, AgentName};
use fedp2p_protocols::pulse::AgentKind;
use tokio::runtime::{Builder, Runtime};

use crate::args::Globals;
use crate::error::Error;
use crate::identity::{agent_for, tool_of};
use crate::speakers::name_for;
use crate::ui::Output;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// The folders of the node.
    pub(crate) home: Home,
    /// Who speaks.
    pub(crate) caller: Caller,
    /// Whether a flag or the environment names who speaks.
    pub(crate) named: bool,
    /// Where the answer goes.
    pub(crate) out: Output,
    /// How this program is called to reach the same home, for hints.
    pub(crate) program: String,
}

impl Context {
    /// Finds the home and the caller.
    ///
    /// # Errors
    /// If nothing says where the home is.
    pub(crate) fn new(globals: &Globals, out: Output) -> Result<Self, Error> {
        let home = Home::locate(globals.home.as_deref())?;
        let caller = caller(globals.agent.clone(), home.root(), |name| std::env::var_os(name));
        Ok(Self { home, caller, named: globals.agent.is_some(), out, program: globals.program() })
    }

    /// Connects to the daemon of this home.
    ///
    /// # Errors
    /// If there is none that we can talk to.
    pub(crate) async fn connect(&self) -> Result<Client, ConnectError> {
        Client::connect(&self.home, self.caller.clone()).await
    }

    /// Makes one call.
    ///
    /// # Errors
    /// If there is no daemon, or it refuses.
    pub(crate) async fn ask<O: Operation>(&self, operation: O) -> Result<O::Reply, Error> {
        Ok(self.connect().await?.call(operation).await?)
    }

    /// Prints the reply to `O`: as it is for programs, as `words` for people.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub(crate) fn show<O: Operation>(
        &self,
        reply: &O::Reply,
        words: impl FnOnce(&Output) -> String,
    ) -> Result<(), Error> {
        if self.out.json() {
            self.out.envelope(O::NAME, reply, None)?;
        } else {
            self.out.print(&words(&self.out))?;
        }
        Ok(())
    }

    /// Prints the reply to `O` although what was to follow has failed, and returns the failure to end with.
    pub(crate) fn show_with<O: Operation>(
        &self,
        reply: &O::Reply,
        words: impl FnOnce(&Output) -> String,
        failure: Error,
    ) -> Error {
        let printed = if self.out.json() {
            self.out.envelope(O::NAME, reply, Some(&failure.report(&self.program)))
        } else {
            self.out.print(&words(&self.out))
        };
        match printed {
            Ok(()) if self.out.json() => Error::InEnvelope(Box::new(failure)),
            Ok(()) => failure,
            Err(error) => error.into(),
        }
    }
}

/// Returns the runtime for commands that ask and show: one thread, started in no time.
///
/// # Errors
/// If the system has no resources for it.
pub(crate) fn light_runtime() -> Result<Runtime, Error> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::system("start the runtime"))
}

/// Returns who speaks: the agent that was named, or the one that the tool which runs this has here, under the name that
/// its server and its hooks have, or the person at the keyboard.
fn caller(agent: Option<AgentName>, home: &Path, variable: impl Fn(&str) -> Option<OsString>) -> Caller {
    let of_tool = || tool_of(variable).map(|tool| name_for(home, tool, agent_for(tool, Path::new("."))));
    match agent.or_else(of_tool) {
        Some(name) => Caller { name, kind: AgentKind::Ai },
        None => Caller { name: here(), kind: AgentKind::Person },
    }
}

/// Returns the person whose user this is.
pub(crate) fn here() -> AgentName {
    person(["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok()))
}

fn person(user: Option<String>) -> AgentName {
    let name = user.and_then(|user| name::normalise(&user)).and_then(|name| name.parse().ok());
    name.unwrap_or_else(|| "person".parse().expect("\"person\" is a valid name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_called_like_the_user() {
        assert_eq!(person(Some("Ada.Lovelace".to_owned())).as_str(), "ada-lovelace");
        assert_eq!(person(Some("愛".to_owned())).as_str(), "person");
        assert_eq!(person(None).as_str(), "person");
    }

    #[test]
    fn a_named_agent_is_no_person() {
        let caller = caller(Some("coder".parse().unwrap()), Path::new("/nowhere"), |_| None);
        assert_eq!((caller.name.as_str(), caller.kind), ("coder", AgentKind::Ai));
    }

    #[test]
    fn who_is_not_named_is_the_agent_of_the_tool_that_runs_this_and_else_the_person() {
        let home = tempfile::tempdir().unwrap();
        let in_codex = |name: &str| (name == "CODEX_THREAD_ID").then(|| "7".into());
        // As its server is called, which is told nothing but the folder that it runs in.
        let folder = std::env::current_dir().unwrap();
        let expected = Caller { name: agent_for("codex", &folder), kind: AgentKind::Ai };
        assert_eq!(caller(None, home.path(), in_codex), expected);
        assert_eq!(caller(Some("coder".parse().unwrap()), home.path(), in_codex).name.as_str(), "coder");
        assert_eq!(caller(None, home.path(), |_| None).kind, AgentKind::Person);
    }
}
