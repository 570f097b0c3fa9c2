//! Questions and the answers to them as people read them.

use fedp2p_protocols::api::proposal::{Asked, Counts, Phase, Proposal, Rules};
use fedp2p_protocols::name::Address;
use fedp2p_protocols::vote::{Base, Cause, Mechanism};

use super::Output;
use super::colour::Style;
use super::escape;
use super::show::QUOTE;
use super::table::{Cell, Column, Table};
use super::time::Clock;

/// Most names that one line lists.
const MOST_NAMES: usize = 8;

/// Returns the votes of a proposal in one line, most first.
pub(crate) fn tally(proposal: &Proposal) -> String {
    let mut votes: Vec<(&String, u32)> = proposal.votes.iter().map(|(option, &count)| (option, count)).collect();
    let place = |option: &String| proposal.options.iter().position(|o| o == option);
    votes.sort_by_key(|(option, count)| (std::cmp::Reverse(*count), place(option)));
    votes.iter().map(|(option, count)| format!("{option} {count}")).collect::<Vec<_>>().join(", ")
}

/// Returns how far a proposal is, in a word, and how the word looks.
pub(crate) fn phase(proposal: &Proposal) -> (&'static str, Style) {
    match proposal.phase {
        Phase::Acknowledging => ("not open yet", Style::Doubtful),
        Phase::Open => ("open", Style::Good),
        Phase::Overdue => ("overdue", Style::Doubtful),
        Phase::Closed if proposal.cause == Some(Cause::Withdrawn) => ("withdrawn", Style::Faint),
        Phase::Closed => ("closed", Style::Faint),
    }
}

/// Returns a proposal with its rules, its tally and its ballots.
pub(crate) fn proposal(proposal: &Proposal, output: &Output) -> String {
    let (paint, clock) = (output.paint(), Clock::local());
    let mut out = String::new();
    let (word, style) = phase(proposal);
    let state = match proposal.closed {
        Some(at) => format!("{word} {}{}", clock.moment(at), because(proposal.cause)),
        None => paint.paint(style, word),
    };
    let head = format!("{}  {state}, by {}", paint.strong(&escape::line(&proposal.id)), proposal.by);
    let revision = if proposal.revision > 1 { format!(", revision {}", proposal.revision) } else { String::new() };
    out.push_str(&format!("{head}{revision}\n{}\n", escape::block(&proposal.question, QUOTE)));
    out.push_str(&paint.faint(&rules(&proposal.rules, &clock)));
    out.push('\n');
    out.push_str(&votes(proposal, output));
    out.push_str(&format!("{}\n", escape::line(&proposal.why)));
    if proposal.open {
        out.push_str(&people("have not seen it yet", &proposal.waiting));
        out.push_str(&people("have not voted", &proposal.silent));
    }
    out.push_str(&people("are counted without a ballot of theirs that is still kept", &proposal.unfounded));
    if !proposal.ballots.is_empty() {
        out.push('\n');
        out.push_str(&ballots(proposal, &clock, output));
    }
    if proposal.more_ballots > 0 {
        out.push_str(&format!("and {} more that do not count\n", proposal.more_ballots));
    }
    out
}

fn because(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::Settled) => " as the result could not change any more",
        Some(Cause::Deadline) => " at its deadline",
        Some(Cause::Asker | Cause::Withdrawn) | None => "",
    }
}

/// How a proposal is decided, in one line.
fn rules(rules: &Rules, clock: &Clock) -> String {
    let mut words = vec![match rules.mechanism {
        Mechanism::Poll => "poll".to_owned(),
        Mechanism::Vote => "vote".to_owned(),
        Mechanism::Approval => "approval: as many choices as one likes".to_owned(),
        Mechanism::Ranked => "ranked: the best choice first".to_owned(),
        Mechanism::Signoff => "approval by people".to_owned(),
    }];
    if let Some(threshold) = rules.threshold {
        let of = match rules.of {
            Base::Voting => "those who vote",
            Base::Electorate => "all who may vote",
        };
        words.push(format!("{threshold} of {of}"));
    }
    words.extend(rules.quorum.map(|quorum| format!("quorum {quorum}")));
    let may = match (rules.electorate, &rules.role) {
        (Asked::Role, Some(role)) => format!("every {role}"),
        (Asked::All, _) => "everybody".to_owned(),
        (Asked::People, _) => "people only".to_owned(),
        (Asked::Agents | Asked::Role, _) => "those named".to_owned(),
    };
    words.push(format!("{may} ({})", rules.eligible));
    words.extend(rules.acknowledge_until.map(|at| format!("opens {} at the latest", clock.moment(at))));
    words.extend(rules.deadline.map(|at| format!("closes {}", clock.moment(at))));
    words.join("; ")
}

fn votes(proposal: &Proposal, output: &Output) -> String {
    let rounds = proposal.rounds.len().max(1);
    let mut columns = vec![Column::text("Option")];
    if rounds > 1 {
        columns.extend(ROUNDS.iter().take(rounds).map(|name| Column::number(name)));
    } else {
        columns.push(Column::number("Votes"));
    }
    columns.extend(proposal.winner.is_some().then(|| Column::fixed("")));
    let mut table = Table::new(&columns);
    for option in &proposal.options {
        let mut row: Vec<Cell> = vec![option.into()];
        if rounds > 1 {
            let count = |round: &std::collections::BTreeMap<String, u32>| match round.get(option) {
                Some(count) => Cell::from(count.to_string()),
                None => Cell::styled("out", Style::Faint),
            };
            row.extend(proposal.rounds.iter().take(ROUNDS.len()).map(count));
        } else {
            row.push(proposal.votes.get(option).copied().unwrap_or(0).to_string().into());
        }
        if let Some(winner) = &proposal.winner {
            row.push(match (winner == option, proposal.open) {
                (true, true) => Cell::styled("leads", Style::Good),
                (true, false) => Cell::styled("winner", Style::Good),
                (false, _) => "".into(),
            });
        }
        table.row(row);
    }
    table.render(output.width(), output.paint())
}

/// The heads of the columns of a ranked vote; further rounds are in `--json`.
const ROUNDS: [&str; 6] = ["Round 1", "Round 2", "Round 3", "Round 4", "Round 5", "Round 6"];

/// A line that names agents, or nothing.
fn people(what: &str, agents: &[Address]) -> String {
    if agents.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = agents.iter().take(MOST_NAMES).map(ToString::to_string).collect();
    if agents.len() > MOST_NAMES {
        names.push(format!("and {} more", agents.len() - MOST_NAMES));
    }
    format!("{what}: {}\n", names.join(", "))
}

fn ballots(proposal: &Proposal, clock: &Clock, output: &Output) -> String {
    let mut table = Table::new(&[
        Column::fixed("Voter"),
        Column::text("Choice"),
        Column::fixed("Counts"),
        Column::fixed("Proof"),
        Column::text("Reason"),
        Column::fixed("At"),
    ]);
    for ballot in &proposal.ballots {
        let counts = match ballot.counts {
            Counts::Yes => Cell::styled("yes", Style::Good),
            Counts::Outdated => Cell::styled("no: older revision", Style::Doubtful),
            Counts::Unknown => Cell::styled("no: not an option", Style::Bad),
            Counts::Withdrawn => Cell::styled("no: taken back", Style::Faint),
            Counts::NotAsked => Cell::styled("no: not asked", Style::Bad),
            Counts::Late => Cell::styled("no: too late", Style::Doubtful),
            Counts::Disputed => Cell::styled("otherwise", Style::Bad),
        };
        table.row([
            ballot.voter.to_string().into(),
            ballot.choices.join(", ").into(),
            counts,
            Cell::maybe(ballot.proven.then_some("PIN")),
            Cell::maybe(ballot.reason.as_deref()),
            clock.moment(ballot.at).into(),
        ]);
    }
    table.render(output.width(), output.paint())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fedp2p_protocols::vote::Outcome;

    use super::*;
    use crate::ui::colour::When;

    fn output() -> Output {
        Output::new(false, When::Never)
    }

    fn votes(counts: [u32; 3]) -> BTreeMap<String, u32> {
        ["OAuth2", "JWT", "Custom"].map(str::to_owned).into_iter().zip(counts).collect()
    }

    fn sample() -> Proposal {
        Proposal {
            id: "auth-decision".to_owned(),
            by: "taichi@taichi".parse().unwrap(),
            origin: fedp2p_protocols::api::origin::Origin::default(),
            question: "Which auth approach?".to_owned(),
            options: ["OAuth2", "JWT", "Custom"].map(str::to_owned).to_vec(),
            revision: 1,
            asked: fedp2p_protocols::id::ProposalHash::of(b"auth"),
            rules: Rules {
                mechanism: Mechanism::Poll,
                threshold: None,
                of: Base::Voting,
                quorum: None,
                electorate: Asked::All,
                role: None,
                eligible: 4,
                acknowledge_until: None,
                deadline: None,
                early: false,
            },
            open: true,
            phase: Phase::Open,
            opened: 0,
            closed: None,
            cause: None,
            winner: Some("OAuth2".to_owned()),
            votes: votes([2, 1, 0]).into_iter().filter(|(_, count)| *count > 0).collect(),
            rounds: Vec::new(),
            outcome: Outcome::Decided,
            why: "OAuth2 leads".to_owned(),
            settled: false,
            ballots: Vec::new(),
            more_ballots: 0,
            silent: vec!["baby@baby".parse().unwrap()],
            waiting: Vec::new(),
            unfounded: Vec::new(),
        }
    }

    #[test]
    fn the_winner_of_a_closed_proposal_is_named() {
        let open = sample();
        assert_eq!(tally(&open), "OAuth2 2, JWT 1");
        assert!(proposal(&open, &output()).lines().any(|line| line.starts_with("Custom") && line.contains('0')));
        let shown = proposal(&open, &output());
        assert!(shown.contains("leads") && shown.contains("have not voted: baby@baby"), "{shown}");
        let closed =
            Proposal { open: false, phase: Phase::Closed, closed: Some(1), cause: Some(Cause::Settled), ..sample() };
        let shown = proposal(&closed, &output());
        assert!(shown.contains("winner") && shown.contains("could not change any more"), "{shown}");
        assert!(!shown.contains("have not voted"), "{shown}");
    }

    #[test]
    fn the_rounds_of_a_ranked_vote_stand_side_by_side() {
        let mut second = votes([3, 0, 2]);
        second.remove("JWT");
        let ranked = Proposal { rounds: vec![votes([2, 1, 2]), second], ..sample() };
        let shown = proposal(&ranked, &output());
        assert!(shown.contains("Round 2"), "{shown}");
        assert!(shown.lines().any(|line| line.starts_with("JWT") && line.ends_with("out")), "{shown}");
    }
}
