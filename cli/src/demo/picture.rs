//! Sections 4.2 and 4.3 of the whitepaper: what everybody is about, and a decision.

use std::collections::BTreeMap;
use std::time::Instant;

use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::watch::{Event, Topic};
use fedp2p_protocols::api::{pulse, state, vote_cast, vote_close, vote_new, vote_show};
use fedp2p_protocols::pulse::Pulse;
use serde::Serialize;

use super::Stage;
use super::check::{expect, until};
use super::mesh::{Mesh, Who};
use super::talk::{seen, watch};
use crate::error::Error;
use crate::ui::show;
use crate::ui::table::{Cell, Column, Table};

/// How many changes of a pulse to measure.
const CHANGES: usize = 50;
const ID: &str = "auth-decision";
const OPTIONS: [&str; 3] = ["OAuth2", "JWT", "Custom"];

/// The end of a vote in the whitepaper's form.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    winner: Option<String>,
    votes: BTreeMap<String, u32>,
}

fn said(who: Who) -> Pulse {
    let text = |text: &str| Some(text.to_owned());
    match who {
        Who::Taichi => Pulse {
            summary: text("Refactoring auth module"),
            action: text("EXECUTING"),
            thinking: text("Considering OAuth2 vs JWT tradeoffs"),
            wondering: text("Should we support refresh tokens?"),
            offering: text("Can help with crypto review when done"),
            status: None,
        },
        Who::Aorus => Pulse { action: text("WAITING"), offering: text("Systems optimization"), ..Pulse::default() },
        Who::Baby => Pulse { action: text("IDLE"), offering: text("Data analysis"), ..Pulse::default() },
    }
}

/// Measures how fast a change of a pulse is seen, then everybody says what the whitepaper has them say.
pub(super) async fn pulses(stage: &mut Stage<'_>) -> Result<(), Error> {
    let mut taichi = stage.mesh.client(Who::Taichi).await?;
    let mut aorus = watch(&stage.mesh, Who::Aorus, Topic::Pulse).await?;
    let mut baby = watch(&stage.mesh, Who::Baby, Topic::Pulse).await?;
    let mut times = Vec::new();
    for number in 0..CHANGES {
        let action = format!("STEP {number}");
        let is = |event: &Event| matches!(event, Event::Pulse(row) if row.pulse.action.as_ref() == Some(&action));
        let pulse = Pulse { action: Some(action.clone()), ..Pulse::default() };
        let started = Instant::now();
        let change = async { Ok::<_, Error>(taichi.call(state_request(pulse)).await?) };
        tokio::try_join!(change, seen(&mut aorus, is), seen(&mut baby, is))?;
        times.push(started.elapsed());
    }
    stage.figures.many("change of a pulse until both others see it", times);
    for who in Who::ALL {
        stage.mesh.client(who).await?.call(state_request(said(who))).await?;
    }
    let mut pictures = Vec::new();
    for who in Who::ALL {
        pictures.push(picture(&stage.mesh, who).await?);
    }
    let rows = pictures.pop().unwrap_or_default();
    stage.show("Pulse, as baby sees it", &show::pulses(&rows, stage.out))
}

fn state_request(pulse: Pulse) -> state::Request {
    state::Request { pulse, clear: Vec::new() }
}

/// Waits until a node shows what all three say, and returns its picture.
async fn picture(mesh: &Mesh, who: Who) -> Result<Vec<pulse::Row>, Error> {
    let mut client = mesh.client(who).await?;
    until(&format!("{who} to see what everybody says"), async || {
        let rows = client.call(pulse::Request::default()).await?.agents;
        let shows = |other: Who| {
            let expected = said(other);
            rows.iter().any(|row| {
                row.address.to_string() == other.address()
                    && row.pulse.action == expected.action
                    && row.pulse.thinking == expected.thinking
                    && row.pulse.offering == expected.offering
            })
        };
        let complete = Who::ALL.into_iter().all(shows);
        Ok(complete.then_some(rows))
    })
    .await
}

/// Decides between OAuth2, JWT and Custom.
pub(super) async fn vote(stage: &mut Stage<'_>) -> Result<(), Error> {
    let request = vote_new::Request {
        question: "Which auth approach?".to_owned(),
        options: OPTIONS.map(str::to_owned).to_vec(),
        id: Some(ID.to_owned()),
        ..vote_new::Request::default()
    };
    let mut taichi = stage.mesh.client(Who::Taichi).await?;
    taichi.call(request).await?;
    for who in [Who::Aorus, Who::Baby] {
        standing(&stage.mesh, who, |_| true).await?;
    }
    let started = Instant::now();
    for (who, choice) in [(Who::Taichi, "OAuth2"), (Who::Aorus, "JWT"), (Who::Baby, "OAuth2")] {
        let request =
            vote_cast::Request { id: ID.to_owned(), choices: vec![choice.to_owned()], ..vote_cast::Request::default() };
        stage.mesh.client(who).await?.call(request).await?;
    }
    for who in Who::ALL {
        standing(&stage.mesh, who, |proposal| proposal.votes.values().sum::<u32>() == 3).await?;
    }
    stage.figures.once("three ballots cast until all nodes count them", started.elapsed());
    taichi.call(vote_close::Request { id: ID.to_owned(), ..vote_close::Request::default() }).await?;
    let mut table = Table::new(&[
        Column::fixed("Node"),
        Column::fixed("Winner"),
        Column::number(OPTIONS[0]),
        Column::number(OPTIONS[1]),
        Column::number(OPTIONS[2]),
    ]);
    for who in Who::ALL {
        let closed = standing(&stage.mesh, who, |proposal| !proposal.open).await?;
        let count = |option: &str| closed.votes.get(option).copied().unwrap_or(0);
        let counts = OPTIONS.map(count);
        let right = closed.winner.as_deref() == Some("OAuth2") && counts == [2, 1, 0];
        expect(right, || format!("{who} counts {counts:?} with winner {:?}", closed.winner))?;
        let [first, second, third] = counts.map(|count| Cell::from(count.to_string()));
        table.row([who.name().into(), Cell::maybe(closed.winner.as_deref()), first, second, third]);
        stage.summary.decision = Some(decision(&closed));
    }
    let json = serde_json::to_string(&stage.summary.decision).unwrap_or_default();
    let table = table.render(stage.out.width(), stage.out.paint());
    stage.show("Vote \"Which auth approach?\", as each node counts it", &format!("{table}\n{ID} → {json}\n"))
}

/// Returns the result with the options that got a vote.
fn decision(proposal: &Proposal) -> Decision {
    Decision { winner: proposal.winner.clone(), votes: proposal.votes.clone() }
}

/// Waits until a node shows the proposal as `is` wants it.
async fn standing(mesh: &Mesh, who: Who, is: impl Fn(&Proposal) -> bool) -> Result<Proposal, Error> {
    use fedp2p_node::client::CallError;
    use fedp2p_protocols::api::ErrorCode;
    let mut client = mesh.client(who).await?;
    until(&format!("{who} to see how the vote stands"), async || {
        match client.call(vote_show::Request { id: ID.to_owned() }).await {
            Ok(proposal) => Ok(is(&proposal).then_some(*proposal)),
            Err(CallError::Refused(error)) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}
