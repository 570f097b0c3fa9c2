//! Questions and approvals among members that lie, and nodes that die over them.

use fedp2p_crdt::content::{Agent, BallotPlace, Edit, Entry, Place};
use fedp2p_crdt::document::{Document, DocumentId};
use fedp2p_protocols::api::proposal::{Counts, Proposal as Shown};
use fedp2p_protocols::api::{
    approval_answer, approval_ask, pin_set, role_assign, role_remove, vote_cast, vote_close, vote_new, vote_show,
};
use fedp2p_protocols::payload::{Change, Checkpoint};
use fedp2p_protocols::vote::{
    APPROVE, Ballot, Cause, Closing, Counted, DENY, Electorate, Mechanism, Outcome, Proposal, ProposalKey, Rules,
};

use super::*;
use crate::store::Write;

const PIN: &str = "correct horse";

/// A member that nobody runs, with the document that it writes by hand.
struct Hostile {
    scribe: Scribe,
    document: Document,
}

impl Hostile {
    /// The third member beside two that are run.
    fn new(world: &mut World) -> Self {
        let mut scribe = Scribe::new(2, 3);
        let conversation = ConversationId::lobby(&scribe.chain.network());
        let id = DocumentId { node: scribe.key.id(), log: scribe.log, conversation, epoch: 1 };
        let start = scribe.start();
        let header = scribe.header(Kind::Checkpoint);
        let checkpoint = scribe.sign(header, &Checkpoint { epoch: 1, changes: 1 }.encode());
        let hostile = Self { scribe, document: Document::new(id) };
        tell_both(world, &[&start, &checkpoint]);
        hostile
    }

    fn says(&mut self, world: &mut World, edits: &[Edit]) {
        let change = self.document.write(edits, WALL_MS).unwrap().unwrap();
        let header = self.scribe.header(Kind::Change);
        let op = self.scribe.sign(header, &Change { epoch: 1, change }.encode());
        tell_both(world, &[&op]);
    }
}

fn tell_both(world: &mut World, ops: &[&Verified]) {
    world.push(1, 0, ops);
    world.push(0, 1, ops);
}

fn register(name: &str) -> Edit {
    Entry::Agent(name.parse().unwrap(), Agent { kind: AgentKind::Ai, said: None }).into()
}

fn asks(question: &str) -> Proposal {
    let rules = Rules { mechanism: Mechanism::Signoff, electorate: Electorate::People, ..Rules::default() };
    Proposal {
        by: "coder".parse().unwrap(),
        question: question.to_owned(),
        options: [APPROVE, DENY].map(str::to_owned).to_vec(),
        rules,
        revision: 1,
        opened: 1,
        acknowledged: None,
        closed: None,
    }
}

fn signoff(question: &str) -> Edit {
    Entry::Proposal("wipe".to_owned(), asks(question)).into()
}

fn approve() -> Request {
    Request::ApprovalAnswer(approval_answer::Request {
        id: "wipe".to_owned(),
        approve: true,
        reason: None,
        pin: Some(PIN.to_owned()),
        revision: Some(1),
        asked: None,
    })
}

fn set_pin() -> Request {
    Request::PinSet(pin_set::Request { pin: PIN.to_owned(), old: None })
}

fn shown(world: &mut World, n: usize, id: &str) -> Shown {
    *world.ask(n, vote_show::Request { id: id.to_owned() })
}

fn met() -> World {
    let mut world = World::connected(2);
    (0..2).for_each(|n| world.say(n, "here"));
    world
}

fn poll(question: &str, electorate: &[&str]) -> Request {
    Request::VoteNew(vote_new::Request {
        question: question.to_owned(),
        options: ["OAuth2", "JWT"].map(str::to_owned).to_vec(),
        id: Some("auth".to_owned()),
        electorate: electorate.iter().map(|who| (*who).to_owned()).collect(),
        ..Default::default()
    })
}

fn cast(choice: &str) -> Request {
    Request::VoteCast(vote_cast::Request {
        id: "auth".to_owned(),
        choices: vec![choice.to_owned()],
        ..Default::default()
    })
}

/// An approval holds for the question that the person saw, whatever number its asker gives another one.
#[test]
fn an_approval_of_one_question_is_none_of_another() {
    let mut world = met();
    world.call(1, set_pin()).unwrap();
    let mut hostile = Hostile::new(&mut world);
    hostile.says(&mut world, &[register("coder"), signoff("Run the tests?")]);
    world.call(1, approve()).unwrap();
    assert_eq!(shown(&mut world, 0, "wipe").winner.as_deref(), Some(APPROVE));
    hostile.says(&mut world, &[Edit::Remove(Place::Proposal("wipe".to_owned())), signoff("Wire a million?")]);
    for n in 0..2 {
        let proposal = shown(&mut world, n, "wipe");
        assert_eq!((proposal.question.as_str(), proposal.winner), ("Wire a million?", None), "n{n}");
    }
}

/// Nobody keeps a question of somebody else open.
#[test]
fn a_question_is_closed_however_many_have_answered() {
    let mut world = met();
    world.call(0, poll("Which?", &[])).unwrap();
    let mut hostile = Hostile::new(&mut world);
    let proposal = ProposalKey { node: world.id(0), id: "auth".to_owned() };
    let asked = shown(&mut world, 0, "auth").asked;
    let voters: Vec<String> = (0..400).map(|number| format!("v{number}")).collect();
    for voters in voters.chunks(30) {
        let edits = voters.iter().flat_map(|voter| {
            let place = BallotPlace { proposal: proposal.clone(), voter: voter.parse().unwrap(), number: 1 };
            let ballot =
                Ballot { revision: 1, asked, choices: vec!["JWT".to_owned()], reason: None, proven: false, at: 1 };
            [register(voter), Entry::Ballot(place, ballot).into()]
        });
        hostile.says(&mut world, &edits.collect::<Vec<Edit>>());
    }
    let close = |withdraw| Request::VoteClose(vote_close::Request { id: "auth".to_owned(), withdraw });
    world.call(0, close(true)).unwrap();
    assert!(!shown(&mut world, 1, "auth").open);
}

/// A question that was decided is closed, though the process died over it.
#[test]
fn an_approval_that_was_given_is_closed_after_a_crash() {
    let mut world = met();
    world.call(1, set_pin()).unwrap();
    let request =
        approval_ask::Request { question: "Delete it?".to_owned(), id: Some("wipe".to_owned()), ..Default::default() };
    world.call_as(0, "coder", Request::ApprovalAsk(request)).unwrap();
    let caller = Caller { name: "p1".parse().unwrap(), kind: AgentKind::Person };
    world.queue.push_back((1, Input::Call { id: CallId(900), caller, request: approve() }));
    let me = world.id(0);
    let own_change = |effect: &Effect| {
        let Effect::Commit(commit) = effect else { return false };
        commit.writes.iter().any(|write| {
            let Write::Op(write) = write else { return false };
            write.op.header().author == me && write.op.header().kind == Kind::Change
        })
    };
    let mut died = false;
    while let Some((n, input)) = world.queue.pop_front() {
        let clock = world.clock();
        let effects = world.hosts[n].core.handle(clock, input);
        // The answer is durable; the entry that closes the question is on its way to the disk.
        if n == 0 && effects.iter().any(own_change) {
            died = true;
            break;
        }
        world.carry_out(n, effects);
    }
    assert!(died);
    world.queue.retain(|(n, _)| *n != 0);
    world.restart(0);
    world.connect(0, 1);
    world.wait(Duration::from_secs(60));
    let proposal = shown(&mut world, 0, "wipe");
    assert_eq!((proposal.open, proposal.winner.as_deref()), (false, Some(APPROVE)));
}

/// Taking a role later makes no counted ballot look forged.
#[test]
fn a_counted_ballot_is_not_disputed_because_its_voter_lost_a_role() {
    let mut world = met();
    let (agent, role) = ("p1".to_owned(), "analyst".parse().unwrap());
    let assign = role_assign::Request { agent, role, subtask: None, subtask_id: None, conversation: None };
    let remove = role_remove::Request { agent: "p1".to_owned(), role: assign.role.clone(), conversation: None };
    world.call(0, Request::RoleAssign(assign)).unwrap();
    world.call(0, poll("Which?", &["role:analyst"])).unwrap();
    world.call(1, cast("jwt")).unwrap();
    world.call(0, Request::VoteClose(vote_close::Request { id: "auth".to_owned(), withdraw: false })).unwrap();
    world.call(0, Request::RoleRemove(remove)).unwrap();
    assert_eq!(shown(&mut world, 0, "auth").ballots[0].counts, Counts::Yes);
}

/// An asker can close its question with any count it likes, but not make an approval of it.
#[test]
fn an_approval_that_nobody_gave_is_none_whatever_the_asker_counts() {
    let mut world = met();
    let mut hostile = Hostile::new(&mut world);
    hostile.says(&mut world, &[register("coder"), signoff("Wire a million?")]);
    let person = world.id(1);
    let mut closing = Closing { at: 2, cause: Cause::Settled, eligible: 1, counted: Default::default() };
    let counted = Counted { number: 1, choices: vec![0] };
    closing.counted.entry(person).or_default().insert("p1".parse().unwrap(), counted);
    let closed = Proposal { closed: Some(closing), ..asks("Wire a million?") };
    hostile.says(&mut world, &[Entry::Proposal("wipe".to_owned(), closed).into()]);
    for n in 0..2 {
        let proposal = shown(&mut world, n, "wipe");
        assert_eq!((proposal.open, proposal.winner, proposal.outcome), (false, None, Outcome::Unfounded), "n{n}");
    }
}

/// Whoever types a PIN types it for what they saw.
#[test]
fn an_answer_to_what_was_asked_before_is_refused() {
    let mut world = met();
    world.call(1, set_pin()).unwrap();
    let mut hostile = Hostile::new(&mut world);
    hostile.says(&mut world, &[register("coder"), signoff("Run the tests?")]);
    let asked = Some(shown(&mut world, 1, "wipe").asked);
    hostile.says(&mut world, &[Edit::Remove(Place::Proposal("wipe".to_owned())), signoff("Wire a million?")]);
    let Request::ApprovalAnswer(answer) = approve() else { unreachable!() };
    refusal(world.call(1, Request::ApprovalAnswer(approval_answer::Request { asked, ..answer })), ErrorCode::Conflict);
}
