//! From what people type to whom it means: addresses, bare names, and what was perhaps meant instead.

use std::collections::BTreeSet;

use fedp2p_protocols::api::{Caller, Error, ErrorCode};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::name::{Address, AgentName, NodeName, normalise};
use fedp2p_protocols::vote::AgentId;

use crate::Core;

/// How alike two names must be to be suggested, by Jaro and Winkler's measure.
const ALIKE: f64 = 0.75;
const MOST_SUGGESTIONS: usize = 3;
/// Where everybody is found.
const EVERYBODY: &str = "\"fedp2p agents\" lists everybody";
/// Most characters of an id that is made of words.
const MAX_MADE_ID: usize = 40;

impl Core {
    /// Every agent that has been heard of.
    pub(crate) fn all_agents(&self) -> Vec<AgentId> {
        let picture = self.documents.picture(&self.lobby);
        picture
            .agents()
            .filter(|(node, ..)| self.members.get(node).is_some())
            .map(|(node, name, _)| AgentId { node, name: name.clone() })
            .collect()
    }

    /// The address of an agent as this node shows it.
    pub(crate) fn address(&self, agent: &AgentId) -> Address {
        let name = self.members.name(&agent.node).cloned();
        let node = name.unwrap_or_else(|| stand_in(&agent.node));
        Address::local(agent.name.clone(), node)
    }

    /// Finds whom a text means: `agent@node`, the name of one agent only, or a node with one agent only.
    ///
    /// # Errors
    /// If it means nobody or several, with suggestions.
    pub(crate) fn resolve(&self, text: &str) -> Result<AgentId, Error> {
        let agents = self.all_agents();
        let own_organisation = &self.chain.certificate().organisation_name;
        let found: Vec<&AgentId> = if text.contains('@') {
            let address: Address = text
                .parse()
                .map_err(|error| Error::new(ErrorCode::Invalid, format!("{text:?}: {error}")).hint(EVERYBODY))?;
            if address.organisation.as_ref().is_some_and(|organisation| organisation != own_organisation) {
                return Err(Error::new(
                    ErrorCode::NotFound,
                    format!("{text:?} is in an organisation that this one does not exchange messages with"),
                )
                .hint(EVERYBODY));
            }
            let fits =
                |agent: &&AgentId| agent.name == address.agent && self.members.name(&agent.node) == Some(&address.node);
            agents.iter().filter(fits).collect()
        } else {
            self.by_bare_name(text, &agents)
        };
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(self.unknown(text, &agents)),
            several => {
                let addresses = several.iter().map(|agent| self.address(agent).to_string()).collect();
                Err(Error::new(ErrorCode::Ambiguous, format!("{text:?} could be more than one agent"))
                    .hint("write agent@node")
                    .suggest(addresses))
            }
        }
    }

    fn by_bare_name<'a>(&self, text: &str, agents: &'a [AgentId]) -> Vec<&'a AgentId> {
        let named: Vec<&AgentId> = agents.iter().filter(|agent| agent.name.as_str() == text).collect();
        // The agent that shares its node's name is the one meant by it, however many others have the name.
        let at_home: Vec<&AgentId> = named
            .iter()
            .copied()
            .filter(|agent| self.members.name(&agent.node).is_some_and(|node| node.as_str() == text))
            .collect();
        if at_home.len() == 1 {
            return at_home;
        }
        if !named.is_empty() {
            return named;
        }
        let on_node = |agent: &&AgentId| self.members.name(&agent.node).is_some_and(|node| node.as_str() == text);
        agents.iter().filter(on_node).collect()
    }

    fn unknown(&self, text: &str, agents: &[AgentId]) -> Error {
        let suggestions = best(agents.iter().map(|agent| {
            let address = self.address(agent).to_string();
            let alike = strsim::jaro_winkler(text, agent.name.as_str()).max(strsim::jaro_winkler(text, &address));
            (alike, address)
        }));
        Error::new(ErrorCode::NotFound, format!("nobody here is called {text:?}")).hint(EVERYBODY).suggest(suggestions)
    }

    /// As [`Core::resolve`], for a caller that nobody may know yet and that may mean itself.
    ///
    /// # Errors
    /// If it means nobody or several, with suggestions.
    pub(crate) fn resolve_by(&self, caller: &Caller, text: &str) -> Result<AgentId, Error> {
        let own = AgentId { node: self.me(), name: caller.name.clone() };
        if text == caller.name.as_str() || text == self.address(&own).to_string() {
            return Ok(own);
        }
        self.resolve(text)
    }

    /// Finds which of some things that stand on nodes is meant by `id`, or by `id@node`.
    ///
    /// # Errors
    /// If it is none or several, with suggestions.
    pub(crate) fn find_on_node(
        &self,
        text: &str,
        things: impl Iterator<Item = (NodeId, String)>,
        what: &str,
        listing: &str,
    ) -> Result<(NodeId, String), Error> {
        let (id, node) = text.split_once('@').map_or((text, None), |(id, node)| (id, Some(node)));
        let on_node =
            |key: &NodeId| node.is_none_or(|node| self.members.name(key).is_some_and(|name| name.as_str() == node));
        let things: Vec<(NodeId, String)> = things.collect();
        let found: Vec<_> = things.iter().filter(|(node, other)| other == id && on_node(node)).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Error::new(ErrorCode::NotFound, format!("there is no {what} {text:?}"))
                .hint(listing)
                .suggest(alike(id, things.into_iter().map(|(_, id)| id)))),
            several => {
                let name = |(node, id): &&(NodeId, String)| format!("{id}@{}", self.members.display(node));
                let mut names: Vec<String> = several.iter().map(name).collect();
                names.sort();
                Err(Error::new(ErrorCode::Ambiguous, format!("more than one node has a {what} {id:?}"))
                    .hint("write id@node")
                    .suggest(names))
            }
        }
    }

    /// Finds all recipients, each once.
    pub(crate) fn resolve_all(&self, texts: &[String]) -> Result<Vec<AgentId>, Error> {
        let found: BTreeSet<AgentId> = texts.iter().map(|text| self.resolve(text)).collect::<Result<_, _>>()?;
        Ok(found.into_iter().collect())
    }
}

/// Those of `names` that may have been meant by `text`, the most likely first.
pub(crate) fn alike(text: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    best(names.into_iter().map(|name| (strsim::jaro_winkler(text, &name), name)))
}

/// An id made of the first words of `text`, or of `otherwise` if it has none, that is not taken yet.
pub(crate) fn free_id(text: &str, otherwise: &str, taken: impl Fn(&str) -> bool) -> String {
    let words = normalise(text).unwrap_or_else(|| otherwise.to_owned());
    let base: String = words.chars().take(MAX_MADE_ID).collect();
    let base = base.trim_end_matches('-').to_owned();
    if !taken(&base) {
        return base;
    }
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    numbered.into_iter().find(|id| !taken(id)).expect("there are more numbers than ids")
}

fn best(scored: impl Iterator<Item = (f64, String)>) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = scored.filter(|(alike, _)| *alike >= ALIKE).collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
    scored.into_iter().take(MOST_SUGGESTIONS).map(|(_, name)| name).collect()
}

/// A name for a node whose certificate is not here.
fn stand_in(node: &NodeId) -> NodeName {
    node.short().parse().expect("base32 characters are those of names")
}

/// The name of an agent, for callers that have none.
pub(crate) fn agent_name(agent: Option<&AgentName>) -> AgentName {
    agent.cloned().unwrap_or_else(|| "node".parse().expect("a valid name"))
}
