//! The canonical encoding of a picture that its digest is taken over.
//!
//! It is written once and never read, so it only has to be unambiguous: numbers are 8 bytes in little endian; texts
//! are their length as a number and their bytes; ids are their bytes; an optional value is the number 0, or 1
//! and the value; a list or map is its length as a number and its entries in order, keys before values. The
//! fields of a record follow each other in the order of its type. Enumerations are the text they have in a document.

use fedp2p_protocols::vote::{Ballot, Closing, Proposal};

use crate::content::{Agent, Content};
use crate::read;

/// Takes in a picture piece by piece.
pub(crate) struct Digest(blake3::Hasher);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(blake3::Hasher::new_derive_key("fedp2p/1 picture"))
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(crate) fn id(&mut self, bytes: &[u8; 32]) {
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn content(&mut self, content: &Content) {
        self.number(content.agents.len() as u64);
        for (name, agent) in &content.agents {
            self.text(name.as_str());
            self.agent(agent);
        }
        self.number(content.proposals.len() as u64);
        for (id, proposal) in &content.proposals {
            self.text(id);
            self.proposal(proposal);
        }
        self.number(content.ballots.len() as u64);
        for (key, voters) in &content.ballots {
            self.id(key.node.as_bytes());
            self.text(&key.id);
            self.number(voters.len() as u64);
            for (voter, ballots) in voters {
                self.text(voter.as_str());
                self.number(ballots.len() as u64);
                for (&number, ballot) in ballots {
                    self.number(number.into());
                    self.ballot(ballot);
                }
            }
        }
    }

    fn agent(&mut self, agent: &Agent) {
        self.text(read::kind_text(agent.kind).unwrap_or_default());
        self.optional(agent.said.as_ref(), |digest, said| {
            for (_, value) in said.pulse.fields() {
                digest.optional(value, Self::text);
            }
            digest.number(said.at);
        });
    }

    fn proposal(&mut self, proposal: &Proposal) {
        self.text(proposal.by.as_str());
        self.text(&proposal.question);
        self.number(proposal.options.len() as u64);
        proposal.options.iter().for_each(|option| self.text(option));
        self.text(read::mechanism_text(proposal.mechanism).unwrap_or_default());
        self.number(proposal.revision.into());
        self.number(proposal.opened);
        self.optional(proposal.closed.as_ref(), Self::closing);
    }

    fn closing(&mut self, closing: &Closing) {
        self.number(closing.at);
        self.number(closing.counted.len() as u64);
        for key in &closing.counted {
            self.id(key.voter.node.as_bytes());
            self.text(key.voter.name.as_str());
            self.number(key.number.into());
        }
    }

    fn ballot(&mut self, ballot: &Ballot) {
        self.number(ballot.revision.into());
        self.text(&ballot.choice);
        self.optional(ballot.reason.as_deref(), Self::text);
        self.number(ballot.at);
    }
}
