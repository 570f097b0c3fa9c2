//! Three real daemons that play section 4 of the whitepaper on this machine.
//!
//! Everything goes through the same client and operations as any other door. Whatever is claimed is checked: an
//! expectation that fails ends the demo with what failed. However it ends, the daemons and their folders are gone
//! afterwards, unless they are to be kept.
//!
//! | module | holds |
//! |---|---|
//! | [`mesh`] | the three processes and their folders |
//! | [`check`] | expectations, and waiting for them |
//! | [`figures`] | measured times |
//! | [`talk`], [`picture`], [`trouble`] | the acts |

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::ui::Output;
use crate::ui::time::measured;

mod check;
mod figures;
mod mesh;
mod picture;
mod talk;
mod trouble;

use figures::{Figure, Figures};
use mesh::Mesh;

/// What every act needs.
struct Stage<'a> {
    mesh: Mesh,
    out: &'a Output,
    summary: Summary,
    figures: Figures,
}

/// What the demo tells programs.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// How far the task to baby had come, and when.
    deliveries: Vec<talk::Step>,
    /// How the vote ended, in the whitepaper's form.
    decision: Option<picture::Decision>,
    /// What became of the burst in which a node was killed.
    burst: Option<trouble::Burst>,
    /// What each node holds at the end.
    nodes: Vec<trouble::Holding>,
    /// Measured times.
    figures: Vec<Figure>,
    /// How long all of it took.
    took_ms: u64,
    /// The folder of the homes (`taichi`, `aorus`, `baby`) and of the runtime directory (`run`), if the nodes stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
}

impl Stage<'_> {
    /// Says what comes now.
    fn act(&self, title: &str) {
        self.out.note(&format!("· {title}"));
    }

    /// Prints a table with a title, for people.
    fn show(&self, title: &str, table: &str) -> Result<(), Error> {
        if !self.out.json() {
            self.out.print(&format!("\n{}\n\n{table}\n", self.out.paint().strong(title)))?;
        }
        Ok(())
    }
}

/// Plays all acts. With `keep` the mesh stays, whether they went well or not.
///
/// # Errors
/// With the first expectation that failed.
pub(crate) async fn run(keep: bool, out: &Output) -> Result<(), Error> {
    let started = Instant::now();
    let mut stage = Stage { mesh: Mesh::new()?, out, summary: Summary::default(), figures: Figures::default() };
    stage.summary.kept = keep.then(|| stage.mesh.root().to_owned());
    let result = unless_interrupted(play(&mut stage, started)).await;
    if keep {
        let farewell = stage.mesh.keep();
        out.note(&farewell);
    } else {
        stage.mesh.strike();
    }
    result
}

async fn play(stage: &mut Stage<'_>, started: Instant) -> Result<(), Error> {
    stage.act("three nodes start, two of them with a ticket");
    mesh::assemble(stage).await?;
    stage.act("taichi gives baby a task");
    talk::task(stage).await?;
    stage.act("200 messages from taichi to baby, one after the other");
    talk::latency(stage).await?;
    stage.act("everybody says what they are about");
    picture::pulses(stage).await?;
    stage.act("everybody votes");
    picture::vote(stage).await?;
    stage.act("baby writes to aorus while aorus is down");
    trouble::absence(stage).await?;
    stage.act("baby is killed in the middle of a burst of messages");
    trouble::crash(stage).await?;
    stage.act("all three compare what they hold");
    trouble::agreement(stage).await?;
    finish(stage, started)
}

fn finish(stage: &mut Stage<'_>, started: Instant) -> Result<(), Error> {
    let took = started.elapsed();
    let table = stage.figures.table(stage.out);
    stage.show("Measured", &table)?;
    stage.summary.figures = stage.figures.rows();
    stage.summary.took_ms = millis(took);
    if stage.out.json() {
        stage.out.envelope("demo", &stage.summary, None)?;
    } else {
        stage.out.print(&format!("All went as it should, in {}.\n", measured(took)))?;
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Runs `acts` until they end or somebody wants to stop.
async fn unless_interrupted(acts: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let listen = |kind| signal(kind).map_err(Error::system("listen for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        result = acts => return result,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Err(check::failed("the demo was interrupted"))
}
