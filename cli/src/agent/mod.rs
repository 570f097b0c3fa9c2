//! `fedp2p agent run`: an agent that is any program, or a model behind a local endpoint.
//!
//! The runner takes tasks and reads messages as its agent, lets a worker do them, and tells the mesh what came of it. It
//! holds no state of its own: what it has in hand stands in the mesh, so that a runner that is killed loses nothing. A
//! task that it held is taken up again by its next run, or by others once the lease has run out; a message counts as
//! handed over only once it was handled. So each is worked on at least once, and mostly once.
//!
//! | module | holds |
//! |---|---|
//! | [`document`] | what a program gets on stdin |
//! | [`outcome`] | what its end means, and how that is told within the limits |
//! | [`command`] | runs a program, its time and its output limited |
//! | [`watchdog`] | ends the programs of a runner that was killed |
//! | [`model`], [`http`] | asks a model, and nobody else |
//! | [`prompt`], [`tokens`] | what a model is asked, within a number of tokens |
//! | [`retry`], [`inbox`] | when something is tried again, and in which order |
//! | [`mesh`] | calls that outlast the daemon |
//! | [`job`] | one piece of work from its beginning to its end |
//! | [`work`] | the loop |
//! | [`report`] | what those see who look on |

pub(crate) mod command;
pub(crate) mod document;
pub(crate) mod http;
pub(crate) mod inbox;
pub(crate) mod job;
pub(crate) mod mesh;
pub(crate) mod model;
pub(crate) mod outcome;
pub(crate) mod prompt;
pub(crate) mod report;
pub(crate) mod retry;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod tokens;
pub(crate) mod watchdog;
pub(crate) mod work;

use tokio::sync::watch;

use command::Program;
use document::Document;
use model::Model;
use outcome::Outcome;

/// Why work is ended before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// The runner ends.
    Stopping,
    /// The task is not the agent's any more.
    Lost(String),
}

/// Tells the one who works whether to end it.
pub(crate) type Cancel = watch::Receiver<Option<Why>>;

/// Waits until the work is to be ended.
pub(crate) async fn cancelled(cancel: &mut Cancel) {
    // Without anybody who could say it, the runner has ended.
    drop(cancel.wait_for(Option::is_some).await);
}

/// Who does the work.
#[derive(Debug)]
pub(crate) enum Worker {
    /// A program.
    Program(Program),
    /// A model.
    Model(Model),
}

impl Worker {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Program(program) => program.name(),
            Self::Model(model) => format!("model {}", model.name()),
        }
    }

    /// Does some work once.
    pub(crate) async fn work(&self, document: &Document, cancel: &mut Cancel) -> Outcome {
        match self {
            Self::Program(program) => program.work(document, cancel).await,
            Self::Model(model) => model.work(document, cancel).await,
        }
    }
}
