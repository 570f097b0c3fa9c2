//! Puts our entries into files of tools and takes them out, and leaves everything else in them as it is: other
//! entries, their order, comments and layout.
//!
//! An entry of ours is known by the command that it runs. Putting twice gives what putting once gives.

use std::path::Path;

use serde_json::Value;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::json::{self, Entry};
use super::owned;
use crate::shell;

/// What every file has in it that is ours alone.
pub(crate) const OURS: &str = "Set by \"fedp2p setup\"";
/// What leads to the program of somebody else that ours runs as well.
const BESIDE: &str = " --beside ";

/// How a file is changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// These entries come into a JSON file.
    Json {
        /// Whether the tool allows comments and commas at the end of lists.
        comments: bool,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// A table in a table comes into a TOML file.
    Toml {
        /// The outer table.
        within: &'static str,
        /// The inner one, which is ours.
        key: &'static str,
        /// The tool that it is for.
        tool: &'static str,
        /// The program that it names.
        command: String,
        /// The words after it.
        arguments: Vec<String>,
    },
    /// The file is ours as a whole.
    Whole {
        /// What is in it, [`OURS`] among it. The last line of a program runs our hook.
        text: String,
        /// Whether it is a program, which can run that of somebody else beside it.
        executable: bool,
    },
}

/// Why a file cannot be changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// It is not in the format of such files.
    #[error("it does not parse: {0}")]
    Syntax(String),
    /// Something in it is of another kind than the tool takes.
    #[error("{0:?} in it is not {1}")]
    Kind(String, &'static str),
    /// It should be ours and somebody else wrote it.
    #[error("it is there already, and fedp2p did not write it")]
    Foreign,
    /// Somebody else has a server of our name.
    #[error("it has a server {0:?} that fedp2p did not write")]
    Taken(String),
}

impl Change {
    /// Returns the file with our entries in it. `before` is what is in it now, and `copy` is where that lies then.
    ///
    /// # Errors
    /// If it cannot be changed.
    pub(crate) fn put(&self, before: Option<&str>, copy: Option<&Path>) -> Result<String, Unusable> {
        match self {
            Self::Json { comments, entries } => json::put(before.unwrap_or("{}\n"), *comments, entries),
            Self::Toml { within, key, tool, command, arguments } => in_toml(before.unwrap_or_default(), |document| {
                put_table(document, [within, key, tool], command, arguments)?;
                Ok(true)
            }),
            Self::Whole { text, executable } => match (before, copy) {
                (None, _) => Ok(text.clone()),
                (Some(before), _) if before.contains(OURS) => {
                    let beside = before.trim_end().split_once(BESIDE).filter(|_| *executable);
                    Ok(beside.map_or(text.clone(), |(_, beside)| with(text, beside)))
                }
                (Some(_), Some(copy)) if *executable => Ok(with(text, &shell::word(&copy.display().to_string()))),
                (Some(_), _) => Err(Unusable::Foreign),
            },
        }
    }

    /// Returns the file without our entries; nothing if nothing of it remains. `before` is what was in it before they
    /// came, if that is known.
    ///
    /// # Errors
    /// If it cannot be changed.
    pub(crate) fn take(&self, text: &str, before: Option<&str>) -> Result<Option<String>, Unusable> {
        match self {
            Self::Json { comments, entries } => json::take(text, *comments, entries, before).map(Some),
            Self::Toml { within, key, tool, .. } => {
                in_toml(text, |document| Ok(take_table(document, [within, key, tool]))).map(Some)
            }
            Self::Whole { .. } => Ok((!text.contains(OURS)).then(|| text.to_owned())),
        }
    }

    /// Whether everything in the file is ours.
    pub(crate) fn owns(&self, text: &str) -> bool {
        matches!(self, Self::Whole { .. }) && text.contains(OURS)
    }

    /// Whether our entry for a server comes into the file.
    pub(crate) fn has_server(&self) -> bool {
        match self {
            Self::Json { entries, .. } => entries.iter().any(|entry| matches!(entry, Entry::Member { .. })),
            Self::Toml { .. } => true,
            Self::Whole { .. } => false,
        }
    }

    /// Returns the words that start our server, as they stand in the file.
    pub(crate) fn server_in(&self, text: &str) -> Option<Vec<String>> {
        match self {
            Self::Json { comments, entries } => {
                let member = entries.iter().find_map(|entry| match entry {
                    Entry::Member { within, key, .. } => Some((*within, *key)),
                    Entry::Needed { .. } | Entry::Element { .. } => None,
                });
                let (within, key) = member?;
                let root = json::value_of(text, *comments)?;
                let entry = within.iter().try_fold(&root, |value, name| value.get(name))?.get(key)?;
                Some(owned::server_words(entry))
            }
            Self::Toml { within, key, .. } => {
                let document: DocumentMut = text.parse().ok()?;
                Some(table_words(document.get(within)?.get(key)?))
            }
            Self::Whole { .. } => None,
        }
    }

    /// Returns the shell line of our hook for an event, as it stands in the file.
    pub(crate) fn line_in(&self, text: &str, event: &str) -> Option<String> {
        let Self::Json { comments, entries } = self else { return None };
        let root = json::value_of(text, *comments)?;
        entries.iter().find_map(|entry| match entry {
            Entry::Element { within, list, tool, .. } if *list == event => line_in(&root[*within][*list], tool, event),
            Entry::Element { .. } | Entry::Member { .. } | Entry::Needed { .. } => None,
        })
    }

    /// Whether the file is a program.
    pub(crate) fn is_executable(&self) -> bool {
        matches!(self, Self::Whole { executable: true, .. })
    }
}

/// The script that runs a program of somebody else as well; `beside` is its path as a shell takes it.
fn with(text: &str, beside: &str) -> String {
    format!("{}{BESIDE}{beside}\n", text.trim_end())
}

/// The shell line of our hook, wherever in `value`.
fn line_in(value: &Value, tool: &str, event: &str) -> Option<String> {
    match value {
        Value::Array(elements) => elements.iter().find_map(|element| line_in(element, tool, event)),
        Value::Object(members) => {
            let own = owned::hook_line(value, tool, event).map(str::to_owned);
            own.or_else(|| members.values().find_map(|member| line_in(member, tool, event)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Changes a TOML file unless `change` says that nothing has changed.
fn in_toml(text: &str, change: impl FnOnce(&mut DocumentMut) -> Result<bool, Unusable>) -> Result<String, Unusable> {
    let windows = text.contains("\r\n");
    let parsed = text.replace("\r\n", "\n").parse::<DocumentMut>();
    let mut document = parsed.map_err(|error| Unusable::Syntax(error.message().to_owned()))?;
    if !change(&mut document)? {
        return Ok(text.to_owned());
    }
    let text = document.to_string();
    Ok(if windows { text.replace('\n', "\r\n") } else { text })
}

/// The words that start a server, from its table.
fn table_words(table: &Item) -> Vec<String> {
    let arguments = table.get("args").and_then(Item::as_array).into_iter().flatten();
    let arguments = arguments.filter_map(|word| word.as_str());
    let command = table.get("command").and_then(Item::as_str);
    command.into_iter().chain(arguments).map(str::to_owned).collect()
}

fn put_table(
    document: &mut DocumentMut,
    [within, key, tool]: [&str; 3],
    command: &str,
    arguments: &[String],
) -> Result<(), Unusable> {
    let first = document.is_empty();
    let outer = document.entry(within).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let outer = outer.as_table_like_mut().ok_or_else(|| Unusable::Kind(within.to_owned(), "a table"))?;
    let arguments = || value(arguments.iter().collect::<Array>());
    if let Some(there) = outer.get_mut(key) {
        let is_ours = owned::is_server(&table_words(there), tool);
        let own = there.as_table_like_mut().filter(|_| is_ours).ok_or_else(|| Unusable::Taken(key.to_owned()))?;
        // What others have put beside that in it stays.
        own.insert("command", value(command));
        own.insert("args", arguments());
        return Ok(());
    }
    let mut table = Table::new();
    table.insert("command", value(command));
    table.insert("args", arguments());
    if !first {
        table.decor_mut().set_prefix("\n");
    }
    outer.insert(key, Item::Table(table));
    Ok(())
}

/// Takes our table out and returns whether it was there.
fn take_table(document: &mut DocumentMut, [within, key, tool]: [&str; 3]) -> bool {
    let Some(outer) = document.get_mut(within).and_then(Item::as_table_like_mut) else { return false };
    if !outer.get(key).is_some_and(|there| owned::is_server(&table_words(there), tool)) {
        return false;
    }
    let removed = outer.remove(key);
    let above = removed.as_ref().and_then(Item::as_table).and_then(|table| table.decor().prefix()?.as_str());
    let said = above.filter(|above| above.contains('#')).map(str::to_owned);
    if outer.is_empty() && document.get(within).and_then(Item::as_table).is_some_and(Table::is_implicit) {
        document.remove(within);
    }
    if let Some(said) = said {
        // A comment above ours may be about more than ours.
        let after = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing(format!("{said}{after}"));
    }
    true
}

#[cfg(test)]
mod tests {
    use jsonc_parser::json;

    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Needed { key: "version", value: json!(1) },
            Entry::Member {
                within: &["mcpServers"],
                key: "fedp2p",
                tool: "codex",
                value: json!({ "command": "fedp2p", "args": ["mcp", "--client", "codex"] }),
            },
            Entry::Element {
                within: "hooks",
                list: "Stop",
                tool: "codex",
                value: json!({ "command": "fedp2p hook codex Stop" }),
            },
        ]
    }

    fn json(comments: bool) -> Change {
        Change::Json { comments, entries: entries() }
    }

    fn toml() -> Change {
        let arguments = vec!["mcp".to_owned(), "--client".to_owned(), "codex".to_owned()];
        Change::Toml { within: "mcp_servers", key: "fedp2p", tool: "codex", command: "fedp2p".to_owned(), arguments }
    }

    #[test]
    fn comments_order_and_layout_stay_as_they_are() {
        let before = "{\n    // mine\n    \"z\": 1,\n    \"hooks\": {\n        \"Stop\": [\n            {\"command\": \
                      \"other\"}, // first\n        ]\n    },\n    \"a\": [1,2]\n}\n";
        let after = json(true).put(Some(before), None).unwrap();
        let lines: Vec<&str> = before.lines().collect();
        assert!(lines.iter().all(|line| after.contains(line.trim_end_matches(',').trim())), "{after}");
        assert!(after.find("\"z\"") < after.find("\"hooks\"") && after.find("\"hooks\"") < after.find("\"a\""));
        assert!(after.find("other") < after.find("fedp2p hook codex Stop"), "{after}");
        assert_eq!(json(true).put(Some(&after), None).unwrap(), after);
    }

    #[test]
    fn taking_out_leaves_what_others_have_added_meanwhile() {
        let before = "{\n  \"model\": \"x\",\n  \"version\": 1\n}\n";
        let after = json(false).put(Some(before), None).unwrap();
        assert_eq!(json(false).take(&after, Some(before)).unwrap().as_deref(), Some(before));
        let added = after.replace("\"model\": \"x\"", "\"model\": \"y\"");
        let taken = json(false).take(&added, Some(before)).unwrap().unwrap();
        assert_eq!(taken, before.replace("\"x\"", "\"y\""));
    }

    #[test]
    fn containers_of_others_are_left_and_empty_ones_of_ours_are_not() {
        let before = "{\n  \"version\": 1,\n  \"mcpServers\": {\n    \"other\": {}\n  }\n}\n";
        let after = json(false).put(Some(before), None).unwrap();
        assert!(after.contains("\"Stop\""));
        assert_eq!(json(false).take(&after, Some(before)).unwrap().as_deref(), Some(before));
    }

    #[test]
    fn a_file_that_does_not_parse_or_is_of_another_kind_is_refused() {
        for (text, kind) in [
            ("{", false),
            ("{ // comment\n}", false),
            ("{'a': 1}", false),
            ("[]", true),
            ("{\"mcpServers\": 7}", true),
            ("{\"hooks\": {\"Stop\": {}}}", true),
        ] {
            let refused = json(false).put(Some(text), None).unwrap_err();
            assert_eq!(matches!(refused, Unusable::Kind(..)), kind, "{text}: {refused}");
        }
        assert!(matches!(toml().put(Some("a = "), None), Err(Unusable::Syntax(_))));
        assert!(matches!(toml().put(Some("mcp_servers = 1"), None), Err(Unusable::Kind(..))));
    }

    #[test]
    fn a_new_file_is_what_the_tool_takes() {
        let made = json(false).put(None, None).unwrap();
        let value: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(value["mcpServers"]["fedp2p"]["command"], "fedp2p");
        assert_eq!(value["hooks"]["Stop"][0]["command"], "fedp2p hook codex Stop");
        assert!(made.ends_with("}\n"), "{made:?}");
        assert_eq!(
            toml().put(None, None).unwrap(),
            "[mcp_servers.fedp2p]\ncommand = \"fedp2p\"\nargs = [\"mcp\", \"--client\", \"codex\"]\n"
        );
    }

    #[test]
    fn toml_keeps_its_comments_and_is_the_same_again_afterwards() {
        let before =
            "# mine\nmodel = \"x\" # the best\n\n[mcp_servers.other]\ncommand = \"o\"\n\n[tui]\ntheme = \"y\"\n";
        let after = toml().put(Some(before), None).unwrap();
        assert!(before.lines().all(|line| after.contains(line)), "{after}");
        assert!(after.contains("[mcp_servers.fedp2p]"));
        assert_eq!(toml().put(Some(&after), None).unwrap(), after);
        assert_eq!(toml().take(&after, None).unwrap().as_deref(), Some(before));
    }

    #[test]
    fn what_others_have_added_to_our_entry_or_said_above_it_stays_when_it_is_written_again() {
        let moved = |text: &str| {
            text.replace("\"fedp2p\"", "\"/old/fedp2p\"").replacen("\"/old/fedp2p\": {", "\"fedp2p\": {", 1)
        };
        let before = json(true).put(None, None).unwrap();
        let added = moved(&before)
            .replace("\"command\": \"/old", "\"autoApprove\": [\"x\"], // mine\n      \"command\": \"/old");
        let after = json(true).put(Some(&added), None).unwrap();
        assert_eq!(after, added.replace("/old/", ""));

        let before = "# mine\nmodel = \"x\"\n";
        let after = toml().put(Some(before), None).unwrap();
        let added =
            after.replace("[mcp_servers", "# about servers\n[mcp_servers").replace("\"fedp2p\"", "\"/old/fedp2p\"");
        let added = format!("{added}startup_timeout_sec = 20\n");
        assert_eq!(toml().put(Some(&added), None).unwrap(), added.replace("/old/", ""));
        let taken = toml().take(&added, Some(before)).unwrap().unwrap();
        assert_eq!(taken, format!("{before}\n# about servers\n"));
    }

    #[test]
    fn windows_marks_and_line_ends_are_kept() {
        let before = "\u{feff}{\r\n  \"version\": 1\r\n}\r\n";
        let after = json(true).put(Some(before), None).unwrap();
        assert!(after.starts_with("\u{feff}{\r\n") && after.ends_with("}\r\n"), "{after:?}");
        assert!(!after.replace("\r\n", "").contains('\n'), "{after:?}");
        assert_eq!(json(true).take(&after, Some(before)).unwrap().as_deref(), Some(before));
        let before = "# mine\r\nmodel = \"x\"\r\n";
        let after = toml().put(Some(before), None).unwrap();
        assert!(after.starts_with(before) && !after.replace("\r\n", "").contains('\n'), "{after:?}");
        assert_eq!(toml().take(&after, None).unwrap().as_deref(), Some(before));
    }

    #[test]
    fn a_whole_file_of_somebody_else_is_not_touched() {
        let change = Change::Whole { text: format!("// {OURS}\n"), executable: false };
        assert_eq!(change.put(Some("// mine"), None), Err(Unusable::Foreign));
        assert_eq!(change.take("// mine", None), Ok(Some("// mine".to_owned())));
        assert_eq!(change.take(&change.put(None, None).unwrap(), None), Ok(None));
    }
}
