//! A hook of somebody else where a tool runs only one: ours runs it as well, and the two answers become one.

use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Map, Value};

use super::{Input, MAX_INPUT};
use crate::error::Error;
use crate::ui::Output;

/// Most bytes that are read of an answer.
const MAX_ANSWER: u64 = 1024 * 1024;
/// The members that hold words for the model or its person.
const WORDS: [&str; 2] = ["contextModification", "errorMessage"];
/// The option that names the other hook.
const OPTION: &str = "--beside";

/// What a hook printed, and how it ended.
#[derive(Debug)]
struct Answer {
    text: String,
    code: i32,
}

/// Runs the hook at `other`, then ours, prints one answer, and ends as the other one has ended.
pub(super) fn run(other: &Path, out: &Output) -> Result<(), Error> {
    let mut input = Vec::new();
    if !io::stdin().is_terminal() {
        // What cannot be read says nothing.
        drop(io::stdin().lock().take(MAX_INPUT).read_to_end(&mut input));
    }
    // Whether ours reaches the daemon is nothing that the other one can answer.
    let is_run = is_program(other) && !Input::of(&input).is_probe();
    let theirs = if is_run { answer(Command::new(other), &input, other) } else { Ok(None) };
    let program = std::env::current_exe().map_err(Error::system("find this program's file"))?;
    let mut ours = Command::new(&program);
    let words = std::env::args_os().skip(1).collect::<Vec<_>>();
    let option = words.iter().position(|word| word == OPTION).unwrap_or(words.len());
    ours.args(&words[..option]).args(words.iter().skip(option + 2));
    let ours = answer(ours, &input, &program)?.map(|answer| answer.text).unwrap_or_default();
    match theirs {
        Ok(None) => out.print(&ours)?,
        Ok(Some(theirs)) => {
            out.print(&join(&theirs.text, &ours))?;
            if theirs.code != 0 {
                std::process::exit(theirs.code);
            }
        }
        Err(error) => {
            out.print(&ours)?;
            out.note(&format!("fedp2p: {}", error.report("fedp2p").message));
        }
    }
    Ok(())
}

/// Whether a tool would run it.
fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Runs a hook with what the tool said.
fn answer(mut command: Command, input: &[u8], path: &Path) -> Result<Option<Answer>, Error> {
    let mut talk = || -> io::Result<Answer> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut text = Vec::new();
        thread::scope(|scope| {
            // It may print before it has read, and need not read.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            stdout.map_or(Ok(0), |stdout| stdout.take(MAX_ANSWER).read_to_end(&mut text))
        })?;
        let code = child.wait()?.code().unwrap_or(1);
        Ok(Answer { text: String::from_utf8_lossy(&text).into_owned(), code })
    };
    talk().map(Some).map_err(Error::system(format!("run {}", path.display())))
}

/// Returns the answer of both. What the other says counts; words are put together, and either can cancel.
fn join(theirs: &str, ours: &str) -> String {
    let parsed = |text: &str| serde_json::from_str::<Map<String, Value>>(text.trim()).ok();
    if theirs.trim().is_empty() {
        return ours.to_owned();
    }
    // What the tool makes of an answer that is no object, it goes on making of it.
    let (Some(mut answer), Some(own)) = (parsed(theirs), parsed(ours)) else { return theirs.to_owned() };
    for (name, value) in own {
        let joined = match (answer.get(&name), value) {
            (Some(Value::String(theirs)), Value::String(own)) if WORDS.contains(&name.as_str()) => {
                let words = [theirs.as_str(), own.as_str()].into_iter().filter(|text| !text.is_empty());
                Value::String(words.collect::<Vec<_>>().join("\n\n"))
            }
            (Some(Value::Bool(theirs)), Value::Bool(own)) => Value::Bool(*theirs || own),
            (None | Some(Value::Null), value) => value,
            (Some(_), _) => continue,
        };
        answer.insert(name, joined);
    }
    format!("{}\n", Value::Object(answer))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn joined(theirs: &str, ours: &str) -> Value {
        serde_json::from_str(&join(theirs, ours)).unwrap()
    }

    #[test]
    fn the_model_reads_the_words_of_both_and_either_can_cancel() {
        let both = joined(
            r#"{"cancel":true,"contextModification":"theirs","more":1}"#,
            r#"{"cancel":false,"contextModification":"ours"}"#,
        );
        let expected = serde_json::json!({ "cancel": true, "contextModification": "theirs\n\nours", "more": 1 });
        assert_eq!(both, expected);
        let ours = r#"{"cancel":false,"contextModification":"ours"}"#;
        assert_eq!(joined("", ours)["contextModification"], "ours");
        assert_eq!(joined("{}", ours)["contextModification"], "ours");
        assert_eq!(
            joined(r#"{"contextModification":"theirs"}"#, r#"{"cancel":false}"#)["contextModification"],
            "theirs"
        );
        assert_eq!(join("no JSON", ours), "no JSON");
    }

    #[test]
    fn the_other_hook_reads_what_the_tool_said_and_its_code_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook");
        fs::write(&path, "cat\nexit 3\n").unwrap();
        let mut shell = Command::new("sh");
        shell.arg(&path);
        let other = answer(shell, br#"{"taskId":"s"}"#, &path).unwrap().unwrap();
        assert_eq!((other.text.as_str(), other.code), (r#"{"taskId":"s"}"#, 3));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!is_program(&path) && !is_program(&folder.path().join("none")) && !is_program(folder.path()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_program(&path));
    }
}
