//! Attacks that are records: well formed, signed as they should be, in the member's own document, and not so.

use std::collections::BTreeMap;

use fedp2p_crdt::content::{Agent, BallotPlace, BidPlace, Content, Edit, Entry, RolePlace, StatementPlace};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::claim::{
    Acknowledgement, Claim, Confirmation, End, Ended, Fence, Mode, Replaced, Reserved, Resource,
};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::name::AgentName;
use fedp2p_protocols::op::Kind;
use fedp2p_protocols::payload::{Change, Checkpoint};
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::task::{Assignee, Award, Bid, Grant, Offer, Outcome, Priority, State, Statement, Task, TaskKey};
use fedp2p_protocols::vote::{AgentId, Ballot, Cause, Closing, Counted, Proposal, ProposalKey, Rules};

use super::Campaign;
use crate::node::EPOCH_MS;
use crate::sim::Sim;
use crate::tasks::ROLE;

/// How many edits go into one change: few enough that they always fit.
const AT_ONCE: usize = 8;
/// Most records of one attack.
const MOST: usize = 60;

fn ghost() -> AgentName {
    "ghost".parse().expect("letters are a name")
}

fn some_task(id: &str) -> Task {
    Task {
        by: ghost(),
        title: format!("trap {id}"),
        text: None,
        data: None,
        after: Vec::new(),
        priority: Priority::Urgent,
        to: Assignee::Anyone,
        due: Some(1),
        revision: 1,
        attempt: 1,
        made: 1,
        offer: None,
        canceled: None,
        closed: None,
    }
}

fn says(task: &TaskKey, of: &Task, fence: u64, number: u32, state: State) -> Edit {
    let (made, attempt) = (of.made, of.attempt);
    let place = StatementPlace { task: task.clone(), agent: ghost(), number };
    Entry::Statement(place, Statement { made, attempt, fence, state, note: None, result: None, at: EPOCH_MS }).into()
}

impl Campaign {
    fn me(&self) -> NodeId {
        self.adversary.key.id()
    }

    /// What everybody says, as one of the others holds it.
    fn contents(&mut self, sim: &Sim) -> BTreeMap<NodeId, Content> {
        let Some(node) = self.someone(sim) else { return BTreeMap::new() };
        let mut documents: BTreeMap<_, Document> = BTreeMap::new();
        for write in sim.nodes[node].disk.ops.values() {
            let header = write.op.header();
            let Ok(change) = Change::decode(write.op.payload()) else { continue };
            if header.kind != Kind::Change {
                continue;
            }
            let (author, log, conversation, epoch) = (header.author, header.log, header.conversation, change.epoch);
            let id = DocumentId { node: author, log, conversation, epoch };
            let document = documents.entry((author, epoch, log)).or_insert_with(|| Document::new(id));
            drop(document.admit(&change.change));
        }
        // Of each author the greatest comes last, and stays.
        documents.into_iter().map(|((author, ..), document)| (author, document.content().clone())).collect()
    }

    /// All that others say, but for what this member says itself.
    fn others<T>(&mut self, sim: &Sim, pick: impl Fn(NodeId, &Content) -> Vec<T>) -> Vec<T> {
        let me = self.me();
        let contents = self.contents(sim);
        let picked = contents.iter().filter(|(node, _)| **node != me).flat_map(|(node, content)| pick(*node, content));
        picked.take(MOST).collect()
    }

    /// Says this, and takes back all else that it ever said.
    fn declare(&mut self, sim: &mut Sim, edits: Vec<Edit>) {
        let me = self.me();
        let (log, last) = self.good_log(sim);
        self.adversary.log = Some((log, last));
        let own = |write: &&fedp2p_core::store::OpWrite| write.op.header().author == me;
        let epochs = sim.nodes.iter().flat_map(|node| node.disk.ops.values()).filter(own);
        let epoch = epochs.filter_map(|write| write.document_epoch).max().unwrap_or(0) + 1;
        let mut document = Document::new(DocumentId { node: me, log, conversation: self.conversation(), epoch });
        let at = EPOCH_MS + sim.now.as_millis() as u64;
        let register = ["ghost", "mallory"].map(|name| {
            let kind = if name == "ghost" { AgentKind::Ai } else { AgentKind::Person };
            Edit::from(Entry::Agent(name.parse().expect("letters are a name"), Agent { kind, said: None }))
        });
        let edits: Vec<Edit> = register.into_iter().chain(edits).collect();
        let mut changes = Vec::new();
        for part in edits.chunks(AT_ONCE) {
            changes.extend(document.write(part, at).ok().flatten());
        }
        let checkpoint = Checkpoint { epoch, changes: changes.len() as u32 };
        self.append(sim, Kind::Checkpoint, &checkpoint.encode(), |_| {});
        for change in changes {
            self.append(sim, Kind::Change, &Change { epoch, change }.encode(), |_| {});
        }
    }

    /// A claim that says it is confirmed, with its own acknowledgement and no other.
    fn claims(&mut self, counter: u64, resource: Resource, change: impl FnOnce(&mut Claim)) -> [Edit; 2] {
        let members = [1, 2, 5][self.dice.index(3)];
        let mut claim = Claim {
            resource,
            by: ghost(),
            mode: Mode::Exclusive,
            ttl_s: 30,
            why: None,
            salt: self.dice.number() >> 1,
            replaces: Vec::new(),
            taken: EPOCH_MS,
            renewals: self.dice.below(3) as u32,
            renewed: EPOCH_MS,
            confirmed: Some(Confirmation { acknowledged: 1, members, at: EPOCH_MS }),
            ended: None,
        };
        change(&mut claim);
        let promise = Acknowledgement { claim: claim.hash(), at: EPOCH_MS };
        let fence = Fence { counter, node: self.me() };
        [Entry::Claim(counter, claim).into(), Entry::Acknowledged(fence, promise).into()]
    }

    /// The lowest number that nobody has.
    fn next_counter(&mut self, sim: &Sim) -> u64 {
        let highest = |_, content: &Content| content.claims.keys().next_back().copied().into_iter().collect();
        self.others(sim, highest).into_iter().max().unwrap_or(0) + 1
    }

    pub(super) fn grab_files(&mut self, sim: &mut Sim) {
        let next = self.next_counter(sim);
        let claims = self.others(sim, |node, content| {
            let open = content.claims.iter().filter(|(_, claim)| claim.ended.is_none());
            open.map(|(&counter, claim)| (Fence { counter, node }, claim.clone())).collect::<Vec<_>>()
        });
        let mut edits = Vec::new();
        for (at, (fence, theirs)) in claims.into_iter().take(16).enumerate() {
            let counter = if self.dice.percent(50) { next + at as u64 } else { 1 + self.dice.below(next) };
            let takes_over = self.dice.percent(60);
            edits.extend(self.claims(counter, theirs.resource.clone(), |claim| {
                if takes_over {
                    claim.replaces = vec![Replaced { fence, renewals: theirs.renewals }];
                }
            }));
        }
        for (at, glob) in ["src", "docs", "tests"].into_iter().enumerate() {
            let repository = "fedp2p".parse().expect("a name");
            let files = Resource::Files { repository, globs: vec![glob.parse().expect("a folder")] };
            edits.extend(self.claims(next + 100 + at as u64, files, |claim| claim.ttl_s = 3600));
        }
        self.declare(sim, edits);
    }

    pub(super) fn leaps(&mut self, sim: &mut Sim) {
        let next = self.next_counter(sim);
        let mut edits =
            vec![Entry::Reserved([u64::MAX, next + (1 << 31)][self.dice.index(2)], Reserved { at: 1 }).into()];
        for counter in [u64::MAX, u64::MAX - 1, next + (1 << 33), next + (1 << 20)] {
            let repository = "fedp2p".parse().expect("a name");
            let files = Resource::Files { repository, globs: vec!["src".parse().expect("a folder")] };
            edits.extend(self.claims(counter, files, |_| {}));
        }
        self.declare(sim, edits);
    }

    /// Acknowledges all claims, also those that exclude each other.
    pub(super) fn two_promises(&mut self, sim: &mut Sim) {
        let promises = self.others(sim, |node, content| {
            let open = content.claims.iter().filter(|(_, claim)| claim.ended.is_none());
            let promise = |claim: &Claim| Acknowledgement { claim: claim.hash(), at: EPOCH_MS };
            open.map(|(&counter, claim)| Edit::from(Entry::Acknowledged(Fence { counter, node }, promise(claim))))
                .collect::<Vec<_>>()
        });
        self.declare(sim, promises);
    }

    pub(super) fn taken_back(&mut self, sim: &mut Sim) {
        self.declare(sim, Vec::new());
    }

    fn tasks(&mut self, sim: &Sim) -> Vec<(TaskKey, Task)> {
        self.others(sim, |node, content| {
            let key = |id: &fedp2p_protocols::name::TaskId| TaskKey { node, id: id.clone() };
            content.tasks.iter().map(|(id, task)| (key(id), task.clone())).collect::<Vec<_>>()
        })
    }

    /// Claims tasks, and says what it likes of them.
    fn takes(&mut self, sim: &mut Sim, wanted: impl Fn(&Task) -> bool, words: &[State], ended: bool) {
        let next = self.next_counter(sim);
        let mut edits = Vec::new();
        for (at, (key, task)) in self.tasks(sim).into_iter().filter(|(_, task)| wanted(task)).take(20).enumerate() {
            let counter = if self.dice.percent(70) { next + at as u64 } else { 1 + self.dice.below(next) };
            edits.extend(self.claims(counter, Resource::Task(key.clone()), |claim| {
                claim.ended = ended.then_some(Ended { cause: End::Released, to: None, at: EPOCH_MS });
            }));
            for (number, state) in (1..).zip(words) {
                edits.push(says(&key, &task, counter, number, *state));
            }
        }
        self.declare(sim, edits);
    }

    pub(super) fn grab_tasks(&mut self, sim: &mut Sim) {
        let words: &[State] = if self.dice.percent(50) { &[] } else { &[State::Working] };
        self.takes(sim, |_| true, words, false);
    }

    pub(super) fn reopened(&mut self, sim: &mut Sim) {
        let words: &[State] =
            [&[State::Working][..], &[State::Working, State::Failed], &[State::Rejected]][self.dice.index(3)];
        let ended = self.dice.percent(30);
        self.takes(sim, |task| task.closed.is_some(), words, ended);
    }

    pub(super) fn false_words(&mut self, sim: &mut Sim) {
        let words: &[State] = [
            &[State::Working, State::Completed][..],
            &[State::Completed],
            &[State::Working, State::Failed],
            &[State::Canceled],
        ][self.dice.index(4)];
        let ended = self.dice.percent(70);
        self.takes(sim, |task| task.closed.is_none(), words, ended);
    }

    /// Tasks that nobody can do, that are awarded to those who did not ask, and that are over before they began.
    pub(super) fn false_tasks(&mut self, sim: &mut Sim) {
        let me = self.me();
        let key = |id: &str| TaskKey { node: me, id: id.parse().expect("an id") };
        let to = AgentId { node: me, name: ghost() };
        let award = Some(Award { to: to.clone(), reason: None, at: EPOCH_MS, before: Assignee::Anyone });
        let offer = Some(Offer { until: Some(1), auto: true, award });
        let fence = Fence { counter: 1, node: me };
        let outcome = Outcome { state: State::Completed, fence, by: ghost(), note: None, result: None, at: 1 };
        let circle = |after: &str| Task { after: vec![key(after)], ..some_task("circle") };
        let tasks = [
            ("one", circle("other")),
            ("other", circle("one")),
            ("itself", circle("itself")),
            ("never", circle("nowhere")),
            ("awarded", Task { to: Assignee::Agent(to), offer, ..some_task("awarded") }),
            ("over", Task { closed: Some(outcome), ..some_task("over") }),
            ("trap", some_task("trap")),
        ];
        let edits = tasks.map(|(id, task)| Entry::Task(id.parse().expect("an id"), task).into());
        self.declare(sim, edits.to_vec());
    }

    pub(super) fn empty_bids(&mut self, sim: &mut Sim) {
        let offered = self.tasks(sim).into_iter().filter(|(_, task)| task.is_announced());
        let bid = |(task, of): (TaskKey, Task)| {
            let bid = Bid { made: of.made, attempt: of.attempt, cost: Some(0), reason: None, revision: 1, at: 1 };
            Edit::from(Entry::Bid(BidPlace { task, agent: ghost() }, bid))
        };
        let edits = offered.map(bid).collect();
        self.declare(sim, edits);
    }

    /// Takes everybody's role away, or gives it to itself, as loudly as it can.
    pub(super) fn false_roles(&mut self, sim: &mut Sim) {
        let agents = self.others(sim, |node, content| {
            content.agents.keys().map(|name| AgentId { node, name: name.clone() }).collect::<Vec<_>>()
        });
        let own = AgentId { node: self.me(), name: ghost() };
        let revision = [1, 1 << 20, u32::MAX][self.dice.index(3)];
        let word = |agent: AgentId| {
            let grant = Grant { by: ghost(), has: agent == own, revision, at: EPOCH_MS };
            Edit::from(Entry::Role(RolePlace { role: ROLE.parse().expect("a role"), agent }, grant))
        };
        let edits = agents.into_iter().chain([own.clone()]).map(word).collect();
        self.declare(sim, edits);
    }

    /// Ballots for others, twice, for every revision, and for what is no option.
    pub(super) fn stuffed_ballots(&mut self, sim: &mut Sim) {
        let proposals = self.others(sim, |node, content| {
            let key = |id: &String| ProposalKey { node, id: id.clone() };
            content.proposals.iter().map(|(id, proposal)| (key(id), proposal.clone())).collect::<Vec<_>>()
        });
        let mut edits = Vec::new();
        for (key, proposal) in proposals.into_iter().rev().take(8) {
            for (voter, number) in [("ghost", 1), ("ghost", 2), ("p0", 1), ("ai1", u32::MAX), ("mallory", 7)] {
                let earlier = Proposal { revision: proposal.revision.saturating_sub(1).max(1), ..proposal.clone() };
                let asked = if self.dice.percent(70) { &proposal } else { &earlier };
                let option = &proposal.options[self.dice.index(proposal.options.len())];
                let choices = [vec![option.clone()], vec![option.clone(), option.clone()], vec!["none".to_owned()]];
                let choices = choices[self.dice.index(3)].clone();
                let ballot = Ballot {
                    revision: proposal.revision,
                    asked: asked.hash(),
                    choices,
                    reason: None,
                    at: EPOCH_MS,
                    proven: false,
                };
                let voter = voter.parse().expect("a name");
                edits.push(Entry::Ballot(BallotPlace { proposal: key.clone(), voter, number }, ballot).into());
            }
        }
        self.declare(sim, edits);
    }

    /// Questions that it closes with ballots which nobody cast.
    pub(super) fn false_closings(&mut self, sim: &mut Sim) {
        let voters = self
            .others(sim, |node, content| content.agents.keys().map(|name| (node, name.clone())).collect::<Vec<_>>());
        let mut edits = Vec::new();
        for number in 0..4 {
            let mut counted: BTreeMap<NodeId, BTreeMap<AgentName, Counted>> = BTreeMap::new();
            for (node, name) in &voters {
                let ballot = Counted { number: 1 + self.dice.below(3) as u32, choices: vec![self.dice.index(2)] };
                counted.entry(*node).or_default().insert(name.clone(), ballot);
            }
            let closed = Closing { at: EPOCH_MS, cause: Cause::Settled, eligible: 1, counted };
            let proposal = Proposal {
                by: ghost(),
                question: "Shall I?".to_owned(),
                options: ["yes", "no"].map(str::to_owned).to_vec(),
                rules: Rules::default(),
                revision: 1 + number,
                opened: EPOCH_MS,
                acknowledged: None,
                closed: self.dice.percent(70).then_some(closed),
            };
            edits.push(Entry::Proposal(format!("mine{number}"), proposal).into());
        }
        self.declare(sim, edits);
    }
}
