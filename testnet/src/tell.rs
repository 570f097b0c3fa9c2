//! What happens in a run, in words that a person can follow. Signs of life are left out.

#![expect(clippy::wildcard_enum_match_arm, reason = "whatever a person need not know is not told")]

use fedp2p_core::{Effect, Input, Verdict};
use fedp2p_protocols::api::{Answer, Reply, Request, watch};
use fedp2p_protocols::id::NodeId;
use fedp2p_protocols::op::{Kind, Op};
use fedp2p_protocols::sync::{Frame, LogKey};

use fedp2p_core::store::{Commit, Write};

use crate::plan::Act;
use crate::sim::Sim;

fn seconds(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1000.0) }
}

fn nodes(list: &[usize]) -> String {
    list.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ")
}

/// A step of the plan; calls are told where they come in.
pub(crate) fn act(act: &Act) -> Option<String> {
    Some(match act {
        Act::Start { .. } | Act::Introduce { .. } | Act::Call { .. } => return None,
        Act::Join { node } => format!("n{node} wants to join"),
        Act::Cut { side, ms } => format!("{} cut off from all others for {}", nodes(side), seconds(*ms)),
        Act::OneWay { from, ms } => {
            format!("what {} say does not reach the others for {}", nodes(from), seconds(*ms))
        }
        Act::Stall { a, b, ms } => format!("nothing moves between n{a} and n{b} for {}", seconds(*ms)),
        Act::Crash { node, ms } => format!("n{node} is killed, and started again after {}", seconds(*ms)),
        Act::PowerCut { node, commits, ms } => {
            format!("n{node} loses power and its last {commits} commits; back after {}", seconds(*ms))
        }
        Act::Restore { node, percent, alone, .. } => {
            let alone = if *alone { ", and meets nobody for 8 s" } else { "" };
            format!("the home of n{node} is put back to {percent} % of its commits{alone}")
        }
        Act::FullDisk { node, ms } => format!("the disk of n{node} is full for {}", seconds(*ms)),
        Act::Slow { node, each_ms, ms } => {
            format!("n{node} needs {each_ms} ms for everything for {}", seconds(*ms))
        }
        Act::Freeze { node, asleep: true, ms } => format!("the machine of n{node} sleeps for {}", seconds(*ms)),
        Act::Freeze { node, asleep: false, ms } => format!("n{node} is stopped for {}", seconds(*ms)),
        Act::SetClock { node, off_ms } => {
            format!("the clock of n{node} is {:.1} s off now", *off_ms as f64 / 1000.0)
        }
        Act::Leave { node } => format!("n{node} goes for good"),
        Act::CopyHome { node } => format!("the home of n{node} is copied, and the copy is started"),
        Act::Lie { node } => format!("n{node} claims to hold more than it does from now on"),
        Act::Attack { node, attack, .. } => format!("n{node} attacks: {attack}"),
    })
}

fn who(sim: &Sim, id: &NodeId) -> String {
    sim.number_of(id).map_or_else(|| format!("stranger {}", id.short()), |number| format!("n{number}"))
}

fn place(sim: &Sim, key: &LogKey, seq: u64) -> String {
    format!("{}/{}:{seq}", who(sim, &key.author), key.log.short())
}

/// An op: who wrote what at which place of which log.
fn op(sim: &Sim, op: &Op) -> String {
    let header = op.header();
    let kind = match header.kind {
        Kind::LogStart => "start".to_owned(),
        Kind::Certificate => "certificate".to_owned(),
        Kind::Message => "message".to_owned(),
        Kind::Receipt => "receipt".to_owned(),
        Kind::Change => "change".to_owned(),
        Kind::Checkpoint => "checkpoint".to_owned(),
        Kind::Note => "an edit of a note".to_owned(),
        Kind::ForkProof => "proof of a fork".to_owned(),
        Kind::Other(code) => format!("kind {code}"),
    };
    let key = LogKey { author: header.author, log: header.log };
    format!("{kind} {} at {}", op.id().short(), place(sim, &key, header.seq))
}

fn bytes(sim: &Sim, ops: &[Vec<u8>]) -> String {
    let name = |bytes: &Vec<u8>| match Op::decode(bytes) {
        Ok(decoded) => op(sim, &decoded),
        Err(error) => format!("{} bytes that are no op ({error})", bytes.len()),
    };
    if ops.is_empty() { "nothing".to_owned() } else { ops.iter().map(name).collect::<Vec<_>>().join(", ") }
}

/// A frame, unless it is a sign of life.
pub(crate) fn frame(sim: &Sim, data: &[u8]) -> Option<String> {
    let heads = |heads: &[fedp2p_protocols::sync::Head]| {
        heads.iter().map(|head| place(sim, &head.key, head.height)).collect::<Vec<_>>().join(" ")
    };
    Some(match Frame::decode(data) {
        Ok(Frame::Ping(_) | Frame::Pong(_)) => return None,
        Ok(Frame::Digest(_)) => "a digest".to_owned(),
        Ok(Frame::Have { heads: list, more, .. }) => {
            format!("what it holds: {}{}", heads(&list), if more { " and more" } else { "" })
        }
        Ok(Frame::Want { wants, .. }) => {
            let wants: Vec<String> = wants.iter().map(|want| place(sim, &want.key, want.from)).collect();
            format!("a request for everything from {}", wants.join(" "))
        }
        Ok(Frame::Ops { ops, last, .. }) => {
            format!("what was asked for: {}{}", bytes(sim, &ops), if last { ", and that is all" } else { "" })
        }
        Ok(Frame::Push { ops }) => format!("something new: {}", bytes(sim, &ops)),
        Ok(Frame::Ack { bytes }) => format!("that it dealt with {bytes} bytes"),
        Ok(Frame::Stored { heads: list, .. }) => format!("that it stored {}", heads(&list)),
        Ok(Frame::Renew) => "a request for a new certificate".to_owned(),
        Ok(Frame::Renewed(_)) => "a new certificate".to_owned(),
        Err(error) => format!("{} bytes that are no frame ({error})", data.len()),
    })
}

/// What a core is told.
pub(crate) fn input(sim: &Sim, input: &Input) -> Option<String> {
    Some(match input {
        Input::Call { caller, request, .. } => format!("{} asks: {}", caller.name, asked(request)),
        Input::CommitFailed(_, error) => format!("could not store: {error}"),
        Input::Connected { peer, .. } => format!("is told that {} is connected", who(sim, peer)),
        Input::Disconnected { peer } => format!("is told that {} is no longer connected", who(sim, peer)),
        Input::Gossip { id, data } => format!("hears by gossip from {}: {}", who(sim, &id.from), gossip(sim, data)),
        Input::Frame { peer, frame: data } => format!("gets from {} {}", who(sim, peer), frame(sim, data)?),
        Input::Verified(_, ops) => {
            let bad = ops.iter().filter(|op| op.is_none()).count();
            if bad == 0 {
                return None;
            }
            format!("finds {bad} bad signatures")
        }
        Input::JoinRequested { request, .. } => format!("is asked for a certificate by {}", request.name),
        _ => return None,
    })
}

fn gossip(sim: &Sim, data: &[u8]) -> String {
    bytes(sim, std::slice::from_ref(&data.to_vec()))
}

fn cut_short(text: &str) -> String {
    if text.chars().count() > 24 {
        format!("{}...", text.chars().take(24).collect::<String>())
    } else {
        text.to_owned()
    }
}

fn asked(request: &Request) -> String {
    match request {
        Request::Send(send) => {
            let to = if send.to.is_empty() { "all".to_owned() } else { send.to.join(" and ") };
            format!("send {:?} to {to}", cut_short(&send.text))
        }
        Request::State(state) => {
            format!("say that it is {:?}", state.pulse.summary.as_deref().unwrap_or_default())
        }
        Request::VoteNew(vote) => format!("put {} to the vote", vote.id.as_deref().unwrap_or("a question")),
        Request::VoteCast(vote) => format!("vote {} on {}", vote.choices.join(" "), vote.id),
        Request::VoteClose(vote) => format!("close {}", vote.id),
        Request::Surfaced(surfaced) => format!("its inbox was shown up to {}", surfaced.cursor),
        Request::Ack(ack) => format!("{} messages are acknowledged", ack.ids.len()),
        Request::TaskNew(task) => {
            format!("make the task {}{}", task.id.as_deref().unwrap_or("that has no id"), comes_after(&task.after))
        }
        Request::TaskEdit(task) => {
            let after = task.after.as_deref().map_or_else(String::new, comes_after);
            format!("change the task {}{after}{}", task.id, if task.retry { ", to be tried again" } else { "" })
        }
        Request::TaskClaim(task) => format!("begin with the task {}", task.id),
        Request::TaskUpdate(task) => {
            let state = task.state.map_or_else(|| "as it is".to_owned(), |state| state.to_string());
            format!("the task {} is {state}", task.id)
        }
        other => other.name().to_owned(),
    }
}

fn comes_after(needs: &[String]) -> String {
    if needs.is_empty() { String::new() } else { format!(", which comes after {}", needs.join(" and ")) }
}

/// What a core wants done, unless it is told where it is done.
pub(crate) fn effect(sim: &Sim, effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Commit(commit) => stores(sim, commit)?,
        Effect::Reply(_, Answer::Ok(reply)) => answered(reply),
        Effect::Reply(_, Answer::Error(error)) => format!("refuses: {}", error.message),
        Effect::Event(event) => match &**event {
            watch::Event::Notice { text } => format!("notes: {text}"),
            _ => return None,
        },
        Effect::Publish { data, .. } => format!("gossips {}", gossip(sim, data)),
        Effect::Judge(_, Verdict::Reject) => "rejects what it heard".to_owned(),
        Effect::Disconnect { peer, reason } => format!("throws {} out: it {reason}", who(sim, peer)),
        _ => return None,
    })
}

fn answered(reply: &Reply) -> String {
    match reply {
        Reply::Send(sent) => format!("answers that {} is sent", sent.id.short()),
        Reply::Inbox(inbox) => format!("answers with {} messages", inbox.messages.len()),
        Reply::VoteNew(vote) | Reply::VoteCast(vote) | Reply::VoteClose(vote) | Reply::VoteShow(vote) => {
            format!("answers that {} stands at {:?}", vote.id, vote.votes)
        }
        Reply::TaskNext(next) => match &next.task {
            Some(task) => format!("answers that {} is next, and {}", task.id, task.state),
            None => "answers that no task is next".to_owned(),
        },
        Reply::TaskNew(task) | Reply::TaskEdit(task) | Reply::TaskClaim(task) | Reply::TaskUpdate(task) => {
            format!("answers that {} is {}", task.id, task.state)
        }
        _ => "answers".to_owned(),
    }
}

fn stores(sim: &Sim, commit: &Commit) -> Option<String> {
    let said = |write: &Write| match write {
        Write::Op(write) => Some(op(sim, &write.op)),
        Write::Fork { key, seq, .. } => Some(format!("that {} is forked", place(sim, key, *seq))),
        Write::Epoch(epoch) => Some(format!("a new log epoch {}", epoch.short())),
        _ => None,
    };
    let list: Vec<String> = commit.writes.iter().filter_map(said).collect();
    (!list.is_empty()).then(|| format!("stores {}", list.join(", ")))
}
