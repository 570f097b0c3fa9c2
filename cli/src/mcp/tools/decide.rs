//! Decisions.

use std::collections::BTreeMap;

use fedp2p_protocols::api::proposal::{Counts, Proposal};
use fedp2p_protocols::api::watch::Event;
use fedp2p_protocols::api::{approval_ask, vote_ack, vote_cast, vote_list, vote_new, vote_show};
use fedp2p_protocols::vote::{APPROVE, Mechanism, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::Author;
use super::talk::word;
use crate::error::Error;
use crate::mcp::link::Link;
use crate::mcp::tool::{Arguments, Effects, Outcome, one_or_many, until};
use crate::mcp::words;

/// Most open questions of one answer.
const MAX_QUESTIONS: usize = 50;

/// Put a question to the members. poll: most votes win; vote: one option must reach the threshold; approval: several
/// choices each; ranked: order of preference; signoff: people approve or deny what you are about to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    question: String,
    /// 2 to 32 different ones; none for signoff
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    mechanism: Word,
    /// Its id: a-z 0-9 - _; made from the question if absent
    consensus_id: Option<String>,
    /// majority, two-thirds, unanimous, 3/5, 60%
    threshold: Option<Share>,
    /// Who may answer: agents, or one of people, all, role:NAME
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Vec<String>")]
    electorate: Vec<String>,
    /// Closes by itself after so many seconds
    deadline_s: Option<u32>,
    /// Voting waits up to so many seconds until all have acknowledged the options
    acknowledge_s: Option<u32>,
}

/// The mechanisms that a model may choose.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    #[default]
    Poll,
    Vote,
    Approval,
    Ranked,
    Signoff,
}

/// A question as models see it.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Decision {
    #[serde(skip_serializing_if = "String::is_empty")]
    consensus_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(flatten)]
    author: Option<Author>,
    #[serde(skip_serializing_if = "String::is_empty")]
    question: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    mechanism: String,
    /// acknowledging, open, overdue or closed
    #[serde(skip_serializing_if = "String::is_empty")]
    phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    winner: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    votes: BTreeMap<String, u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ballots: Vec<Ballot>,
    /// Who has not answered
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Ballot {
    voter: String,
    #[serde(flatten)]
    author: Author,
    choices: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Decision {
    pub(crate) fn of(proposal: Proposal) -> Self {
        let counted = proposal.ballots.into_iter().filter(|ballot| ballot.counts == Counts::Yes);
        let ballots = counted.map(|ballot| Ballot {
            voter: ballot.voter.to_string(),
            author: ballot.origin.into(),
            choices: ballot.choices,
            reason: ballot.reason,
        });
        Self {
            consensus_id: proposal.id,
            by: proposal.by.to_string(),
            author: Some(proposal.origin.into()),
            question: proposal.question,
            options: proposal.options,
            mechanism: word(&proposal.rules.mechanism),
            phase: word(&proposal.phase),
            winner: proposal.winner,
            votes: proposal.votes.into_iter().filter(|(_, votes)| *votes > 0).collect(),
            why: proposal.why,
            ballots: ballots.collect(),
            silent: proposal.silent.iter().map(ToString::to_string).collect(),
            deadline: proposal.rules.deadline.map(words::time),
        }
    }

    /// What was asked, without who answered how.
    fn brief(proposal: Proposal) -> Self {
        Self { ballots: Vec::new(), silent: Vec::new(), why: String::new(), ..Self::of(proposal) }
    }
}

/// A question that was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Changed {
    consensus_id: String,
    phase: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    winner: Option<String>,
    votes: BTreeMap<String, u32>,
}

fn changed(proposal: Proposal) -> Changed {
    let Decision { consensus_id, phase, winner, votes, .. } = Decision::of(proposal);
    Changed { consensus_id, phase, winner, votes }
}

impl Arguments for Request {
    const NAME: &'static str = "federation_consensus_request";
    const EFFECTS: Effects = Effects::Each;
    type Answer = Changed;

    async fn run(self, link: &Link) -> Outcome<Changed> {
        let mechanism = match self.mechanism {
            Word::Poll => Mechanism::Poll,
            Word::Vote => Mechanism::Vote,
            Word::Approval => Mechanism::Approval,
            Word::Ranked => Mechanism::Ranked,
            Word::Signoff => return self.ask_people(link).await,
        };
        let request = vote_new::Request {
            question: self.question,
            options: self.options,
            id: self.consensus_id,
            mechanism,
            threshold: self.threshold,
            electorate: self.electorate,
            deadline_s: self.deadline_s,
            acknowledge_s: self.acknowledge_s,
            ..Default::default()
        };
        let answer = changed(*link.call(request).await?);
        let said = format!("Asked as {}", answer.consensus_id);
        Ok((answer, said))
    }
}

impl Request {
    async fn ask_people(self, link: &Link) -> Outcome<Changed> {
        if !self.options.is_empty() || self.acknowledge_s.is_some() {
            let message = "a signoff has no options and no time to acknowledge them: people approve or deny";
            return Err(Error::usage(message, "leave options and acknowledge_s out"));
        }
        let request = approval_ask::Request {
            question: self.question,
            id: self.consensus_id,
            of: self.electorate,
            needs: self.threshold,
            deadline_s: self.deadline_s,
        };
        let answer = changed(*link.call(request).await?);
        let said = format!("Asked people as {}; the answer comes to federation_inbox", answer.consensus_id);
        Ok((answer, said))
    }
}

/// Waits until a question is closed, and returns it as it stands then or at the time `until`.
///
/// # Errors
/// If there is none of this id, or the daemon does not answer.
pub(crate) async fn closed(id: &str, until: Instant, link: &Link) -> Result<Box<Proposal>, Error> {
    let mut events = link.listen();
    loop {
        let proposal = link.call(vote_show::Request { id: id.to_owned() }).await?;
        if !proposal.open {
            return Ok(proposal);
        }
        loop {
            match timeout_at(until, events.recv()).await {
                Err(_) | Ok(Err(RecvError::Closed)) => return Ok(proposal),
                Ok(Ok(Event::Vote(vote))) if vote.id == proposal.id && vote.by == proposal.by => break,
                Ok(Ok(_)) => {}
                // Something was missed.
                Ok(Err(RecvError::Lagged(_))) => break,
            }
        }
    }
}

/// How a sign-off stands.
pub(crate) fn signed(proposal: Proposal) -> (Changed, String) {
    let said = match (proposal.open, proposal.winner.as_deref()) {
        (true, _) => format!("{} waits for an answer, which comes to federation_inbox", proposal.id),
        (false, Some(APPROVE)) => format!("{} was approved", proposal.id),
        (false, _) => format!("{} was not approved", proposal.id),
    };
    (changed(proposal), said)
}

/// Answer a question; a later answer replaces yours. Read its options first with federation_consensus_results.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Respond {
    consensus_id: String,
    /// The option, or a list of them where the mechanism takes several, best first
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<String>")]
    response: Vec<String>,
    /// Why
    reason: Option<String>,
    /// Say that you have seen question and options, which opens voting; alone or with a response
    #[serde(default)]
    acknowledge: bool,
    /// Take your answer back
    #[serde(default)]
    withdraw: bool,
}

impl Arguments for Respond {
    const NAME: &'static str = "federation_consensus_respond";
    const EFFECTS: Effects = Effects::Once;
    type Answer = Changed;

    async fn run(self, link: &Link) -> Outcome<Changed> {
        if self.response.is_empty() && !self.acknowledge && !self.withdraw {
            let hint = "give response, or acknowledge, or withdraw";
            return Err(Error::usage("nothing was answered", hint));
        }
        let mut seen = None;
        if self.acknowledge {
            seen = Some(link.call(vote_ack::Request { id: self.consensus_id.clone(), ..Default::default() }).await?);
        }
        if let (Some(seen), true, false) = (seen, self.response.is_empty(), self.withdraw) {
            return Ok((changed(*seen), "Acknowledged".to_owned()));
        }
        let request = vote_cast::Request {
            id: self.consensus_id,
            choices: if self.withdraw { Vec::new() } else { self.response },
            reason: self.reason,
            ..Default::default()
        };
        let said = if self.withdraw { "Taken back" } else { "Answered" };
        Ok((changed(*link.call(request).await?), said.to_owned()))
    }
}

/// The result of a question as it stands: winner, votes, ballots. Without an id: the open questions, yours to answer first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    consensus_id: Option<String>,
    /// Wait so many seconds for its end, up to 50
    #[serde(default)]
    wait_s: u32,
}

/// A question, or the open ones.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stand {
    #[serde(flatten)]
    one: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    open: Option<Vec<Decision>>,
}

impl Arguments for Results {
    const NAME: &'static str = "federation_consensus_results";
    const EFFECTS: Effects = Effects::None;
    type Answer = Stand;

    async fn run(self, link: &Link) -> Outcome<Stand> {
        let Some(id) = self.consensus_id else { return open(link).await };
        let one = Decision::of(*closed(&id, until(self.wait_s), link).await?);
        let said = format!("{} is {}", one.consensus_id, one.phase);
        Ok((Stand { one, open: None }, said))
    }

    fn only_waiting(self) -> Option<Self> {
        (self.wait_s > 0 && self.consensus_id.is_some()).then_some(self)
    }
}

async fn open(link: &Link) -> Outcome<Stand> {
    let me = link.address();
    let mut proposals = link.call(vote_list::Request::default()).await?.proposals;
    proposals.sort_by_key(|proposal| !proposal.silent.contains(&me));
    let said = format!("{} open questions", proposals.len());
    let open = proposals.into_iter().take(MAX_QUESTIONS).map(Decision::brief).collect();
    Ok((Stand { one: Decision::default(), open: Some(open) }, said))
}
