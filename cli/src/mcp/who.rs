//! For which agent a client speaks: a name that was given, or one made of the tool and the project.
//!
//! A client over a pipe is one agent as long as the pipe lasts. Over HTTP a session is, and what comes without one names its
//! agent each time; whoever was not heard for a while has gone, and comes back with its next call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fedp2p_node::client::CallError;
use fedp2p_node::home::Home;
use fedp2p_protocols::api::ErrorCode;
use fedp2p_protocols::api::watch::Hold;
use fedp2p_protocols::name::{self, AgentName};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::link::Link;
use super::start::Starter;
use crate::context::here;
use crate::error::Error;
use crate::identity;
use crate::speakers::Speaker;

/// How many clients of one tool in one project get names of their own.
const MAX_NAMESAKES: usize = 64;
/// For how many agents the daemon is held at one time; those not heard for longest give way.
const MAX_LINKS: usize = 48;
/// How many clients are remembered at one time; those not heard for longest are forgotten.
const MAX_REMEMBERED: usize = 1024;
/// How long a client over HTTP may be silent before its agent has gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(120);
/// How long its name is kept for it.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What is known of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Client {
    /// What tells it from other clients; empty for the one at a pipe.
    pub(crate) session: String,
    /// Whether it is a session, and so has an end.
    pub(crate) ends: bool,
    /// What it calls itself.
    pub(crate) tool: Option<String>,
    /// The agent that it wants to be.
    pub(crate) agent: Option<AgentName>,
    /// The folder that it says it works on.
    pub(crate) project: Option<PathBuf>,
}

impl Client {
    /// What its agent is found by.
    ///
    /// # Errors
    /// If nothing tells it from others.
    fn key(&self) -> Result<String, Error> {
        match &self.agent {
            // At a pipe there is one client, whatever it calls itself from call to call.
            _ if self.session.is_empty() => Ok(String::new()),
            Some(agent) => Ok(format!("{}/{agent}", self.session)),
            None if self.ends => Ok(format!("{}/", self.session)),
            None => {
                let hint = "send the header \"Fedp2p-Agent: NAME\" with each request, or begin a session";
                Err(Error::usage("the request does not say which agent it speaks for", hint))
            }
        }
    }
}

/// How agents are named here.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    /// The name that was given.
    pub(crate) agent: Option<AgentName>,
    /// The tool, where it is known better than from what it says.
    pub(crate) tool: Option<String>,
    /// The project's folder, where it is known.
    pub(crate) project: Option<PathBuf>,
    /// Whether several clients may be one agent.
    pub(crate) share: bool,
}

/// The agents that clients speak for.
#[derive(Debug)]
pub(crate) struct Agents {
    home: Home,
    naming: Naming,
    starter: Starter,
    links: Mutex<BTreeMap<String, Slot>>,
}

#[derive(Debug)]
struct Slot {
    name: AgentName,
    link: Option<Arc<Link>>,
    used: Instant,
    /// Tells the tool's hooks the name.
    _speaker: Option<Speaker>,
}

impl Agents {
    pub(crate) fn new(home: Home, naming: Naming, starter: Starter) -> Self {
        Self { home, naming, starter, links: Mutex::default() }
    }

    /// The folders of the node.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Whether a client had better say which folder it works on: the one that is known is none of a project's.
    pub(crate) fn asks_for_project(&self, client: &Client) -> bool {
        let named = client.agent.is_some() || self.naming.agent.is_some();
        !named && !self.naming.project.as_deref().is_some_and(identity::is_project)
    }

    /// Returns the way to the daemon of the agent that a client speaks for.
    ///
    /// # Errors
    /// If there is no daemon, or the agent is another's.
    pub(crate) async fn link(&self, client: &Client) -> Result<Arc<Link>, Error> {
        let key = client.key()?;
        let mut links = self.links.lock().await;
        let now = Instant::now();
        let known = links.get_mut(&key);
        if let Some(Slot { link: Some(link), used, .. }) = known {
            *used = now;
            return Ok(Arc::clone(link));
        }
        let before = links.get(&key).map(|slot| slot.name.clone());
        make_room(&mut links);
        let link = Arc::new(self.open(client, before).await?);
        let name = link.address().agent;
        // One that is still there holds the file for the next.
        drop(links.remove(&key));
        let speaker = self.announce(client, &name);
        links.insert(key, Slot { name, link: Some(Arc::clone(&link)), used: now, _speaker: speaker });
        Ok(link)
    }

    /// Lets go of the agent of a session that has ended.
    pub(crate) async fn leave(&self, session: &str) {
        let prefix = format!("{session}/");
        self.links.lock().await.retain(|key, _| !key.starts_with(&prefix));
    }

    /// Lets go of agents whose clients were not heard for a while. Who listens to events is there.
    pub(crate) async fn sweep(&self) {
        let now = Instant::now();
        let mut links = self.links.lock().await;
        links.retain(|_, slot| {
            let silence = now.duration_since(slot.used);
            if silence > SILENCE && slot.link.as_ref().is_some_and(|link| Arc::strong_count(link) == 1) {
                slot.link = None;
            }
            slot.link.is_some() || silence < REMEMBERED
        });
    }

    async fn open(&self, client: &Client, before: Option<AgentName>) -> Result<Link, Error> {
        let (names, made_up) = self.names(client, before);
        let hold = Hold { share: self.naming.share, made_up };
        let mut taken = None;
        for name in names {
            if name == here() && made_up {
                continue;
            }
            if name == here() {
                let hint = "give the agent a name of its own: --agent NAME";
                return Err(Error::usage(format!("{name} is the person of this machine"), hint));
            }
            match Link::open(&self.home, name, hold, self.starter.clone()).await {
                Err(Error::Call(CallError::Refused(error))) if error.code == ErrorCode::Conflict => {
                    taken = Some(Error::Call(CallError::Refused(error)));
                }
                result => return result,
            }
        }
        Err(taken.unwrap_or_else(|| Error::usage("no name is left", "give the agent a name: --agent NAME")))
    }

    /// Tells the hooks of the tool that was set up which name it has, where it was made up. Without that they take the
    /// first one.
    fn announce(&self, client: &Client, name: &AgentName) -> Option<Speaker> {
        let tool = self.naming.tool.as_deref().filter(|_| client.session.is_empty())?;
        let (names, made_up) = self.names(client, None);
        let first = names.into_iter().next().filter(|_| made_up)?;
        Speaker::announce(self.home.root(), tool, first, name.clone()).ok()
    }

    /// The names that a client may have, the best first, and whether they are made up.
    fn names(&self, client: &Client, before: Option<AgentName>) -> (Vec<AgentName>, bool) {
        if let Some(given) = client.agent.clone().or_else(|| self.naming.agent.clone()) {
            return (vec![given], false);
        }
        let tool = self.naming.tool.as_deref().or(client.tool.as_deref()).unwrap_or("agent");
        let project = client.project.as_ref().or(self.naming.project.as_ref());
        let first = match project {
            Some(project) => identity::agent_for(tool, project),
            None => plain(tool),
        };
        let namesakes = (2..=MAX_NAMESAKES).filter_map(|n| format!("{first}-{n}").parse().ok());
        let others = if self.naming.share { Vec::new() } else { namesakes.collect() };
        (before.into_iter().chain([first]).chain(others).collect(), true)
    }
}

/// Lets go of the agent that was not heard for longest, if there are too many, and forgets a client likewise.
fn make_room(links: &mut BTreeMap<String, Slot>) {
    let is_free = |slot: &Slot| slot.link.as_ref().is_none_or(|link| Arc::strong_count(link) == 1);
    if links.values().filter(|slot| slot.link.is_some()).count() >= MAX_LINKS {
        let idle = links.values_mut().filter(|slot| slot.link.is_some() && is_free(slot));
        if let Some(slot) = idle.min_by_key(|slot| slot.used) {
            slot.link = None;
        }
    }
    if links.len() >= MAX_REMEMBERED {
        let idle = links.iter().filter(|(_, slot)| is_free(slot)).min_by_key(|(_, slot)| slot.used);
        if let Some(key) = idle.map(|(key, _)| key.clone()) {
            links.remove(&key);
        }
    }
}

/// The name of an agent of which nothing but the tool is known.
fn plain(tool: &str) -> AgentName {
    let mut name = name::normalise(tool).unwrap_or_else(|| "agent".to_owned());
    name.truncate(60);
    name.parse().unwrap_or_else(|_| "agent".parse().expect("\"agent\" is a name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(agent: Option<&str>, project: Option<&str>, share: bool) -> Agents {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        let agent = agent.map(|agent| agent.parse().unwrap());
        let naming = Naming { agent, tool: None, project: project.map(PathBuf::from), share };
        Agents::new(home, naming, Starter::default())
    }

    #[test]
    fn a_given_name_is_the_only_one() {
        let (names, made_up) = agents(Some("coder"), Some("/x"), false).names(&Client::default(), None);
        assert_eq!((names.len(), names[0].as_str(), made_up), (1, "coder", false));
        let client = Client { agent: Some("tester".parse().unwrap()), ..Client::default() };
        assert_eq!(agents(Some("coder"), None, false).names(&client, None).0[0].as_str(), "tester");
    }

    #[test]
    fn a_second_client_of_a_tool_in_a_project_has_a_name_of_its_own() {
        let client = Client { tool: Some("codex-mcp-client".to_owned()), ..Client::default() };
        let (names, made_up) = agents(None, Some("/srv/app"), false).names(&client, None);
        assert!(made_up && names[0].as_str().starts_with("codex-app-"), "{names:?}");
        assert_eq!(names[1].as_str(), format!("{}-2", names[0]));
        assert_eq!(agents(None, Some("/srv/app"), true).names(&client, None).0.len(), 1);
        let before = "codex-app-1234-7".parse().unwrap();
        assert_eq!(agents(None, None, false).names(&client, Some(before)).0[0].as_str(), "codex-app-1234-7");
    }
    #[test]
    fn clients_are_told_apart_by_session_and_agent_and_never_by_what_they_call_themselves() {
        let client = |session: &str, ends, agent: Option<&str>, tool: &str| {
            let agent = agent.map(|agent| agent.parse().unwrap());
            Client { session: session.to_owned(), ends, agent, tool: Some(tool.to_owned()), project: None }.key()
        };
        let long = "x".repeat(1_000_000);
        assert_eq!(client("", false, None, &long).unwrap(), "");
        assert_eq!(client("s", true, None, &long).unwrap(), client("s", true, None, "y").unwrap());
        assert_ne!(client("s", true, None, "y").unwrap(), client("t", true, None, "y").unwrap());
        assert_eq!(client("http", false, Some("coder"), &long).unwrap(), "http/coder");
        assert!(client("http", false, None, "y").is_err());
    }

    #[test]
    fn the_client_that_was_not_heard_for_longest_is_forgotten_first() {
        let mut links = BTreeMap::new();
        let now = Instant::now();
        for n in 0..2 * MAX_REMEMBERED {
            make_room(&mut links);
            let used = now + Duration::from_millis(n as u64);
            links.insert(format!("{n:04}/"), Slot { name: "coder".parse().unwrap(), link: None, used, _speaker: None });
        }
        assert_eq!(links.len(), MAX_REMEMBERED);
        assert_eq!(links.keys().next().unwrap(), &format!("{MAX_REMEMBERED:04}/"));
    }
}
