//! Roles: who has which, and questions to those who have one.

use fedp2p_protocols::api::{role_assign, role_list, role_remove, vote_cast, vote_new, vote_show};

use super::*;

fn assign(agent: &str, role: &str) -> Request {
    Request::RoleAssign(role_assign::Request {
        agent: agent.to_owned(),
        role: role.parse().unwrap(),
        subtask: None,
        subtask_id: None,
        conversation: None,
    })
}

fn remove(agent: &str, role: &str) -> Request {
    Request::RoleRemove(role_remove::Request {
        agent: agent.to_owned(),
        role: role.parse().unwrap(),
        conversation: None,
    })
}

/// Who has which role, as all nodes show it; it must be the same.
fn agreed(world: &mut World) -> Vec<String> {
    let list = |world: &mut World, n| world.ask(n, role_list::Request::default()).roles;
    let first = list(world, 0);
    for n in 1..world.hosts.len() {
        assert_eq!(list(world, n), first, "n{n}");
    }
    first.iter().map(|row| format!("{} {} by {}", row.role, row.agent, row.by)).collect()
}

fn team() -> World {
    let mut world = World::connected(3);
    for n in 0..3 {
        world.say(n, "here");
    }
    world
}

#[test]
fn a_role_is_given_by_one_and_taken_by_another() {
    let mut world = team();
    world.call(0, assign("p1", "analyst")).unwrap();
    world.call(2, assign("p2", "analyst")).unwrap();
    assert_eq!(agreed(&mut world), ["analyst p1@n1 by p0@n0", "analyst p2@n2 by p2@n2"]);
    world.call(2, remove("p1@n1", "analyst")).unwrap();
    assert_eq!(agreed(&mut world), ["analyst p2@n2 by p2@n2"]);
    refusal(world.call(0, remove("p1", "analyst")), ErrorCode::Conflict);
    world.call(0, assign("p1", "analyst")).unwrap();
    assert_eq!(agreed(&mut world).len(), 2);
    world.restart(1);
    assert_eq!(
        world.ask(1, role_list::Request { role: Some("analyst".parse().unwrap()), ..Default::default() }).roles.len(),
        2
    );
}

#[test]
fn what_two_halves_said_at_once_of_a_role_becomes_one_word() {
    let mut world = team();
    world.call(0, assign("p1", "lead")).unwrap();
    for n in 1..3 {
        world.disconnect(0, n);
    }
    world.call(0, remove("p1", "lead")).unwrap();
    world.call(1, assign("p1", "lead")).unwrap();
    for n in 1..3 {
        world.connect(0, n);
    }
    world.wait(Duration::from_secs(30));
    // The word of the node with the greater id stands.
    let stays = world.id(1) > world.id(0);
    assert_eq!(agreed(&mut world).len(), usize::from(stays));
}

#[test]
fn a_new_agent_can_take_a_role_itself_and_nobody_unknown_can_be_given_one() {
    let mut world = team();
    world.call_as(0, "coder", assign("coder", "builder")).unwrap();
    assert_eq!(agreed(&mut world), ["builder coder@n0 by coder@n0"]);
    let refused = refusal(world.call(0, assign("codr", "builder")), ErrorCode::NotFound);
    assert_eq!(refused.suggestions, ["coder@n0"]);
    let elsewhere = role_assign::Request {
        agent: "p1".to_owned(),
        role: "analyst".parse().unwrap(),
        subtask: None,
        subtask_id: None,
        conversation: Some("project-123".to_owned()),
    };
    let refused = refusal(world.call(0, Request::RoleAssign(elsewhere.clone())), ErrorCode::NotFound);
    assert_eq!(refused.suggestions, ["lobby"]);
    let lobby = role_assign::Request { conversation: Some("lobby".to_owned()), ..elsewhere };
    world.call(0, Request::RoleAssign(lobby)).unwrap();
}

#[test]
fn only_those_who_have_the_role_vote() {
    let mut world = team();
    let options = ["yes", "no"].map(str::to_owned).to_vec();
    let ask = |role: &str| {
        Request::VoteNew(vote_new::Request {
            question: "Fixed?".to_owned(),
            options: options.clone(),
            electorate: vec![format!("role:{role}")],
            ..Default::default()
        })
    };
    refusal(world.call(0, ask("analyst")), ErrorCode::NotFound);
    refusal(world.call(0, ask("An Analyst")), ErrorCode::Invalid);
    world.call(0, assign("p1", "analyst")).unwrap();
    let refused = refusal(world.call(0, ask("analist")), ErrorCode::NotFound);
    assert_eq!(refused.suggestions, ["analyst"]);
    world.call(0, ask("analyst")).unwrap();
    let cast = || {
        let choices = vec!["yes".to_owned()];
        Request::VoteCast(vote_cast::Request { id: "fixed".to_owned(), choices, ..Default::default() })
    };
    refusal(world.call(2, cast()), ErrorCode::Forbidden);
    world.call(1, cast()).unwrap();
    // Who gets the role while the question is open is asked as well.
    world.call(0, assign("p2", "analyst")).unwrap();
    world.call(2, cast()).unwrap();
    for n in 0..3 {
        let shown = world.ask(n, vote_show::Request { id: "fixed".to_owned() });
        assert_eq!((shown.votes["yes"], shown.rules.eligible), (2, 2));
        assert_eq!(shown.rules.role, Some("analyst".parse().unwrap()));
    }
}
