//! What goes to the terminal. Data goes to stdout, everything else to stderr, and nothing else in the program prints.
//!
//! | module | holds |
//! |---|---|
//! | [`table`], [`colour`], [`time`] | the parts |
//! | [`escape`] | makes peers' text harmless |
//! | [`show`] | messages, pulses, nodes as people read them |
//! | [`ballot`] | questions and answers as people read them |
//! | [`secret`] | asks for what nobody should read over the shoulder |
//! | [`lease`] | claims as people read them |
//! | [`task`] | tasks as people read them |
//! | [`live`] | what happens, a line each |

use std::io::{self, IsTerminal, Write};

use fedp2p_protocols::api;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::error::Report;

pub(crate) mod ballot;
pub(crate) mod colour;
pub(crate) mod escape;
pub(crate) mod lease;
pub(crate) mod live;
pub(crate) mod secret;
pub(crate) mod show;
pub(crate) mod table;
pub(crate) mod task;
pub(crate) mod time;

use colour::{Paint, Style, When};

/// Where and how a command prints.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    paint: Paint,
    paint_errors: Paint,
    width: Option<usize>,
}

impl Output {
    /// Looks at the terminal and the environment.
    pub(crate) fn new(json: bool, colour: When) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        Self {
            json,
            terminal,
            paint: Paint::new(!json && colour.decide(terminal, no_color)),
            paint_errors: Paint::new(colour.decide(io::stderr().is_terminal(), no_color)),
            width: width.filter(|_| terminal),
        }
    }

    /// Whether programs read the output.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at stdout.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Colour for stdout.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// How wide the terminal is, if stdout is one.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Writes data to stdout and makes sure that it has left this process.
    ///
    /// # Errors
    /// If stdout is closed or cannot be written.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Writes one envelope as one line to stdout.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub(crate) fn envelope<T: Serialize>(&self, name: &str, value: &T, error: Option<&Report>) -> io::Result<()> {
        let envelope = Envelope { value: Some((name, value)), error };
        self.print(&envelope.line()?)
    }

    /// Says something that is not data: progress, what comes next. A program that reads JSON is not told.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            self.complain(text);
        }
    }

    /// Prints a failure: as the envelope, or as words with a hint.
    pub(crate) fn failure(&self, report: &Report) {
        if self.json {
            let envelope = Envelope::<()> { value: None, error: Some(report) };
            // There is nobody left to tell if stdout is gone as well.
            drop(envelope.line().and_then(|line| self.print(&line)));
        } else {
            self.failure_in_words(report);
        }
    }

    /// Prints a failure as words with a hint, to stderr.
    pub(crate) fn failure_in_words(&self, report: &Report) {
        let paint = self.paint_errors;
        let mut text = format!("{} {}", paint.paint(Style::Bad, "error:"), escape::line(&report.message));
        if let [first, rest @ ..] = report.suggestions.as_slice() {
            let others: String = rest.iter().map(|other| format!(", {}", escape::line(other))).collect();
            text.push_str(&format!("\n  did you mean {}{others}?", escape::line(first)));
        }
        if !report.hint.is_empty() {
            text.push_str(&format!("\n{} {}", paint.paint(Style::Doubtful, "hint:"), escape::line(&report.hint)));
        }
        self.complain(&text);
    }

    #[expect(clippy::unused_self, reason = "all output goes through the one object")]
    fn complain(&self, text: &str) {
        // Without a stderr there is nobody to tell.
        drop(writeln!(io::stderr().lock(), "{text}"));
    }
}

/// What `--json` prints: the version, then the reply under the name of its operation, then what went wrong.
struct Envelope<'a, T> {
    value: Option<(&'a str, &'a T)>,
    error: Option<&'a Report>,
}

impl<T: Serialize> Envelope<'_, T> {
    fn line(&self) -> io::Result<String> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        Ok(line)
    }
}

impl<T: Serialize> Serialize for Envelope<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("fedp2p", &api::VERSION)?;
        if let Some((name, value)) = self.value {
            map.serialize_entry(name, value)?;
        }
        if let Some(error) = self.error {
            map.serialize_entry("error", error)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_names_version_and_operation() {
        let envelope = Envelope { value: Some(("down", &api::down::Reply { pid: 7 })), error: None };
        assert_eq!(envelope.line().unwrap(), "{\"fedp2p\":1,\"down\":{\"pid\":7}}\n");
    }

    #[test]
    fn failure_has_every_field_in_the_envelope() {
        let report = Report {
            code: "not_found".to_owned(),
            message: "nobody".to_owned(),
            hint: "look".to_owned(),
            suggestions: vec!["baby@baby".to_owned()],
        };
        let envelope = Envelope::<()> { value: None, error: Some(&report) };
        assert_eq!(
            envelope.line().unwrap(),
            "{\"fedp2p\":1,\"error\":{\"code\":\"not_found\",\"message\":\"nobody\",\"hint\":\"look\",\
             \"suggestions\":[\"baby@baby\"]}}\n"
        );
    }
}
