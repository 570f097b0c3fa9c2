//! Several that do the same at once: tasks made with their claims, and losers that are told by whom.

use std::time::Duration;

use fedp2p_protocols::api::{claim_take, inbox, task_claim, task_list, vote_cast, vote_new};
use fedp2p_protocols::task::State;

use super::*;

fn begin(id: &str) -> Request {
    Request::TaskClaim(task_claim::Request { id: id.to_owned(), create: true, ..Default::default() })
}

impl World {
    /// Calls without waiting for the answer.
    fn call_later(&mut self, n: usize, agent: &str, request: Request) -> CallId {
        self.calls += 1;
        let id = CallId(self.calls);
        let caller = Caller { name: agent.parse().unwrap(), kind: AgentKind::Ai };
        self.give(n, Input::Call { id, caller, request });
        id
    }

    fn answered(&self, n: usize, id: CallId) -> Result<(), String> {
        let mut answers = self.hosts[n].replies.iter().filter(|(call, _)| *call == id);
        let (_, answer) = answers.next().expect("the call is answered");
        match answer {
            Answer::Error(error) => Err(error.message.clone()),
            Answer::Ok(_) | Answer::Event(_) => Ok(()),
        }
    }

    fn cut_all(&mut self) {
        self.pairs().for_each(|(a, b)| self.disconnect(a, b));
    }

    fn join_all(&mut self) {
        self.pairs().for_each(|(a, b)| self.connect(a, b));
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.hosts.len();
        (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b)))
    }
}

fn met(count: usize) -> World {
    let mut world = World::connected(count);
    (0..count).for_each(|n| world.say(n, "here"));
    world
}

#[test]
fn of_all_who_make_and_begin_a_task_at_once_one_goes_on() {
    let mut world = met(3);
    world.cut_all();
    let calls = [0, 1, 2].map(|n| world.call_later(n, "coder", begin("profile")));
    world.join_all();
    world.wait(Duration::from_secs(1));
    let answers = [0, 1, 2].map(|n| world.answered(n, calls[n]));
    let winners: Vec<usize> = (0..3).filter(|n| answers[*n].is_ok()).collect();
    let [winner] = winners[..] else { panic!("{answers:?}") };
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(refused.contains(&format!("was begun on n{winner} at the same time")), "{refused}");
    }
    for n in 0..3 {
        let tasks = world.ask(n, task_list::Request { all: true, ..Default::default() }).tasks;
        let shown: Vec<_> = tasks.iter().map(|task| (task.id.as_str(), task.state)).collect();
        assert_eq!(shown, [("profile", State::Working)]);
        assert_eq!(tasks[0].holder.as_ref().unwrap().agent.to_string(), format!("coder@n{winner}"));
    }
    world.assert_agreed();
}

#[test]
fn a_bare_id_means_the_task_that_one_holds_and_then_the_one_that_is_not_over() {
    let mut world = met(2);
    world.call_as(0, "coder", begin("profile")).unwrap();
    world.cut_all();
    world.call_as(1, "tester", super::tasks::plain("profile")).unwrap();
    world.join_all();
    refusal(world.call_as(1, "tester", super::tasks::start("profile")), ErrorCode::Ambiguous);
    world.call_as(0, "coder", super::tasks::update("profile", State::Completed, None)).unwrap();
    world.call_as(1, "tester", super::tasks::start("profile")).unwrap();
    let over = world.ask(0, task_list::Request { all: true, ..Default::default() }).tasks;
    assert_eq!(over.iter().filter(|task| task.state == State::Completed).count(), 1);
    world.assert_agreed();
}

#[test]
fn losers_are_told_who_is_ahead_of_all() {
    let mut world = met(3);
    world.cut_all();
    let take = || Request::ClaimTake(claim_take::Request { no_wait: false, ..super::claims::take(&["src"]) });
    let calls = [0, 1, 2].map(|n| world.call_later(n, "coder", take()));
    world.join_all();
    world.wait(Duration::from_secs(1));
    let answers = [0, 1, 2].map(|n| world.answered(n, calls[n]));
    let winner = answers.iter().position(Result::is_ok).unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for n in (0..3).filter(|n| *n != winner) {
        let refused = answers[n].as_ref().unwrap_err();
        assert!(refused.starts_with(&format!("coder@n{winner} ")), "{refused}");
        let told = world.call_as(n, "coder", Request::Inbox(inbox::Request::default())).unwrap();
        let told = <inbox::Request as Operation>::reply(told).unwrap().messages;
        let told: Vec<&str> = told.iter().map(|message| message.text.as_str()).collect();
        assert!(told.iter().any(|text| text.contains(&format!("was lost to claim 1 of coder@n{winner}"))), "{told:?}");
    }
}

#[test]
fn a_vote_is_taken_back_once() {
    let mut world = met(2);
    let question = vote_new::Request {
        question: "Which?".to_owned(),
        options: ["OAuth2", "JWT"].map(str::to_owned).to_vec(),
        id: Some("auth".to_owned()),
        ..Default::default()
    };
    world.call(0, Request::VoteNew(question)).unwrap();
    let cast = |choices: &[&str]| {
        let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        Request::VoteCast(vote_cast::Request { id: "auth".to_owned(), choices, ..Default::default() })
    };
    for _ in 0..3 {
        refusal(world.call(1, cast(&[])), ErrorCode::Conflict);
        world.call(1, cast(&["jwt"])).unwrap();
        world.call(1, cast(&[])).unwrap();
        let before = world.digests(1);
        let refused = refusal(world.call(1, cast(&[])), ErrorCode::Conflict);
        assert_eq!(refused.message, "no vote of p1 on \"auth\" stands");
        assert_eq!(world.digests(1), before, "nothing was written");
    }
}
