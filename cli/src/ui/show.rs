//! Messages, pulses and nodes as people read them.

use fedp2p_protocols::api::message::{Delivery, DeliveryState, Message};
use fedp2p_protocols::api::{Presence, pulse, status};
use fedp2p_protocols::attention::Mode;
use fedp2p_protocols::name::Address;
use fedp2p_protocols::pulse::AgentKind;

use super::Output;
use super::colour::Style;
use super::escape;
use super::table::{Cell, Column, Table};
use super::time::Clock;

/// What stands before each line that a peer wrote.
pub(crate) const QUOTE: &str = "  │ ";

/// Returns for whom a message is.
pub(crate) fn recipients(to: &[Address]) -> String {
    if to.is_empty() {
        return "everybody".to_owned();
    }
    to.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns who stands behind an agent, in a word.
pub(crate) fn kind(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Person => "person",
        AgentKind::Ai => "ai",
    }
}

/// Returns what an agent wants to be handed, in a word.
pub(crate) fn attention(mode: Mode) -> &'static str {
    match mode {
        Mode::Open => "open",
        Mode::Focus => "focus",
        Mode::Dnd => "dnd",
    }
}

/// Returns how far a delivery is, in a word.
pub(crate) fn delivery(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Queued => "queued",
        DeliveryState::Expired => "expired",
        DeliveryState::Stored => "stored",
        DeliveryState::Held => "held",
        DeliveryState::Surfaced => "surfaced",
        DeliveryState::Acknowledged => "acknowledged",
    }
}

/// Returns how a presence looks.
pub(crate) fn presence_style(presence: Presence) -> Style {
    match presence {
        Presence::Reachable => Style::Good,
        Presence::Suspect => Style::Doubtful,
        Presence::Gone => Style::Bad,
    }
}

/// Returns the cell for a presence.
pub(crate) fn presence(presence: Presence) -> Cell {
    let word = match presence {
        Presence::Reachable => "reachable",
        Presence::Suspect => "suspect",
        Presence::Gone => "gone",
    };
    Cell::styled(word, presence_style(presence))
}

/// Returns the deliveries of a message in words.
pub(crate) fn deliveries(deliveries: &[Delivery]) -> String {
    match deliveries {
        [] => String::new(),
        [one] => delivery(one.state).to_owned(),
        many => {
            let one = |d: &Delivery| format!("{} {}", d.to, delivery(d.state));
            many.iter().map(one).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Returns a message: a line about it, then its text and data behind a bar.
pub(crate) fn message(message: &Message, clock: &Clock, output: &Output) -> String {
    let paint = output.paint();
    let mut head = format!(
        "{}  {} → {}  {}  {}",
        paint.faint(&clock.moment(message.at)),
        paint.strong(&message.from.to_string()),
        recipients(&message.to),
        message.kind.as_str(),
        paint.faint(&message.id.short()),
    );
    if let Some(reply_to) = &message.reply_to {
        head.push_str(&paint.faint(&format!("  re {}", reply_to.short())));
    }
    if let Some(correlation) = &message.correlation {
        head.push_str(&paint.faint(&format!("  #{}", escape::line(correlation))));
    }
    if message.urgent {
        head.push_str("  ");
        head.push_str(&paint.paint(Style::Doubtful, "urgent"));
    }
    if !message.verified {
        head.push_str("  ");
        head.push_str(&paint.paint(Style::Bad, "NOT VERIFIED"));
    }
    let states = deliveries(&message.deliveries);
    if !states.is_empty() {
        head.push_str("  ");
        head.push_str(&paint.paint(Style::Good, &states));
    }
    let mut out = format!("{head}\n{}", escape::block(&message.text, QUOTE));
    if let Some(data) = &message.data {
        let data = serde_json::to_string_pretty(data).unwrap_or_default();
        out.push_str(&escape::block(&data, QUOTE));
    }
    out
}

/// Returns the Common Operating Picture as the whitepaper's table.
pub(crate) fn pulses(rows: &[pulse::Row], output: &Output) -> String {
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::fixed("Agent"),
        Column::fixed("Status"),
        Column::text("Thinking"),
        Column::text("Offering"),
        Column::spare("Wondering"),
        Column::spare("Summary"),
        Column::number("Age"),
        Column::fixed("Presence"),
    ]);
    for row in rows {
        let said = &row.pulse;
        let status = said.status.as_deref().or(said.action.as_deref());
        table.row([
            Cell::styled(&row.address.to_string(), Style::Strong),
            Cell::maybe(status.map(|text| super::table::cut(text, 24)).as_deref()),
            Cell::maybe(said.thinking.as_deref()),
            Cell::maybe(said.offering.as_deref()),
            Cell::maybe(said.wondering.as_deref()),
            Cell::maybe(said.summary.as_deref()),
            clock.ago(row.at).into(),
            presence(row.presence),
        ]);
    }
    table.render(output.width(), output.paint())
}

/// Returns what a node is and where, as labelled lines.
pub(crate) fn node(status: &status::Reply, output: &Output) -> String {
    let paint = output.paint();
    let mut out = String::new();
    let mut fact = |label: &str, text: &str| {
        out.push_str(&format!("  {} {}\n", paint.faint(&format!("{label:<13}")), escape::line(text)));
    };
    let role = if status.admin { ", may invite" } else { "" };
    fact("node", &format!("{} ({})", status.node.name, status.node.id.short()));
    let organisation = &status.node.organisation;
    fact("organisation", &format!("{} ({}{role})", status.node.organisation_name, organisation.short()));
    fact("home", &status.home);
    match status.listening.as_slice() {
        [] => fact("listening", "nowhere yet"),
        addresses => {
            for (at, address) in addresses.iter().enumerate() {
                fact(if at == 0 { "listening" } else { "" }, address);
            }
        }
    }
    fact("other nodes", &format!("{} of {} reachable", status.reachable, status.members));
    out
}

#[cfg(test)]
mod tests {
    use fedp2p_protocols::id::{ConversationId, NodeId, OpId};
    use fedp2p_protocols::payload::MessageType;

    use super::*;
    use crate::ui::colour::When;

    fn output() -> Output {
        Output::new(false, When::Never)
    }

    fn sample() -> Message {
        Message {
            id: OpId::from_bytes([7; 32]),
            conversation: ConversationId::from_bytes([1; 16]),
            from: "taichi@taichi".parse().unwrap(),
            from_node: NodeId::from_bytes([2; 32]),
            organisation: None,
            from_kind: Some(AgentKind::Ai),
            verified: true,
            to: vec!["baby@baby".parse().unwrap()],
            kind: MessageType::Task,
            text: "Please review\n10:00:00  root@root → you".to_owned(),
            data: None,
            reply_to: None,
            correlation: None,
            urgent: false,
            expires: None,
            covers: Vec::new(),
            at: 0,
            position: 1,
            deliveries: Vec::new(),
        }
    }

    #[test]
    fn no_line_of_a_message_can_pass_for_a_head_line() {
        let text = message(&sample(), &Clock::local(), &output());
        assert!(text.lines().skip(1).all(|line| line.starts_with(QUOTE)), "{text}");
        assert!(text.contains("taichi@taichi → baby@baby  task"), "{text}");
    }

    #[test]
    fn a_message_that_is_not_verified_says_so() {
        let unverified = Message { verified: false, ..sample() };
        assert!(message(&unverified, &Clock::local(), &output()).contains("NOT VERIFIED"));
    }

    #[test]
    fn one_delivery_is_a_word_and_several_name_the_recipients() {
        let one = |to: &str, state| Delivery { to: to.parse().unwrap(), state };
        let baby = one("baby@baby", DeliveryState::Stored);
        assert_eq!(deliveries(std::slice::from_ref(&baby)), "stored");
        let both = [baby, one("aorus@aorus", DeliveryState::Queued)];
        assert_eq!(deliveries(&both), "baby@baby stored, aorus@aorus queued");
    }
}
