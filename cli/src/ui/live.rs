//! What happens, a line each: the log of a daemon in a terminal.

use fedp2p_protocols::api::Presence;
use fedp2p_protocols::api::watch::Event;

use super::colour::{Paint, Style};
use super::table::cut;
use super::time::Clock;
use super::{Output, ballot, escape, lease, show, task};

/// Writes lines with the local time in front.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    paint: Paint,
    width: Option<usize>,
    /// A file is read on another day, a terminal today.
    dates: bool,
}

impl Live {
    /// Lines for stdout as it is.
    pub(crate) fn new(output: &Output) -> Self {
        Self { paint: output.paint(), width: output.width(), dates: !output.is_terminal() }
    }

    /// Returns the line for an event.
    pub(crate) fn event(&self, event: &Event) -> String {
        let (kind, style, text) = describe(event);
        self.line(kind, style, &text)
    }

    /// Returns the line for a remark of the daemon.
    pub(crate) fn log(&self, text: &str) -> String {
        self.line("log", Style::Faint, text)
    }

    fn line(&self, kind: &str, style: Style, text: &str) -> String {
        let clock = Clock::local();
        let now = super::time::now();
        let time = if self.dates { clock.full(now) } else { clock.moment(now) };
        let text = escape::line(text);
        let text = match self.width {
            Some(width) => cut(&text, width.saturating_sub(time.len() + 2 + 8).max(20)),
            None => text,
        };
        let kind = self.paint.paint(style, &format!("{kind:<7}"));
        format!("{}  {kind} {text}\n", self.paint.faint(&time))
    }
}

/// Returns the kind of an event, how that looks, and the event in words.
fn describe(event: &Event) -> (&'static str, Style, String) {
    match event {
        Event::Message(message) => {
            let to = show::recipients(&message.to);
            let kind = message.kind.as_str();
            let text = format!("{} → {to}  [{kind} {}]  {}", message.from, message.id.short(), message.text);
            ("message", Style::Strong, text)
        }
        Event::Pulse(row) => {
            let said = row.pulse.fields().into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
            let said: Vec<String> = said.map(|(name, value)| format!("{name}: {value}")).collect();
            ("pulse", Style::Plain, format!("{}  {}", row.address, said.join("; ")))
        }
        Event::Attention { agent, mode } => {
            ("pulse", Style::Plain, format!("{agent}  attention: {}", show::attention(*mode)))
        }
        Event::Vote(proposal) => {
            let (state, _) = ballot::phase(proposal);
            let text = format!("{} ({state})  {}  {}", proposal.id, proposal.question, ballot::tally(proposal));
            ("vote", Style::Strong, text)
        }
        Event::Note { name, by, version } => {
            ("note", Style::Plain, format!("{by} edited {name} ({})", version.short()))
        }
        Event::Claim(claim) => {
            let (state, style) = lease::state(claim);
            ("claim", style, format!("{} {state}  {}  {}", claim.id, claim.by, claim.what))
        }
        Event::Task(task) => {
            let (state, style) = task::state(task);
            let holder = task.holder.as_ref().map(|holder| format!(", {}", holder.agent)).unwrap_or_default();
            let note = task.note.as_ref().map(|note| format!("  {note}")).unwrap_or_default();
            ("task", style, format!("{} ({state}{holder})  {}{note}", task.id, task.title))
        }
        Event::Peer { name, presence } => {
            let style = show::presence_style(*presence);
            let what = match presence {
                Presence::Reachable => "is reachable",
                Presence::Suspect => "is silent",
                Presence::Gone => "is gone",
            };
            ("peer", style, format!("{name} {what}"))
        }
        Event::Agent(address) => ("agent", Style::Plain, format!("{address} spoke for the first time")),
        Event::Notice { text } => ("notice", Style::Doubtful, text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let live = Live { paint: Paint::new(false), width: None, dates: true };
        let line = live.event(&Event::Notice { text: "disk full\n2026 forged \u{1b}[1m".to_owned() });
        assert_eq!(line.lines().count(), 1);
        assert!(line.ends_with("notice  disk full\\n2026 forged \\u{1b}[1m\n"), "{line}");
    }

    #[test]
    fn on_a_terminal_an_event_fits_its_width() {
        let live = Live { paint: Paint::new(false), width: Some(60), dates: false };
        let line = live.log(&"long ".repeat(40));
        assert!(line.trim_end().chars().count() <= 60, "{line}");
    }
}
