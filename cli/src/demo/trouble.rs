//! What the whitepaper promises and does not play: nodes that are away, nodes that die, and agreement afterwards.

use std::collections::BTreeMap;
use std::time::Instant;

use fedp2p_node::client::{CallError, Client};
use fedp2p_protocols::api::message::{DeliveryState, Message};
use fedp2p_protocols::api::{history, log_verify, send, status};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::limits::MAX_PAGE;
use fedp2p_protocols::payload::MessageType;
use serde::Serialize;

use super::Stage;
use super::check::{expect, until_seldom};
use super::mesh::{Mesh, Who, all_reachable};
use super::talk::{reached, state, take};
use crate::error::Error;
use crate::ui::table::{Column, Table};

/// How many messages taichi sends in the burst; baby sends what it can until it is killed.
const BURST: usize = 300;
/// After how many of them baby is killed.
const KILL_AT: usize = 100;
const CORRELATION: &str = "burst";

/// What became of the burst.
#[derive(Debug, Serialize)]
pub(super) struct Burst {
    /// Messages whose senders were told that they are durable.
    answered: usize,
    /// Those of them that are missing on some node at the end.
    lost: usize,
    /// Messages that some node has more than once.
    doubled: usize,
}

/// What a node holds at the end.
#[derive(Debug, Serialize)]
pub(super) struct Holding {
    node: &'static str,
    ops: u64,
    ops_digest: String,
    picture_digest: String,
}

/// Baby answers aorus while aorus is down; the answer waits and arrives.
pub(super) async fn absence(stage: &mut Stage<'_>) -> Result<(), Error> {
    stage.mesh.stop(Who::Aorus).await?;
    let mut baby = stage.mesh.client(Who::Baby).await?;
    let request = send::Request {
        to: vec![Who::Aorus.address()],
        kind: MessageType::Result,
        text: "Profile of the auth module: 80 % of the memory is the token cache".to_owned(),
        ..send::Request::default()
    };
    let sent = baby.call(request).await?;
    let before = state(&mut baby, sent.id).await?;
    expect(before == DeliveryState::Queued, || format!("a message to a stopped node is {before:?}, not queued"))?;
    let started = Instant::now();
    let ready = stage.mesh.start(Who::Aorus, None).await?;
    reached(&mut baby, sent.id, DeliveryState::Stored).await?;
    let stored = started.elapsed();
    let mut aorus = stage.mesh.client(Who::Aorus).await?;
    take(&mut aorus, sent.id).await?;
    reached(&mut baby, sent.id, DeliveryState::Surfaced).await?;
    stage.figures.once("start of a node that has been there before", ready);
    stage.figures.once("its start until a waiting message is stored there", stored);
    let mut table = Table::new(&[Column::fixed("aorus is"), Column::fixed("State that baby sees")]);
    table.row(["down".into(), "queued".into()]);
    table.row(["back".into(), "stored".into()]);
    table.row(["reading its inbox".into(), "surfaced".into()]);
    stage.show("Answer to a node that is down", &table.render(stage.out.width(), stage.out.paint()))
}

/// Taichi and baby both send; baby is killed in the middle and comes back. What was answered must be everywhere once.
pub(super) async fn crash(stage: &mut Stage<'_>) -> Result<(), Error> {
    for who in Who::ALL {
        all_reachable(&stage.mesh, who).await?;
    }
    let mut taichi = stage.mesh.client(Who::Taichi).await?;
    let mut baby = stage.mesh.client(Who::Baby).await?;
    let mesh = &mut stage.mesh;
    let steady = async {
        let mut answered = Vec::new();
        for number in 0..BURST {
            if number == KILL_AT {
                mesh.kill(Who::Baby)?;
            }
            answered.push(taichi.call(message(Who::Taichi, number)).await?.id);
        }
        Ok::<_, Error>(answered)
    };
    let (steady, cut) = tokio::join!(steady, until_killed(&mut baby));
    let answered = [steady?, cut?];
    let started = Instant::now();
    stage.mesh.start(Who::Baby, None).await?;
    let mut histories = Vec::new();
    for who in Who::ALL {
        histories.push((who, complete(&stage.mesh, who, &answered).await?));
    }
    stage.figures.once("start of the killed node until all hold everything", started.elapsed());
    report(stage, &answered, &histories)
}

/// Sends until the daemon is gone. Returns the ids of the messages that it had answered.
async fn until_killed(client: &mut Client) -> Result<Vec<OpId>, Error> {
    let mut answered = Vec::new();
    for number in 0..BURST {
        match client.call(message(Who::Baby, number)).await {
            Ok(reply) => answered.push(reply.id),
            Err(CallError::Lost { .. } | CallError::NotSent(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answered)
}

fn message(from: Who, number: usize) -> send::Request {
    send::Request {
        text: format!("{number:04} of a burst from {from}"),
        kind: MessageType::Status,
        correlation: Some(CORRELATION.to_owned()),
        ..send::Request::default()
    }
}

/// Waits until a node has every message of `answered`, and returns all messages of the burst that it has.
async fn complete(mesh: &Mesh, who: Who, answered: &[Vec<OpId>; 2]) -> Result<Vec<Message>, Error> {
    let mut client = mesh.client(who).await?;
    until_seldom(&format!("{who} to have every message of the burst"), async || {
        let messages = burst(&mut client).await?;
        let has = |id: &OpId| messages.iter().any(|message| message.id == *id);
        let all = answered.iter().flatten().all(has);
        Ok(all.then_some(messages))
    })
    .await
}

/// Reads all messages of the burst, in order of arrival.
async fn burst(client: &mut Client) -> Result<Vec<Message>, Error> {
    let mut messages: Vec<Message> = Vec::new();
    let mut before = None;
    loop {
        let request = history::Request {
            correlation: Some(CORRELATION.to_owned()),
            before,
            limit: MAX_PAGE,
            ..history::Request::default()
        };
        let page = client.call(request).await?;
        messages.splice(0..0, page.messages);
        before = page.before;
        if before.is_none() {
            return Ok(messages);
        }
    }
}

fn report(stage: &mut Stage<'_>, answered: &[Vec<OpId>; 2], found: &[(Who, Vec<Message>)]) -> Result<(), Error> {
    let mut table = Table::new(&[
        Column::fixed("Node"),
        Column::number("From taichi"),
        Column::number("From baby"),
        Column::number("Lost"),
        Column::number("Twice"),
        Column::fixed("Order kept"),
    ]);
    let total = answered.iter().map(Vec::len).sum::<usize>();
    let (mut lost, mut doubled, mut ordered) = (0, 0, true);
    for (who, messages) in found {
        let mut counts: BTreeMap<OpId, usize> = BTreeMap::new();
        for message in messages {
            *counts.entry(message.id).or_default() += 1;
        }
        let missing = answered.iter().flatten().filter(|id| !counts.contains_key(id)).count();
        let texts = messages.iter().map(|message| message.text.as_str());
        let twice = messages.len() - texts.collect::<std::collections::BTreeSet<_>>().len();
        let kept = [Who::Taichi, Who::Baby].into_iter().all(|author| in_order(messages, author));
        let from = |author: Who| by(messages, author).count().to_string();
        table.row([
            who.name().into(),
            from(Who::Taichi).into(),
            from(Who::Baby).into(),
            missing.to_string().into(),
            twice.to_string().into(),
            if kept { "yes" } else { "no" }.into(),
        ]);
        lost += missing;
        doubled += twice;
        ordered &= kept;
    }
    let title = format!("Burst of {total} answered messages in which baby was killed");
    stage.show(&title, &table.render(stage.out.width(), stage.out.paint()))?;
    stage.summary.burst = Some(Burst { answered: total, lost, doubled });
    expect(lost == 0, || format!("{lost} messages that were answered are lost"))?;
    expect(doubled == 0, || format!("{doubled} messages are there twice"))?;
    expect(ordered, || "the messages of an author lost their order".to_owned())
}

/// Returns the messages of one author.
fn by(messages: &[Message], author: Who) -> impl Iterator<Item = &Message> {
    messages.iter().filter(move |message| message.from.node.as_str() == author.name())
}

/// Returns whether the messages of an author stand in the order in which they were sent.
fn in_order(messages: &[Message], author: Who) -> bool {
    by(messages, author).is_sorted_by(|a, b| a.text < b.text)
}

/// Waits until all nodes hold the same, proves it, and shows the digests.
pub(super) async fn agreement(stage: &mut Stage<'_>) -> Result<(), Error> {
    let mesh = &stage.mesh;
    let holdings = until_seldom("all nodes to hold the same", async || {
        let mut holdings = Vec::new();
        for who in Who::ALL {
            holdings.push(holding(mesh, who).await?);
        }
        let same = holdings
            .windows(2)
            .all(|pair| pair[0].ops_digest == pair[1].ops_digest && pair[0].picture_digest == pair[1].picture_digest);
        Ok(same.then_some(holdings))
    })
    .await?;
    let mut table = Table::new(&[
        Column::fixed("Node"),
        Column::number("Entries"),
        Column::fixed("Entries digest"),
        Column::fixed("Picture digest"),
        Column::number("Proven"),
    ]);
    let short = |digest: &str| digest.chars().take(16).collect::<String>();
    for (who, holding) in Who::ALL.into_iter().zip(&holdings) {
        let proven = stage.mesh.client(who).await?.call(log_verify::Request {}).await?;
        expect(proven.broken.is_none(), || format!("{who} holds an entry that is not as signed: {:?}", proven.broken))?;
        table.row([
            holding.node.into(),
            holding.ops.to_string().into(),
            short(&holding.ops_digest).into(),
            short(&holding.picture_digest).into(),
            proven.ops.to_string().into(),
        ]);
    }
    stage.summary.nodes = holdings;
    stage.show("What each node holds", &table.render(stage.out.width(), stage.out.paint()))
}

async fn holding(mesh: &Mesh, who: Who) -> Result<Holding, Error> {
    let status = mesh.client(who).await?.call(status::Request {}).await?;
    let all = |digest: fn(&status::Conversation) -> &str| {
        status.conversations.iter().map(digest).collect::<Vec<_>>().join(" ")
    };
    Ok(Holding {
        node: who.name(),
        ops: status.conversations.iter().map(|conversation| conversation.ops).sum(),
        ops_digest: all(|conversation| &conversation.ops_digest),
        picture_digest: all(|conversation| &conversation.picture_digest),
    })
}
