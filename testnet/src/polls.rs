//! Questions in the simulation: what clients ask, ask otherwise and answer, and what must hold of the results.

use std::collections::{BTreeMap, BTreeSet};

use fedp2p_protocols::api::proposal::{Counts, Phase, Proposal};
use fedp2p_protocols::api::{
    Reply, Request, approval_answer, approval_ask, pin_set, vote_ack, vote_cast, vote_close, vote_list, vote_new,
    vote_show,
};
use fedp2p_protocols::name::{Address, AgentName};
use fedp2p_protocols::vote::{APPROVE, Base, DENY, Mechanism, Outcome};

use crate::check::Invariant;
use crate::dice::Dice;
use crate::plan::What;
use crate::sim::Sim;
use crate::tasks::{ROLE, bare, number};

/// The PIN of every node.
const PIN: &str = "correct horse";
/// What can be answered, in one revision or another.
const OPTIONS: [&[&str]; 4] =
    [&["OAuth2", "JWT", "Custom"], &["JWT", "OAuth2"], &["Custom", "OAuth2", "JWT", "mTLS"], &["JWT", "mTLS"]];

/// So many closed questions of a node stay in any case.
const MOST_CLOSED: usize = 16;

/// A question that a client has put.
#[derive(Debug)]
struct Asked {
    id: String,
    node: usize,
    agent: usize,
    signoff: bool,
}

/// An answer that a client gave, with what it had read.
#[derive(Debug)]
struct Given {
    by: AgentName,
    id: String,
    question: String,
    options: Vec<String>,
    choices: Vec<String>,
}

/// All questions and answers.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    asked: Vec<Asked>,
    given: Vec<Given>,
    /// Nodes of which a person was told that the PIN is set.
    pins: BTreeSet<usize>,
    /// What the proposals that were closed were said to have come to, by node.
    pub(crate) closed: Vec<(usize, Proposal)>,
}

impl Polls {
    pub(crate) fn pin_is_set(&mut self, node: usize) {
        self.pins.insert(node);
    }
}

impl Sim {
    /// What a client asks or answers next, if there is anything.
    pub(crate) fn some_vote_call(&mut self, node: usize, agent: usize, what: What, dice: &mut Dice) -> Option<Request> {
        let own = |asked: &&Asked| (asked.node, asked.agent) == (node, agent);
        let mine: Vec<(String, bool)> =
            self.clients.polls.asked.iter().filter(own).map(|asked| (asked.id.clone(), asked.signoff)).collect();
        match what {
            What::Revision if !mine.is_empty() => {
                // The latest is the one that is most likely still open.
                let (id, signoff) = mine[mine.len() - 1 - dice.index(mine.len().min(2))].clone();
                Some(if signoff { approval(id, dice) } else { question(id, dice) })
            }
            What::Proposal | What::Revision => Some(question(self.new_id("q", node, agent, false), dice)),
            What::Approval => Some(approval(self.new_id("a", node, agent, true), dice)),
            What::Closing => {
                let id = if dice.percent(60) { mine.last().map(|(id, _)| id.clone()) } else { None };
                let id = id.unwrap_or_else(|| self.some_id(false, dice));
                Some(Request::VoteClose(vote_close::Request { id, withdraw: dice.percent(10) }))
            }
            What::Answer if !self.clients.polls.pins.contains(&node) => {
                (agent == 0).then(|| Request::PinSet(pin_set::Request { pin: PIN.to_owned(), old: None }))
            }
            What::Answer => Some(self.some_answer(node, agent, dice)),
            What::Ballot => Some(self.some_ballot(node, agent, dice)),
            What::Message
            | What::Pulse
            | What::Inbox
            | What::Claim
            | What::Release
            | What::Renew
            | What::Task
            | What::Role
            | What::Note
            | What::Attention
            | What::History
            | What::Agents
            | What::Peers => None,
        }
    }

    fn new_id(&mut self, letter: &str, node: usize, agent: usize, signoff: bool) -> String {
        let id = format!("{letter}{}", self.clients.polls.asked.len());
        self.clients.polls.asked.push(Asked { id: id.clone(), node, agent, signoff });
        id
    }

    fn some_id(&self, signoff: bool, dice: &mut Dice) -> String {
        let alike: Vec<&Asked> = self.clients.polls.asked.iter().filter(|asked| asked.signoff == signoff).collect();
        // The latest are voted on most.
        let index = alike.len().saturating_sub(1 + dice.index(alike.len().min(4)));
        alike.get(index).map_or_else(|| "none".to_owned(), |asked| asked.id.clone())
    }

    fn shown(&mut self, node: usize, id: &str) -> Option<Proposal> {
        match self.ask(node, Request::VoteShow(vote_show::Request { id: id.to_owned() })) {
            Some(Reply::VoteShow(shown)) => Some(*shown),
            _ => None,
        }
    }

    /// A ballot on what the node of the voter shows; it may be another question by the time that others hear of it.
    fn some_ballot(&mut self, node: usize, agent: usize, dice: &mut Dice) -> Request {
        let id = self.some_id(false, dice);
        let Some(shown) = self.shown(node, &id) else {
            return Request::VoteAck(vote_ack::Request { id, revision: None });
        };
        // Who reads now and answers later may answer something else.
        let at_once = self.nodes[node].held_until() <= self.now && self.nodes[node].backlog.is_empty();
        if dice.percent(25) || !at_once {
            return Request::VoteAck(vote_ack::Request { id, revision: None });
        }
        let options = &shown.options;
        let first = dice.index(options.len());
        let how_many = if dice.percent(10) { 0 } else { 1 + dice.index(2) };
        let choices: Vec<String> = (0..how_many).map(|at| options[(first + at) % options.len()].clone()).collect();
        let revision = dice.percent(50).then_some(shown.revision);
        self.gives(node, agent, &shown, &choices);
        let choices = choices.iter().map(|choice| choice.to_lowercase()).collect();
        // The first agent of each node is its person.
        let pin = (agent == 0 && self.clients.polls.pins.contains(&node)).then(|| PIN.to_owned());
        Request::VoteCast(vote_cast::Request { id, choices, revision, reason: None, pin })
    }

    fn some_answer(&mut self, node: usize, agent: usize, dice: &mut Dice) -> Request {
        let id = self.some_id(true, dice);
        let approve = dice.percent(70);
        let shown = self.shown(node, &id);
        if let Some(shown) = &shown {
            self.gives(node, agent, shown, &[if approve { APPROVE } else { DENY }.to_owned()]);
        }
        Request::ApprovalAnswer(approval_answer::Request {
            id,
            approve,
            reason: None,
            pin: Some(PIN.to_owned()),
            revision: None,
            asked: shown.filter(|_| dice.percent(50)).map(|shown| shown.asked),
        })
    }

    fn gives(&mut self, node: usize, agent: usize, shown: &Proposal, choices: &[String]) {
        self.clients.polls.given.push(Given {
            by: self.nodes[node].agents[agent].clone(),
            id: bare(&shown.id).to_owned(),
            question: shown.question.clone(),
            options: shown.options.clone(),
            choices: choices.to_vec(),
        });
    }

    /// Every tally is the same everywhere, and what a proposal was closed with is what it says for ever.
    pub(crate) fn check_votes(&mut self) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut last = Vec::new();
        for node in self.honest() {
            let list = Request::VoteList(vote_list::Request { all: true, ..Default::default() });
            if let Some(Reply::VoteList(mut list)) = self.ask(node, list) {
                // How far an open one is depends on the clock that looks.
                for proposal in list.proposals.iter_mut().filter(|proposal| proposal.open) {
                    proposal.phase = Phase::Open;
                }
                seen.insert(format!("{:?}", list.proposals), node);
                last = list.proposals;
            }
        }
        if seen.len() > 1 {
            let text = format!("{} different lists of proposals and tallies: {seen:?}", seen.len());
            self.fault(Invariant::Tally, text);
            return;
        }
        let mut found = Vec::new();
        for (node, closed) in self.clients.polls.closed.iter().filter(|(node, _)| {
            let node = &self.nodes[*node];
            node.counts() && !node.lost && !node.twin
        }) {
            let now = last.iter().find(|proposal| proposal.id == closed.id && proposal.by == closed.by);
            // The oldest of many leave.
            let many = self.clients.polls.closed.iter().filter(|(other, _)| other == node).count() > MOST_CLOSED;
            if now.is_none() && many {
                continue;
            }
            // An approval for which a signed answer is missing by now decides nothing; a hostile member took its own back, or said another.
            let hostile = |agent: &Address| {
                let node = number(agent.node.as_str()).and_then(|node| self.nodes.get(node));
                node.is_some_and(|node| node.adversary.is_some())
            };
            let unfounded = |now: &Proposal| {
                let voters = now.ballots.iter().map(|ballot| &ballot.voter);
                now.outcome == Outcome::Unfounded && now.unfounded.iter().chain(voters).any(hostile)
            };
            let same = now.is_some_and(|now| {
                now.votes == closed.votes && (now.winner == closed.winner || unfounded(now)) && !now.open
            });
            if !same {
                found.push(format!("n{node} closed {} with {:?}, and now it is {now:?}", closed.id, closed.votes));
            }
        }
        for text in found {
            self.fault(Invariant::Tally, text);
        }
        for proposal in &last {
            self.check_ballots(proposal);
            self.check_count(proposal);
        }
    }

    /// Whether an agent is a client on a node that keeps the rules.
    pub(crate) fn is_honest(&self, agent: &Address) -> bool {
        let node = number(agent.node.as_str()).and_then(|number| self.nodes.get(number));
        node.is_some_and(|node| node.adversary.is_none() && node.agents.contains(&agent.agent))
    }

    /// No ballot counts whose voter had not read the question and the options as they are now, or was not asked.
    fn check_ballots(&mut self, proposal: &Proposal) {
        let mut found = Vec::new();
        let mut voters = BTreeSet::new();
        for ballot in proposal.ballots.iter().filter(|ballot| ballot.counts == Counts::Yes) {
            if !voters.insert(&ballot.voter) {
                found.push(format!("{} counts two ballots of {}", proposal.id, ballot.voter));
            }
            let read = |given: &Given| {
                given.by == ballot.voter.agent
                    && given.id == bare(&proposal.id)
                    && (&given.question, &given.options) == (&proposal.question, &proposal.options)
                    && given.choices == ballot.choices
            };
            if self.is_honest(&ballot.voter) && !self.clients.polls.given.iter().any(read) {
                found.push(format!(
                    "{} counts a ballot of {} for {:?}, who never answered {:?} so when the options were {:?}",
                    proposal.id, ballot.voter, ballot.choices, proposal.question, proposal.options
                ));
            }
        }
        for text in found {
            self.fault(Invariant::Ballots, text);
        }
    }

    /// What an honest asker counts is what its voters say, counted once more from what everybody is shown.
    fn check_count(&mut self, proposal: &Proposal) {
        // What stands in a document that was lost, or in a part of a log that does not count, was counted before that.
        let whole = self.nodes.iter().all(|node| !node.lost && !node.twin);
        let plain = matches!(proposal.rules.mechanism, Mechanism::Poll | Mechanism::Vote);
        if !whole || !self.is_honest(&proposal.by) || proposal.votes.is_empty() {
            return;
        }
        let disputed = proposal.ballots.iter().filter(|ballot| ballot.counts == Counts::Disputed);
        let mut voters = disputed.map(|ballot| &ballot.voter).chain(&proposal.unfounded);
        if voters.clone().any(|voter| !self.is_honest(voter)) {
            return;
        }
        if let Some(voter) = voters.next() {
            let text = format!("{} counts a ballot of {voter} that says something else: {proposal:?}", proposal.id);
            self.fault(Invariant::Tally, text);
            return;
        }
        let counts = |option: &String| {
            let chose = |ballot: &&fedp2p_protocols::api::proposal::Ballot| {
                ballot.counts == Counts::Yes && ballot.choices.contains(option)
            };
            u32::try_from(proposal.ballots.iter().filter(chose).count()).unwrap_or(u32::MAX)
        };
        if plain && proposal.votes.iter().any(|(option, votes)| counts(option) != *votes) {
            let text =
                format!("{} counts {:?}, which its ballots do not say: {proposal:?}", proposal.id, proposal.votes);
            self.fault(Invariant::Tally, text);
        }
    }
}

fn question(id: String, dice: &mut Dice) -> Request {
    let mechanisms = [Mechanism::Poll, Mechanism::Vote, Mechanism::Approval, Mechanism::Ranked];
    let shares = ["majority", "two-thirds", "1/5"];
    let share = |dice: &mut Dice| dice.percent(40).then(|| shares[dice.index(3)].parse().expect("a share"));
    let electorates = [None, None, None, Some("people".to_owned()), Some(format!("role:{ROLE}"))];
    let electorate = electorates[dice.index(electorates.len())].clone();
    Request::VoteNew(vote_new::Request {
        question: format!("Which, {}?", dice.below(3)),
        options: OPTIONS[dice.index(OPTIONS.len())].iter().map(ToString::to_string).collect(),
        id: Some(id),
        mechanism: mechanisms[dice.index(mechanisms.len())],
        threshold: share(dice),
        of: if dice.percent(50) { Base::Voting } else { Base::Electorate },
        quorum: share(dice),
        electorate: electorate.into_iter().collect(),
        acknowledge_s: dice.percent(30).then(|| 1 + dice.below(5) as u32),
        deadline_s: dice.percent(40).then(|| 6 + dice.below(30) as u32),
        early: dice.percent(50),
    })
}

fn approval(id: String, dice: &mut Dice) -> Request {
    Request::ApprovalAsk(approval_ask::Request {
        question: format!("May we, {}?", dice.below(3)),
        id: Some(id),
        of: Vec::new(),
        needs: dice.percent(50).then(|| "majority".parse().expect("a share")),
        deadline_s: dice.percent(40).then(|| 6 + dice.below(30) as u32),
    })
}
