//! How an entry is known to be ours: by the words of its command, never by its name alone.

use serde_json::Value;

use crate::shell;

/// The options that may stand between our program and what it is to do; each has a value.
const OPTIONS: [&str; 2] = ["--home", "--agent"];
/// Where the tools have the shell line of a hook.
const LINES: [&str; 2] = ["command", "bash"];

/// The words that start a server, from its entry in a file.
pub(super) fn server_words(entry: &Value) -> Vec<String> {
    let command = &entry["command"];
    let first = command.as_str().map(str::to_owned);
    let words = command.as_array().into_iter().chain(entry["args"].as_array()).flatten();
    first.into_iter().chain(words.filter_map(|word| word.as_str().map(str::to_owned))).collect()
}

/// Whether these words start our server for a tool.
pub(super) fn is_server(words: &[String], tool: &str) -> bool {
    words.windows(3).any(|words| words == ["mcp", "--client", tool])
}

/// The shell line of a command, if it runs our hook for an event and nothing else.
pub(super) fn hook_line<'a>(command: &'a Value, tool: &str, event: &str) -> Option<&'a str> {
    LINES.into_iter().filter_map(|name| command.get(name)?.as_str()).find(|line| is_hook(line, tool, event))
}

fn is_hook(line: &str, tool: &str, event: &str) -> bool {
    let Some(words) = shell::split(line) else { return false };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [_program, options @ .., "hook", of, name] = &words[..] else { return false };
    let known = |pair: &[&str]| pair.len() == 2 && OPTIONS.contains(&pair[0]);
    *of == tool && *name == event && options.chunks(2).all(known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_line_that_we_write_is_ours() {
        let is = |line: &str| hook_line(&json!({ "type": "command", "command": line }), "codex", "Stop").is_some();
        assert!(is("fedp2p hook codex Stop"));
        assert!(is("'/opt/fed p2p/fedp2p' --home '/my home' --agent coder hook codex Stop"));
        for other in [
            "fedp2p hook codex Start",
            "fedp2p hook claude-code Stop",
            "fedp2p hook codex Stop | tee log",
            "date; fedp2p hook codex Stop",
            "date && fedp2p hook codex Stop",
            "echo \"$(fedp2p hook codex Stop)\"",
            "hook codex Stop",
            "timeout 5 fedp2p hook codex Stop",
            "",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn a_server_is_ours_if_it_is_started_for_the_tool() {
        let words = |entry: Value| server_words(&entry);
        assert!(is_server(&words(json!({ "command": "x", "args": ["mcp", "--client", "codex"] })), "codex"));
        assert!(is_server(&words(json!({ "command": ["x", "mcp", "--client", "codex"] })), "codex"));
        assert!(!is_server(&words(json!({ "command": "x", "args": ["mcp", "--client", "codex-2"] })), "codex"));
        assert!(!is_server(&words(json!({ "command": "ssh", "args": ["box", "fedp2p", "mcp"] })), "codex"));
        assert!(!is_server(&words(json!("codex")), "codex"));
    }
}
