//! What came of some work, and how it is told within the limits of tasks and messages.
//!
//! | exit code of a program | means |
//! |---|---|
//! | 0 | done: stdout is the result, as data if it is a JSON object or array, else as text |
//! | 66 | it needs input: stdout is the question |
//! | 75 | not now: the task is handed back to others, and stdout says why |
//! | any other, or a signal | failed: the last lines of stderr say why |

use std::time::Duration;

use fedp2p_protocols::limits::{MAX_DATA_BYTES, MAX_TASK_NOTE_BYTES, MAX_TASK_RESULT_BYTES, MAX_TEXT_BYTES};
use serde_json::Value;

/// The exit code of a program that needs input (`EX_NOINPUT`).
pub(crate) const NEEDS_INPUT: i32 = 66;
/// The exit code of a program that hands its task back (`EX_TEMPFAIL`).
pub(crate) const HANDS_BACK: i32 = 75;

/// What came of one try at some work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It is done.
    Done(Answer),
    /// It was tried and failed, for this reason.
    Failed(String),
    /// Others should try it, for this reason.
    HandsBack(String),
    /// It goes on once this question is answered.
    Asks(String),
    /// It was not tried, as what is needed for it cannot be had now.
    Unavailable(String),
    /// It was ended before it came to anything.
    Stopped,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed, as it ran longer than this.
    TimedOut(Duration),
}

/// Text of which perhaps only a part was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// What was kept.
    pub(crate) kept: String,
    /// How many bytes there were.
    pub(crate) whole: u64,
}

impl Text {
    /// Text that was kept whole.
    pub(crate) fn whole(text: impl Into<String>) -> Self {
        let kept = text.into();
        Self { whole: kept.len() as u64, kept }
    }

    /// The text in at most `most` bytes, with a mark at the end if that is not all of it.
    pub(crate) fn within(&self, most: usize) -> String {
        if self.kept.len() as u64 >= self.whole && self.kept.len() <= most {
            return self.kept.clone();
        }
        let mark = |kept: usize| format!("\n[cut: {kept} of {} bytes]", self.whole);
        // The mark only gets shorter as less is kept.
        let room = most.saturating_sub(mark(self.kept.len()).len());
        let kept = self.kept.floor_char_boundary(room);
        format!("{}{}", &self.kept[..kept], mark(kept))
    }

    /// Whether all of it fits into so many bytes.
    pub(crate) fn fits(&self, most: usize) -> bool {
        self.whole <= most as u64
    }
}

/// What came of work that was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    /// As text.
    pub(crate) text: Text,
    /// As data, if it is an object or a list.
    pub(crate) data: Option<Value>,
}

impl Answer {
    /// Reads what a program wrote.
    pub(crate) fn of(text: Text) -> Self {
        let looks_like = text.kept.trim_start().starts_with(['{', '[']) && text.kept.len() as u64 == text.whole;
        let data = looks_like.then(|| serde_json::from_str(&text.kept).ok()).flatten();
        Self { text, data }
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.kept.trim().is_empty()
    }

    /// The result of a task, and whether all of it is there. Data stays one piece of JSON, or is cut like text.
    pub(crate) fn result(&self) -> (Option<String>, bool) {
        if self.is_empty() {
            return (None, true);
        }
        let compact = self.data.as_ref().map(ToString::to_string).filter(|text| text.len() <= MAX_TASK_RESULT_BYTES);
        match compact {
            Some(json) => (Some(json), true),
            None => (Some(self.text.within(MAX_TASK_RESULT_BYTES)), self.text.fits(MAX_TASK_RESULT_BYTES)),
        }
    }

    /// The text and the data of a message.
    pub(crate) fn message(&self) -> (String, Option<Value>) {
        match &self.data {
            Some(data) if data.to_string().len() <= MAX_DATA_BYTES => (String::new(), Some(data.clone())),
            Some(_) | None => (self.text.within(MAX_TEXT_BYTES), None),
        }
    }
}

/// Returns what a program's end and what it wrote mean.
pub(crate) fn of_program(end: End, stdout: Text, stderr: &Text) -> Outcome {
    match end {
        End::Code(0) => Outcome::Done(Answer::of(stdout)),
        End::Code(NEEDS_INPUT) => Outcome::Asks(said(&stdout, "it needs input, and does not say what")),
        End::Code(HANDS_BACK) => Outcome::HandsBack(said(&stdout, "handed back")),
        End::Code(code) => Outcome::Failed(why(&format!("exit code {code}"), stderr)),
        End::Signal(signal) => Outcome::Failed(why(&format!("killed by signal {signal}"), stderr)),
        End::TimedOut(after) => {
            Outcome::Failed(why(&format!("killed, as it took longer than {} s", after.as_secs_f64()), stderr))
        }
    }
}

fn said(text: &Text, instead: &str) -> String {
    if text.kept.trim().is_empty() { instead.to_owned() } else { note(text.kept.trim()) }
}

/// A reason in so many bytes as a note on a task has.
pub(crate) fn note(text: &str) -> String {
    Text::whole(text).within(MAX_TASK_NOTE_BYTES)
}

/// What happened, and the last lines of what was said about it.
fn why(what: &str, stderr: &Text) -> String {
    let said = stderr.kept.trim();
    if said.is_empty() {
        return note(what);
    }
    let room = MAX_TASK_NOTE_BYTES.saturating_sub(what.len() + ": … ".len());
    if said.len() <= room && stderr.kept.len() as u64 >= stderr.whole {
        return note(&format!("{what}: {said}"));
    }
    let start = said.len().saturating_sub(room);
    let tail = &said[said.ceil_char_boundary(start)..];
    // Whole lines, unless the last one alone is too long.
    let tail = tail.split_once('\n').map_or(tail, |(_, lines)| lines);
    note(&format!("{what}: … {tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(code: i32, stdout: &str, stderr: &str) -> Outcome {
        of_program(End::Code(code), Text::whole(stdout), &Text::whole(stderr))
    }

    #[test]
    fn success_is_a_result_and_data_if_it_is_json() {
        let Outcome::Done(answer) = program(0, "no leak", "ignored") else { panic!() };
        assert_eq!((answer.result(), answer.message()), ((Some("no leak".into()), true), ("no leak".into(), None)));
        let Outcome::Done(answer) = program(0, "{ \"leaks\": 2 }", "") else { panic!() };
        assert_eq!(answer.result(), (Some("{\"leaks\":2}".into()), true));
        assert_eq!(answer.message(), (String::new(), Some(serde_json::json!({ "leaks": 2 }))));
        for text in ["42", "\"quoted\"", "{not json", "true"] {
            assert_eq!(Answer::of(Text::whole(text)).data, None, "{text}");
        }
    }

    #[test]
    fn nothing_said_is_done_without_a_result() {
        let Outcome::Done(answer) = program(0, " ", "") else { panic!() };
        assert!(answer.is_empty());
        assert_eq!(answer.result(), (None, true));
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_mark_and_never_inside_a_letter() {
        let long = "é".repeat(10_000);
        let (result, whole) = Answer::of(Text::whole(long.clone())).result();
        let result = result.unwrap();
        assert!(result.len() <= MAX_TASK_RESULT_BYTES && !whole);
        assert!(result.ends_with("of 20000 bytes]"), "{}", &result[result.len() - 40..]);
        let kept = Text { kept: "abc".to_owned(), whole: 9_999 };
        assert_eq!(kept.within(100), "abc\n[cut: 3 of 9999 bytes]");
        let json = Answer::of(Text::whole(format!("[\"{long}\"]")));
        assert!(!json.result().1);
        assert_eq!(json.message().1, Some(serde_json::json!([long])));
        let cut_json = Answer::of(Text { kept: "{\"a\":1}".to_owned(), whole: 100 });
        assert_eq!(cut_json.data, None, "a part of a document is not one");
    }

    #[test]
    fn special_exit_codes_ask_and_hand_back() {
        assert_eq!(program(66, "Which build?\n", ""), Outcome::Asks("Which build?".into()));
        assert_eq!(program(75, "", ""), Outcome::HandsBack("handed back".into()));
        assert_eq!(program(75, "no valgrind here", ""), Outcome::HandsBack("no valgrind here".into()));
    }

    #[test]
    fn a_failure_says_how_it_ended_and_the_last_lines() {
        assert_eq!(program(3, "", " boom\n"), Outcome::Failed("exit code 3: boom".into()));
        assert_eq!(program(3, "", ""), Outcome::Failed("exit code 3".into()));
        let lines: String = (0..500).map(|number| format!("line {number}\n")).collect();
        let Outcome::Failed(why) = of_program(End::Signal(11), Text::default(), &Text::whole(lines)) else { panic!() };
        assert!(why.len() <= MAX_TASK_NOTE_BYTES);
        assert!(why.starts_with("killed by signal 11: … line ") && why.ends_with("line 499"), "{why}");
        let one = "x".repeat(5000);
        let Outcome::Failed(why) =
            of_program(End::TimedOut(Duration::from_millis(1500)), Text::default(), &Text::whole(one))
        else {
            panic!()
        };
        assert!(why.starts_with("killed, as it took longer than 1.5 s: … xxx") && why.len() <= MAX_TASK_NOTE_BYTES);
    }
}
