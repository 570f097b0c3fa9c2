//! Who belongs to the organisation, by certificate, and what they are called.

use std::collections::BTreeMap;

use fedp2p_protocols::api::NodeInfo;
use fedp2p_protocols::api::origin::Origin;
use fedp2p_protocols::certificate::{Chain, ChainError};
use fedp2p_protocols::id::{NodeId, OrganisationId};
use fedp2p_protocols::name::NodeName;

/// Every node whose certificate this node has seen.
#[derive(Debug)]
pub(crate) struct Members {
    organisation: OrganisationId,
    members: BTreeMap<NodeId, Chain>,
}

impl Members {
    pub(crate) fn new(organisation: OrganisationId) -> Self {
        Self { organisation, members: BTreeMap::new() }
    }

    /// Takes a chain that has proven itself. Returns whether it is news: a new node, or a later expiry.
    ///
    /// # Errors
    /// If it certifies another node or comes from another organisation.
    pub(crate) fn learn(&mut self, subject: NodeId, chain: Chain) -> Result<bool, ChainError> {
        chain.check(&subject, &self.organisation)?;
        let known = self.members.get(&subject);
        if known.is_some_and(|known| known.not_after() >= chain.not_after()) {
            return Ok(false);
        }
        self.members.insert(subject, chain);
        Ok(true)
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<&Chain> {
        self.members.get(node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Chain)> {
        self.members.iter()
    }

    pub(crate) fn name(&self, node: &NodeId) -> Option<&NodeName> {
        self.members.get(node).map(|chain| &chain.certificate().name)
    }

    /// A name for people: the node's own, or the start of its key.
    pub(crate) fn display(&self, node: &NodeId) -> String {
        self.name(node).map_or_else(|| node.short(), ToString::to_string)
    }

    pub(crate) fn info(&self, node: &NodeId) -> Option<NodeInfo> {
        let own = self.members.get(node)?.certificate();
        Some(NodeInfo {
            id: *node,
            name: own.name.clone(),
            organisation: own.organisation,
            organisation_name: own.organisation_name.clone(),
        })
    }

    /// Where what a node says comes from. What is shown was signed by it, so it is verified if it is a member.
    pub(crate) fn origin(&self, node: &NodeId) -> Origin {
        let chain = self.members.get(node);
        Origin {
            organisation: chain.map(|chain| chain.certificate().organisation_name.clone()),
            verified: chain.is_some(),
        }
    }

    /// Whether a node other than `node` has this name.
    pub(crate) fn name_taken(&self, name: &NodeName, node: &NodeId) -> bool {
        self.members.iter().any(|(other, chain)| other != node && chain.certificate().name == *name)
    }

    /// Returns a name like `name` that nobody has.
    pub(crate) fn free_name(&self, name: &NodeName, node: &NodeId) -> NodeName {
        let base: String = name.as_str().chars().take(58).collect();
        (2..)
            .filter_map(|number| format!("{base}-{number}").parse().ok())
            .find(|candidate| !self.name_taken(candidate, node))
            .expect("there are more numbers than nodes")
    }
}
