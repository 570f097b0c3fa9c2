//! Section 4.1 of the whitepaper: a task, how far it has come, and how fast messages are.

use std::time::Instant;

use fedp2p_node::client::{Client, Watch};
use fedp2p_protocols::api::message::{DeliveryState, Message};
use fedp2p_protocols::api::watch::{self, Event, Topic};
use fedp2p_protocols::api::{ack, history, inbox, send, surfaced};
use fedp2p_protocols::id::OpId;
use fedp2p_protocols::payload::MessageType;
use serde::Serialize;

use super::Stage;
use super::check::{expect, failed, until};
use super::mesh::{Mesh, Who};
use crate::error::Error;
use crate::ui::show;
use crate::ui::table::{Column, Table};
use crate::ui::time::measured;

const TASK: &str = "Please review auth-module.py for security issues";
/// How many messages to measure.
const MESSAGES: usize = 200;
/// How long each of them is.
const MESSAGE_BYTES: usize = 300;

/// One state that a message reached, as its sender saw it.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    state: DeliveryState,
    after_us: u64,
}

/// Sends the whitepaper's task to baby and follows it until it is acknowledged and answered.
pub(super) async fn task(stage: &mut Stage<'_>) -> Result<(), Error> {
    let mut taichi = stage.mesh.client(Who::Taichi).await?;
    let mut baby = stage.mesh.client(Who::Baby).await?;
    let started = Instant::now();
    let request = send::Request {
        to: vec!["baby".to_owned()],
        kind: MessageType::Task,
        text: TASK.to_owned(),
        correlation: Some("auth-review".to_owned()),
        ..send::Request::default()
    };
    let sent = taichi.call(request).await?;
    let mut steps = vec![step(DeliveryState::Queued, started)];
    reached(&mut taichi, sent.id, DeliveryState::Stored).await?;
    steps.push(step(DeliveryState::Stored, started));

    let message = take(&mut baby, sent.id).await?;
    let as_sent = message.text == TASK && message.kind == MessageType::Task && message.verified;
    expect(as_sent, || "baby did not get the task as it was sent".to_owned())?;
    reached(&mut taichi, sent.id, DeliveryState::Surfaced).await?;
    steps.push(step(DeliveryState::Surfaced, started));

    baby.call(ack::Request { ids: vec![sent.id.to_string()] }).await?;
    reached(&mut taichi, sent.id, DeliveryState::Acknowledged).await?;
    steps.push(step(DeliveryState::Acknowledged, started));

    answer(&mut taichi, &mut baby, sent.id).await?;
    let table = table(&steps, stage);
    stage.summary.deliveries = steps;
    stage.show("Task from taichi to baby, as taichi sees it", &table)
}

fn step(state: DeliveryState, started: Instant) -> Step {
    Step { state, after_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX) }
}

fn table(steps: &[Step], stage: &Stage<'_>) -> String {
    let mut table = Table::new(&[Column::fixed("State"), Column::number("After"), Column::text("Meaning")]);
    for step in steps {
        let meaning = match step.state {
            DeliveryState::Queued => "durable at taichi",
            DeliveryState::Stored => "durable at baby",
            DeliveryState::Surfaced => "handed out by baby's inbox",
            DeliveryState::Acknowledged => "baby has taken it on",
            DeliveryState::Held | DeliveryState::Expired => "baby was busy",
        };
        let after = measured(std::time::Duration::from_micros(step.after_us));
        table.row([show::delivery(step.state).into(), after.into(), meaning.into()]);
    }
    table.render(stage.out.width(), stage.out.paint())
}

/// Baby answers, and taichi gets the answer with its thread.
async fn answer(taichi: &mut Client, baby: &mut Client, task: OpId) -> Result<(), Error> {
    let request = send::Request {
        to: vec![Who::Taichi.address()],
        kind: MessageType::Result,
        text: "Two findings: tokens never expire, and errors name the user".to_owned(),
        data: Some(serde_json::json!({ "findings": 2, "file": "auth-module.py" })),
        reply_to: Some(task.to_string()),
        correlation: Some("auth-review".to_owned()),
        ..send::Request::default()
    };
    let sent = baby.call(request).await?;
    let message = take(taichi, sent.id).await?;
    expect(message.reply_to == Some(task), || "the answer lost the task that it answers".to_owned())
}

/// Waits until a message lies in the inbox, and takes it and all before it.
pub(super) async fn take(client: &mut Client, id: OpId) -> Result<Message, Error> {
    until("a message in an inbox", async || {
        let reply = client.call(inbox::Request { limit: 1000, held: false }).await?;
        let found = reply.messages.into_iter().find(|message| message.id == id);
        if found.is_some() {
            client.call(surfaced::Request { cursor: reply.cursor, held: reply.with_held }).await?;
        }
        Ok(found)
    })
    .await
}

/// Returns how far a message has come at the recipient that is behind the others.
pub(super) async fn state(client: &mut Client, id: OpId) -> Result<DeliveryState, Error> {
    let request = history::Request { id: Some(id.to_string()), ..history::Request::default() };
    let message = client.call(request).await?.messages.pop();
    let least = message.and_then(|message| message.deliveries.iter().map(|delivery| delivery.state).min());
    least.ok_or_else(|| failed("the sender does not see how far its message has come"))
}

/// Waits until the sender sees that a message has come as far as `goal`.
pub(super) async fn reached(client: &mut Client, id: OpId, goal: DeliveryState) -> Result<(), Error> {
    until(&format!("a message to be {}", show::delivery(goal)), async || {
        Ok((state(client, id).await? >= goal).then_some(()))
    })
    .await
}

/// Measures how long messages take from `send` to where the recipient can read them.
pub(super) async fn latency(stage: &mut Stage<'_>) -> Result<(), Error> {
    let mut taichi = stage.mesh.client(Who::Taichi).await?;
    let mut watch = watch(&stage.mesh, Who::Baby, Topic::Inbox).await?;
    let (mut answered, mut visible) = (Vec::new(), Vec::new());
    let mut last = None;
    for number in 0..MESSAGES {
        let head = format!("message {number} ");
        let text = format!("{head:.<MESSAGE_BYTES$}");
        let request = send::Request { to: vec![Who::Baby.address()], text: text.clone(), ..send::Request::default() };
        let started = Instant::now();
        let send = async {
            let reply = taichi.call(request).await?;
            Ok::<_, Error>((reply.id, started.elapsed()))
        };
        let see = async {
            seen(&mut watch, |event| matches!(event, Event::Message(message) if message.text == text)).await?;
            Ok::<_, Error>(started.elapsed())
        };
        let ((id, answer), sight) = tokio::try_join!(send, see)?;
        answered.push(answer);
        visible.push(sight);
        last = Some(id);
    }
    stage.figures.many("send() until it is durable here", answered);
    stage.figures.many("send() until it is visible at the other node", visible);
    let mut baby = stage.mesh.client(Who::Baby).await?;
    if let Some(last) = last {
        take(&mut baby, last).await?;
    }
    Ok(())
}

/// Watches what happens at a node.
pub(super) async fn watch(mesh: &Mesh, who: Who, topic: Topic) -> Result<Watch, Error> {
    let request = watch::Request { topics: vec![topic], ..Default::default() };
    Ok(mesh.client(who).await?.watch(request).await?)
}

/// Waits for an event.
pub(super) async fn seen(watch: &mut Watch, mut is: impl FnMut(&Event) -> bool) -> Result<(), Error> {
    let wait = async {
        while let Some(event) = watch.next().await? {
            if is(&event) {
                return Ok(());
            }
        }
        Err(failed("a node stopped while it was watched"))
    };
    match tokio::time::timeout(super::check::LIMIT, wait).await {
        Ok(result) => result,
        Err(_) => Err(failed("an event was not seen where it should have been")),
    }
}
