//! Puts our entries into files of tools and takes them out, and leaves everything else in them as it is: other
//! entries, their order, comments and layout.
//!
//! An entry of ours is known by its key, or by the command that it runs. Putting twice gives what putting once gives.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde::de::IgnoredAny;
use toml_edit::{Array, DocumentMut, Item, Table, value};

/// What every file has in it that is ours alone.
pub(crate) const OURS: &str = "Set by \"fedp2p setup\"";

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
        /// The program that it names.
        command: String,
        /// The words after it.
        arguments: Vec<String>,
    },
    /// The file is ours as a whole.
    Whole {
        /// What is in it, [`OURS`] among it.
        text: String,
        /// Whether it is a program.
        executable: bool,
    },
}

/// An entry in a JSON file.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A member that the file needs and has kept if it has it.
    Needed {
        /// Its key at the top.
        key: &'static str,
        /// Its value if there is none.
        value: CstInputValue,
    },
    /// A member of an object, known by its key.
    Member {
        /// The keys that lead to the object.
        within: &'static [&'static str],
        /// Its key.
        key: &'static str,
        /// Its value.
        value: CstInputValue,
    },
    /// An element of a list in an object, known by a text in it.
    Element {
        /// The key at the top that leads to the object.
        within: &'static str,
        /// The key of the list.
        list: &'static str,
        /// What is in no other element.
        mark: String,
        /// The element.
        value: CstInputValue,
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
}

impl Change {
    /// Returns the file with our entries in it. `before` is what is in it now.
    ///
    /// # Errors
    /// If it cannot be changed.
    pub(crate) fn put(&self, before: Option<&str>) -> Result<String, Unusable> {
        match self {
            Self::Json { comments, entries } => in_json(before.unwrap_or("{}\n"), *comments, |root| {
                entries.iter().try_for_each(|entry| entry.put(root))
            }),
            Self::Toml { within, key, command, arguments } => {
                in_toml(before.unwrap_or_default(), |document| put_table(document, within, key, command, arguments))
            }
            Self::Whole { text, .. } => match before {
                Some(before) if !before.contains(OURS) => Err(Unusable::Foreign),
                _ => Ok(text.clone()),
            },
        }
    }

    /// Returns the file without our entries; nothing if nothing of it remains.
    ///
    /// # Errors
    /// If it cannot be changed.
    pub(crate) fn take(&self, text: &str) -> Result<Option<String>, Unusable> {
        match self {
            Self::Json { comments, entries } => in_json(text, *comments, |root| {
                entries.iter().for_each(|entry| entry.take(root));
                Ok(())
            })
            .map(Some),
            Self::Toml { within, key, .. } => in_toml(text, |document| {
                take_table(document, within, key);
                Ok(())
            })
            .map(Some),
            Self::Whole { .. } if text.contains(OURS) => Ok(None),
            Self::Whole { .. } => Err(Unusable::Foreign),
        }
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
        let entry = match self {
            Self::Json { comments, entries } => {
                let member = entries.iter().find_map(|entry| match entry {
                    Entry::Member { within, key, .. } => Some((*within, *key)),
                    Entry::Needed { .. } | Entry::Element { .. } => None,
                });
                let (within, key) = member?;
                let root = value_of(text, *comments)?;
                within.iter().try_fold(&root, |value, name| value.get(name))?.get(key)?.clone()
            }
            Self::Toml { within, key, .. } => {
                let document: DocumentMut = text.parse().ok()?;
                let table = document.get(within)?.get(key)?;
                let arguments = table.get("args").and_then(Item::as_array).into_iter().flatten();
                let arguments = arguments.filter_map(|word| word.as_str());
                let command = table.get("command").and_then(Item::as_str)?;
                return Some([command].into_iter().chain(arguments).map(str::to_owned).collect());
            }
            Self::Whole { .. } => return None,
        };
        let command = &entry["command"];
        let first = command.as_str().map(str::to_owned);
        let words = command.as_array().into_iter().chain(entry["args"].as_array()).flatten();
        Some(first.into_iter().chain(words.filter_map(|word| word.as_str().map(str::to_owned))).collect())
    }

    /// Returns the shell line of our hook for an event, as it stands in the file.
    pub(crate) fn line_in(&self, text: &str, event: &str) -> Option<String> {
        let Self::Json { comments, entries } = self else { return None };
        let root = value_of(text, *comments)?;
        entries.iter().find_map(|entry| match entry {
            Entry::Element { within, list, mark, .. } if *list == event => marked_text(&root[*within][*list], mark),
            Entry::Element { .. } | Entry::Member { .. } | Entry::Needed { .. } => None,
        })
    }

    /// Whether the file is a program.
    pub(crate) fn is_executable(&self) -> bool {
        matches!(self, Self::Whole { executable: true, .. })
    }
}

impl Entry {
    fn put(&self, root: &CstObject) -> Result<(), Unusable> {
        match self {
            Self::Needed { key, value } => {
                if root.get(key).is_none() {
                    root.append(key, value.clone());
                }
            }
            Self::Member { within, key, value } => {
                let mut object = root.clone();
                for name in *within {
                    object = inner(&object, name)?;
                }
                match object.get(key) {
                    Some(member) => member.set_value(value.clone()),
                    None => drop(object.append(key, value.clone())),
                }
            }
            Self::Element { within, list, mark, value } => {
                let object = inner(root, within)?;
                let array = object.array_value_or_create(list);
                let array = array.ok_or_else(|| Unusable::Kind(format!("{within}.{list}"), "a list"))?;
                remove_marked(&array, mark);
                array.append(value.clone());
            }
        }
        Ok(())
    }

    fn take(&self, root: &CstObject) {
        match self {
            Self::Needed { .. } => {}
            Self::Member { within, key, .. } => {
                let mut path = vec![root.clone()];
                for name in *within {
                    match path[path.len() - 1].object_value(name) {
                        Some(object) => path.push(object),
                        None => return,
                    }
                }
                if let Some(member) = path[path.len() - 1].get(key) {
                    member.remove();
                    remove_empty(&path, within);
                }
            }
            Self::Element { within, list, mark, .. } => {
                let Some(object) = root.object_value(within) else { return };
                let Some(array) = object.array_value(list) else { return };
                if remove_marked(&array, mark) && array.elements().is_empty() {
                    object.get(list).into_iter().for_each(|list| list.remove());
                    remove_empty(&[root.clone(), object], &[*within]);
                }
            }
        }
    }
}

/// The object that is a member of `object`, made if there is none.
fn inner(object: &CstObject, name: &str) -> Result<CstObject, Unusable> {
    object.object_value_or_create(name).ok_or_else(|| Unusable::Kind(name.to_owned(), "an object"))
}

/// Removes the elements in which `mark` is, and returns whether there were any.
fn remove_marked(array: &CstArray, mark: &str) -> bool {
    let marked: Vec<CstNode> =
        array.elements().into_iter().filter(|element| element.to_string().contains(mark)).collect();
    let any = !marked.is_empty();
    marked.into_iter().for_each(CstNode::remove);
    any
}

/// Removes the last of the objects in `path` if it is empty, then the one around it, and so on; `names` are their keys.
fn remove_empty(path: &[CstObject], names: &[&str]) {
    for (outer, name) in path.iter().zip(names).rev() {
        if outer.object_value(name).is_some_and(|object| !object.properties().is_empty()) {
            return;
        }
        outer.get(name).into_iter().for_each(|member| member.remove());
    }
}

/// The text in `value` in which `mark` is.
fn marked_text(value: &serde_json::Value, mark: &str) -> Option<String> {
    match value {
        serde_json::Value::String(text) => text.contains(mark).then(|| text.clone()),
        serde_json::Value::Array(elements) => elements.iter().find_map(|element| marked_text(element, mark)),
        serde_json::Value::Object(members) => members.values().find_map(|member| marked_text(member, mark)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => None,
    }
}

/// What a JSON file says, if it parses.
fn value_of(text: &str, comments: bool) -> Option<serde_json::Value> {
    CstRootNode::parse(text.trim_start_matches('\u{feff}'), &options(comments)).ok()?.to_serde_value()
}

fn options(comments: bool) -> ParseOptions {
    ParseOptions {
        allow_comments: comments,
        allow_trailing_commas: comments,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn in_json(
    text: &str,
    comments: bool,
    change: impl FnOnce(&CstObject) -> Result<(), Unusable>,
) -> Result<String, Unusable> {
    let (mark, text) = text.strip_prefix('\u{feff}').map_or(("", text), |text| ("\u{feff}", text));
    if !comments {
        // The parser below takes comments whatever it is told.
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| Unusable::Syntax(error.to_string()))?;
    }
    let root = CstRootNode::parse(text, &options(comments)).map_err(|error| Unusable::Syntax(error.to_string()))?;
    let object = root.object_value_or_create().ok_or_else(|| Unusable::Kind("the whole".to_owned(), "an object"))?;
    change(&object)?;
    Ok(format!("{mark}{root}"))
}

fn in_toml(text: &str, change: impl FnOnce(&mut DocumentMut) -> Result<(), Unusable>) -> Result<String, Unusable> {
    let windows = text.contains("\r\n");
    let parsed = text.replace("\r\n", "\n").parse::<DocumentMut>();
    let mut document = parsed.map_err(|error| Unusable::Syntax(error.message().to_owned()))?;
    change(&mut document)?;
    let text = document.to_string();
    Ok(if windows { text.replace('\n', "\r\n") } else { text })
}

fn put_table(
    document: &mut DocumentMut,
    within: &str,
    key: &str,
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
    let mut table = Table::new();
    table.insert("command", value(command));
    table.insert("args", value(arguments.iter().collect::<Array>()));
    if !first {
        table.decor_mut().set_prefix("\n");
    }
    outer.insert(key, Item::Table(table));
    Ok(())
}

fn take_table(document: &mut DocumentMut, within: &str, key: &str) {
    let Some(outer) = document.get_mut(within).and_then(Item::as_table_like_mut) else { return };
    let removed = outer.remove(key).is_some();
    if removed && outer.is_empty() && document.get(within).and_then(Item::as_table).is_some_and(Table::is_implicit) {
        document.remove(within);
    }
}

#[cfg(test)]
mod tests {
    use jsonc_parser::json;

    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Needed { key: "version", value: json!(1) },
            Entry::Member { within: &["mcpServers"], key: "fedp2p", value: json!({ "command": "fedp2p" }) },
            Entry::Element {
                within: "hooks",
                list: "Stop",
                mark: " hook codex ".to_owned(),
                value: json!({ "command": "fedp2p hook codex Stop" }),
            },
        ]
    }

    fn json(comments: bool) -> Change {
        Change::Json { comments, entries: entries() }
    }

    fn toml() -> Change {
        let arguments = vec!["mcp".to_owned(), "--client".to_owned(), "codex".to_owned()];
        Change::Toml { within: "mcp_servers", key: "fedp2p", command: "fedp2p".to_owned(), arguments }
    }

    #[test]
    fn comments_order_and_layout_stay_as_they_are() {
        let before = "{\n    // mine\n    \"z\": 1,\n    \"hooks\": {\n        \"Stop\": [\n            {\"command\": \
                      \"other\"}, // first\n        ]\n    },\n    \"a\": [1,2]\n}\n";
        let after = json(true).put(Some(before)).unwrap();
        let lines: Vec<&str> = before.lines().collect();
        assert!(lines.iter().all(|line| after.contains(line.trim_end_matches(',').trim())), "{after}");
        assert!(after.find("\"z\"") < after.find("\"hooks\"") && after.find("\"hooks\"") < after.find("\"a\""));
        assert!(after.find("other") < after.find("fedp2p hook codex Stop"), "{after}");
        assert_eq!(json(true).put(Some(&after)).unwrap(), after);
    }

    #[test]
    fn taking_out_leaves_what_others_have_added_meanwhile() {
        let before = "{\n  \"model\": \"x\",\n  \"version\": 1\n}\n";
        let after = json(false).put(Some(before)).unwrap();
        assert_eq!(json(false).take(&after).unwrap().as_deref(), Some(before));
        let added = after.replace("\"model\": \"x\"", "\"model\": \"y\"");
        let taken = json(false).take(&added).unwrap().unwrap();
        assert_eq!(taken, before.replace("\"x\"", "\"y\""));
    }

    #[test]
    fn containers_of_others_are_left_and_empty_ones_of_ours_are_not() {
        let before = "{\n  \"version\": 1,\n  \"mcpServers\": {\n    \"other\": {}\n  }\n}\n";
        let after = json(false).put(Some(before)).unwrap();
        assert!(after.contains("\"Stop\""));
        assert_eq!(json(false).take(&after).unwrap().as_deref(), Some(before));
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
            let refused = json(false).put(Some(text)).unwrap_err();
            assert_eq!(matches!(refused, Unusable::Kind(..)), kind, "{text}: {refused}");
        }
        assert!(matches!(toml().put(Some("a = ")), Err(Unusable::Syntax(_))));
        assert!(matches!(toml().put(Some("mcp_servers = 1")), Err(Unusable::Kind(..))));
    }

    #[test]
    fn a_new_file_is_what_the_tool_takes() {
        let made = json(false).put(None).unwrap();
        let value: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(value["mcpServers"]["fedp2p"]["command"], "fedp2p");
        assert_eq!(value["hooks"]["Stop"][0]["command"], "fedp2p hook codex Stop");
        assert!(made.ends_with("}\n"), "{made:?}");
        assert_eq!(
            toml().put(None).unwrap(),
            "[mcp_servers.fedp2p]\ncommand = \"fedp2p\"\nargs = [\"mcp\", \"--client\", \"codex\"]\n"
        );
    }

    #[test]
    fn toml_keeps_its_comments_and_is_the_same_again_afterwards() {
        let before =
            "# mine\nmodel = \"x\" # the best\n\n[mcp_servers.other]\ncommand = \"o\"\n\n[tui]\ntheme = \"y\"\n";
        let after = toml().put(Some(before)).unwrap();
        assert!(before.lines().all(|line| after.contains(line)), "{after}");
        assert!(after.contains("[mcp_servers.fedp2p]"));
        assert_eq!(toml().put(Some(&after)).unwrap(), after);
        assert_eq!(toml().take(&after).unwrap().as_deref(), Some(before));
    }

    #[test]
    fn windows_marks_and_line_ends_are_kept() {
        let before = "\u{feff}{\r\n  \"version\": 1\r\n}\r\n";
        let after = json(true).put(Some(before)).unwrap();
        assert!(after.starts_with("\u{feff}{\r\n") && after.ends_with("}\r\n"), "{after:?}");
        assert!(!after.replace("\r\n", "").contains('\n'), "{after:?}");
        assert_eq!(json(true).take(&after).unwrap().as_deref(), Some(before));
        let before = "# mine\r\nmodel = \"x\"\r\n";
        let after = toml().put(Some(before)).unwrap();
        assert!(after.starts_with(before) && !after.replace("\r\n", "").contains('\n'), "{after:?}");
        assert_eq!(toml().take(&after).unwrap().as_deref(), Some(before));
    }

    #[test]
    fn a_whole_file_of_somebody_else_is_not_touched() {
        let change = Change::Whole { text: format!("// {OURS}\n"), executable: false };
        assert_eq!(change.put(Some("// mine")), Err(Unusable::Foreign));
        assert_eq!(change.take("// mine"), Err(Unusable::Foreign));
        assert_eq!(change.take(&change.put(None).unwrap()), Ok(None));
    }
}
