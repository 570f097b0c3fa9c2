#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
//! A member written from `protocols/SPEC.md` alone takes part in the mesh like any other.

use fedp2p_protocols::api::message::DeliveryState;
use fedp2p_tests::foreign::{self, Foreign};
use fedp2p_tests::node::Node;
use fedp2p_tests::world::World;
use fedp2p_tests::{eventually, holds};
use serde_json::{Value, json};

/// Waits until both hold the same entries; the digests are computed by each on its own.
#[track_caller]
fn wait_until_equal(node: &Node, foreign: &mut Foreign) -> Value {
    eventually("the daemon and the foreign member hold the same", || {
        let ours = node.status().conversations[0].clone();
        let theirs = foreign.run_command("status", json!({}));
        let same = theirs["digest"] == ours.ops_digest.as_str() && theirs["agrees"] == true;
        holds(same && theirs["ops"] == ours.ops, (ours, &theirs)).map(|()| theirs)
    })
}

fn texts(history: &Value) -> Vec<&str> {
    history["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect()
}

#[test]
fn entries_go_both_ways_and_are_verified_at_both_ends() {
    if !foreign::is_available() {
        return;
    }
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    taichi.send(&[], "before you came");
    let mut outsider = Foreign::start(&world, "outsider");
    outsider.join(&taichi, "outsider");
    outsider.run_command("register", json!({ "agent": "jay", "kind": "ai" }));
    taichi.wait_for_agents(&["jay@outsider".to_owned()]);

    let me = taichi.status().node.id;
    let to = json!([{ "node": me, "name": "ada" }]);
    let sent = outsider.run_command("send", json!({ "agent": "jay", "text": "from afar", "to": to }));
    let pushed = outsider.run_command("send", json!({ "agent": "jay", "text": "only by sync", "how": "none" }));
    let gossiped = outsider.run_command("send", json!({ "agent": "jay", "text": "only by gossip", "how": "gossip" }));
    let late = taichi.send(&["jay@outsider"], "are you there?");
    let (log, seq) = outsider.wait("the message", |line| {
        (line["op"] == late.to_string()).then(|| (line["log"].clone(), line["seq"].clone()))
    });
    outsider.run_command("pulse", json!({ "agent": "jay", "summary": "speaks another tongue", "status": "busy" }));
    wait_until_equal(&taichi, &mut outsider);

    let history = taichi.history();
    let ids: Vec<String> = history.iter().map(|message| message.id.to_string()).collect();
    for reply in [&sent, &pushed, &gossiped] {
        assert!(ids.contains(&reply["id"].as_str().unwrap().to_owned()), "{ids:?}");
    }
    assert!(history.iter().all(|message| message.verified), "{history:#?}");
    assert_eq!(taichi.take_inbox(), ["from afar", "only by sync", "only by gossip"]);
    let pulse = taichi.json(&["pulse"]).to_string();
    assert!(pulse.contains("speaks another tongue") && pulse.contains("jay@outsider"), "{pulse}");
    let peer = taichi.peers().into_iter().find(|peer| peer.name == "outsider").unwrap();
    assert_eq!(peer.behind, 0);
    assert!(taichi.json(&["log", "verify"])["broken"].is_null());

    let known = outsider.run_command("history", json!({}));
    let mut known = texts(&known);
    known.sort_unstable();
    let mut all = vec!["before you came", "from afar", "only by sync", "only by gossip", "are you there?"];
    all.sort_unstable();
    assert_eq!(known, all);
    assert_eq!(outsider.run_command("verify", json!({}))["checked"], taichi.status().conversations[0].ops);
    let picture = outsider.run_command("picture", json!({}));
    assert_eq!(picture["nodes"][me.to_string()]["agents"]["ada"]["kind"], "person", "{picture:#}");

    let surfaced = json!([{ "author": me, "log": log, "seq": seq }]);
    outsider.run_command("receipt", json!({ "agent": "jay", "surfaced": surfaced }));
    taichi.wait_for_delivery(&late, DeliveryState::Surfaced);
    outsider.run_command("receipt", json!({ "agent": "jay", "acknowledged": [late] }));
    taichi.wait_for_delivery(&late, DeliveryState::Acknowledged);
    assert!(outsider.end());
}

#[test]
fn a_foreign_member_resumes_its_log_and_renews_its_certificate() {
    if !foreign::is_available() {
        return;
    }
    let world = World::new();
    let mut taichi = world.node("taichi");
    taichi.up(&[]);
    let mut outsider = Foreign::start(&world, "outsider");
    outsider.join(&taichi, "outsider");
    outsider.run_command("send", json!({ "agent": "jay", "text": "one" }));
    let before = wait_until_equal(&taichi, &mut outsider);

    // The connection is lost and comes back.
    outsider.run_command("disconnect", json!({}));
    outsider.run_command("send", json!({ "agent": "jay", "text": "two" }));
    taichi.send(&[], "meanwhile");
    outsider.run_command("connect", json!({}));
    wait_until_equal(&taichi, &mut outsider);

    // The program is killed and starts again from what it has on its disk.
    outsider.kill();
    taichi.wait_for_peers(0);
    let mut outsider = Foreign::start(&world, "outsider");
    outsider.run_command("connect", json!({}));
    outsider.run_command("send", json!({ "agent": "jay", "text": "three" }));
    let after = wait_until_equal(&taichi, &mut outsider);
    assert_eq!((&before["node"], &before["log"]), (&after["node"], &after["log"]));
    assert_eq!(taichi.take_inbox(), ["one", "two", "three"]);
    assert!(taichi.status().forks.is_empty());

    let expires = || taichi.peers().into_iter().find(|peer| peer.name == "outsider").unwrap().certificate_expires;
    let first = expires();
    outsider.run_command("renew", json!({}));
    eventually("the daemon knows the renewed certificate", || holds(expires() > first, expires()));
    eventually("pings are answered both ways", || {
        let pongs = outsider.run_command("status", json!({}))["pongs"].as_u64();
        let rtt = taichi.peers().into_iter().find(|peer| peer.name == "outsider").unwrap().rtt_us;
        holds(pongs > Some(0) && rtt.is_some(), (pongs, rtt))
    });
    wait_until_equal(&taichi, &mut outsider);
    assert!(outsider.end());
}

#[test]
fn gossip_reaches_a_foreign_member_and_comes_from_it() {
    if !foreign::is_available() {
        return;
    }
    let world = World::new();
    let [taichi, mut hakone] = world.mesh(["taichi", "hakone"]);
    let mut outsider = Foreign::start(&world, "outsider");
    outsider.join(&taichi, "outsider");
    wait_until_equal(&taichi, &mut outsider);
    // A member that is away makes the daemon gossip what it would otherwise only push.
    hakone.kill();
    taichi.wait_for_peers(1);
    eventually("gossip comes", || {
        taichi.send(&[], "to all");
        let gossiped = outsider.run_command("status", json!({}))["gossiped"].as_u64();
        holds(gossiped > Some(0), gossiped)
    });
    outsider.run_command("send", json!({ "agent": "jay", "text": "back by gossip", "how": "gossip" }));
    eventually("what was gossiped is there", || {
        let waiting = taichi.waiting("ada", fedp2p_protocols::pulse::AgentKind::Person);
        holds(waiting.contains(&"back by gossip".to_owned()), waiting)
    });
    assert!(outsider.end());
}

/// Starts an attack on this node by a new member.
fn attack(world: &World, node: &Node, mode: &str) -> Foreign {
    let mut eve = Foreign::hostile(world, mode, None);
    eve.run_command("join", json!({ "ticket": node.invite(), "name": mode }));
    let address = format!("/ip4/127.0.0.1/tcp/{}", node.tcp().port());
    let targets = json!([{ "node": node.status().node.id, "address": address }]);
    eve.run_command("attack", json!({ "mode": mode, "targets": targets }));
    eve
}

#[test]
fn members_that_break_the_rules_are_cut_off_and_do_not_get_in_again() {
    if !foreign::is_available() {
        return;
    }
    let world = World::new();
    let [mut taichi, hakone] = world.mesh(["taichi", "hakone"]);
    for mode in
        ["bad-signature-push", "garbage-frames", "forged-author", "oversize-length", "half-open-streams", "churn"]
    {
        let mut eve = attack(&world, &taichi, mode);
        eventually(&format!("{mode}: its connection is closed and it is refused"), || {
            let counts = eve.run_command("counts", json!({}));
            holds(counts["cut"].as_u64() > Some(0) && counts["refused"].as_u64() > Some(3), counts)
        });
        let id = hakone.send(&["ada@taichi"], mode);
        hakone.wait_for_delivery(&id, DeliveryState::Stored);
        eve.kill();
    }
    assert!(taichi.is_running());
    let mut peers = taichi.peers().into_iter().filter(|peer| peer.name != "hakone");
    assert!(peers.all(|peer| peer.address.is_none()), "{:#?}", taichi.peers());
    assert!(taichi.json(&["log", "verify"])["broken"].is_null());
}

#[test]
fn honest_messages_pass_while_members_flood() {
    if !foreign::is_available() {
        return;
    }
    let world = World::new();
    let [mut taichi, hakone] = world.mesh(["taichi", "hakone"]);
    for mode in ["valid-push", "digest-storm", "want-storm", "slow-read"] {
        let mut eve = attack(&world, &taichi, mode);
        eventually(&format!("{mode} goes on"), || {
            let counts = eve.run_command("counts", json!({}));
            holds(counts["sent"].as_u64() > Some(20), counts)
        });
        for number in 0..20 {
            let id = hakone.send(&["ada@taichi"], &format!("{mode} {number}"));
            hakone.wait_for_delivery(&id, DeliveryState::Stored);
        }
        eve.kill();
    }
    assert!(taichi.is_running());
    assert_eq!(taichi.history().iter().filter(|message| message.text.contains(' ')).count(), 80);
}
