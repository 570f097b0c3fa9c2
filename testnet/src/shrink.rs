//! Cutting a plan that fails down to what it takes to fail: delta debugging over its steps.

use std::time::Duration;

use crate::plan::{Act, Plan, Step};
use crate::{Failure, play};

/// A plan that was cut down, and how it fails.
#[derive(Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// How it fails: in the same way as before.
    pub failure: Failure,
    /// How many plans were played on the way.
    pub played: u32,
}

/// Takes steps out of a plan as long as it goes on failing in the same way, and plays `most` plans at most for it.
pub fn shrink(plan: &Plan, failure: &Failure, most: u32) -> Shrunk {
    let mut best = Shrunk { plan: plan.clone(), failure: failure.clone(), played: 0 };
    cut_the_end(&mut best, most);
    drop_nodes(&mut best, most);
    let mut size = best.plan.steps.len().div_ceil(2);
    while size > 0 && best.played < most {
        let cut = drop_parts(&mut best, size, most);
        size = match (size, cut) {
            (1, true) => 1,
            (1, false) => 0,
            _ => size.div_ceil(2),
        };
    }
    best
}

/// Plays a smaller plan; keeps it if it fails in the same way.
fn attempt(best: &mut Shrunk, steps: Vec<Step>, end_us: u64) -> bool {
    let plan = Plan { steps, end_us, ..best.plan.clone() };
    best.played += 1;
    match play(&plan) {
        Err(failure) if failure.invariant() == best.failure.invariant() => {
            (best.plan, best.failure) = (plan, failure);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

/// What would have come after the failure has nothing to do with it.
fn cut_the_end(best: &mut Shrunk, most: u32) {
    let Some(at) = best.failure.faults.first().map(|fault| fault.at) else { return };
    let until = (at + Duration::from_micros(1)).as_micros() as u64;
    let steps: Vec<Step> = best.plan.steps.iter().filter(|step| step.at_us <= until).cloned().collect();
    if best.played < most && steps.len() < best.plan.steps.len() {
        let end_us = best.plan.end_us;
        attempt(best, steps, end_us);
    }
}

/// Leaves out one node after the other, with everything that is about it.
fn drop_nodes(best: &mut Shrunk, most: u32) {
    for node in (1..best.plan.scenario.nodes).rev() {
        let without = |step: &&Step| step.act.node() != Some(node);
        let steps: Vec<Step> = best.plan.steps.iter().filter(without).cloned().collect();
        if best.played < most && steps.len() < best.plan.steps.len() {
            let end_us = best.plan.end_us;
            attempt(best, steps, end_us);
        }
    }
}

/// Leaves out one stretch of `size` steps after the other. Returns whether any was of no use.
fn drop_parts(best: &mut Shrunk, size: usize, most: u32) -> bool {
    let mut cut = false;
    let mut from = 0;
    while from < best.plan.steps.len() && best.played < most {
        let to = (from + size).min(best.plan.steps.len());
        let starts = |step: &Step| matches!(step.act, Act::Start { .. } | Act::Join { .. });
        let kept = |(index, step): (usize, &Step)| (!(from..to).contains(&index) || starts(step)).then(|| step.clone());
        let steps: Vec<Step> = best.plan.steps.iter().enumerate().filter_map(kept).collect();
        let end_us = best.plan.end_us;
        if steps.len() < best.plan.steps.len() && attempt(best, steps, end_us) {
            cut = true;
        } else {
            from = to;
        }
    }
    cut
}
