//! Claims as people read them.

use fedp2p_protocols::api::claim::{Claim, State};
use fedp2p_protocols::claim::Mode;

use super::Output;
use super::colour::Style;
use super::escape;
use super::table::{Cell, Column, Table};
use super::time::Clock;

/// Returns how a claim stands, in a word, and how the word looks.
pub(crate) fn state(claim: &Claim) -> (&'static str, Style) {
    let style = match claim.state {
        State::Confirmed if claim.majority => Style::Good,
        State::Confirmed => return ("confirmed by a part", Style::Doubtful),
        State::Tentative | State::Overdue => Style::Doubtful,
        State::Lost => Style::Bad,
        State::Released | State::Expired | State::Renumbered => Style::Faint,
    };
    (claim.state.as_str(), style)
}

/// Returns claims as a table.
pub(crate) fn table(claims: &[Claim], output: &Output) -> String {
    if claims.is_empty() {
        return String::new();
    }
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::number("Id"),
        Column::fixed("State"),
        Column::text("What"),
        Column::fixed("By"),
        Column::number("Age"),
        Column::number("Left"),
        Column::text("Why"),
    ]);
    for claim in claims {
        let (word, style) = state(claim);
        let shared = if claim.mode == Mode::Shared { " (shared)" } else { "" };
        table.row([
            Cell::styled(&claim.id, Style::Strong),
            Cell::styled(word, style),
            format!("{}{shared}", claim.what).into(),
            claim.by.to_string().into(),
            clock.ago(claim.since).into(),
            if claim.state.is_live() { clock.until(claim.until).into() } else { "".into() },
            fate(claim).into(),
        ]);
    }
    table.render(output.width(), output.paint())
}

/// What a claim is for, or what became of it.
fn fate(claim: &Claim) -> String {
    match (&claim.lost_to, &claim.why) {
        (Some(winner), _) => match &winner.by {
            Some(by) => format!("lost to {by}, claim {}", winner.id),
            None => format!("lost to claim {}", winner.id),
        },
        (None, Some(why)) => why.clone(),
        (None, None) => String::new(),
    }
}

/// Returns one claim in a few lines.
pub(crate) fn claim(claim: &Claim, output: &Output) -> String {
    let (paint, clock) = (output.paint(), Clock::local());
    let (word, style) = state(claim);
    let mut out = format!(
        "{}  {}, by {}\n{}\n",
        paint.strong(&format!("claim {}", claim.id)),
        paint.paint(style, word),
        claim.by,
        escape::line(&claim.what)
    );
    let by = claim.acknowledged.join(", ");
    out.push_str(&paint.faint(&format!(
        "acknowledged by {} of {} nodes: {by}",
        claim.acknowledged.len(),
        claim.members
    )));
    out.push('\n');
    if claim.state.is_live() {
        let left = clock.until(claim.until);
        out.push_str(&format!("since {}, for another {left} unless it is renewed\n", clock.moment(claim.since)));
    }
    let fate = fate(claim);
    if !fate.is_empty() {
        out.push_str(&format!("{}\n", escape::line(&fate)));
    }
    out
}
