//! Entries in JSON files of tools: put beside what is there, and cut out again.
//!
//! Entries are cut out of the text itself: what stands around them, comments above all, stays as it is.

use std::ops::Range;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstContainerNode, CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::merge::Unusable;
use super::owned;

/// The key of the commands in a group of hooks.
const GROUP: &str = "hooks";

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
    /// Our server, a member of an object.
    Member {
        /// The keys that lead to the object.
        within: &'static [&'static str],
        /// Its key.
        key: &'static str,
        /// The tool that it is for.
        tool: &'static str,
        /// Its value.
        value: CstInputValue,
    },
    /// A hook of ours, an element of a list in an object.
    Element {
        /// The key at the top that leads to the object.
        within: &'static str,
        /// The key of the list, which is the hook's name.
        list: &'static str,
        /// The tool that it is for.
        tool: &'static str,
        /// The element.
        value: CstInputValue,
    },
}

impl Entry {
    fn put(&self, root: &CstObject) -> Result<(), Unusable> {
        match self {
            Self::Needed { key, value } => {
                if root.get(key).is_none() {
                    root.append(key, value.clone());
                }
            }
            Self::Member { within, key, tool, value } => {
                let mut object = root.clone();
                for name in *within {
                    object = inner(&object, name)?;
                }
                match object.get(key) {
                    None => drop(object.append(key, value.clone())),
                    Some(member) => {
                        let there = member.value().and_then(|value| value.to_serde_value()).unwrap_or_default();
                        if !owned::is_server(&owned::server_words(&there), tool) {
                            return Err(Unusable::Taken((*key).to_owned()));
                        }
                        renew(&member, value);
                    }
                }
            }
            Self::Element { within, list, value, .. } => {
                let object = inner(root, within)?;
                let array = object.array_value_or_create(list);
                let array = array.ok_or_else(|| Unusable::Kind(format!("{within}.{list}"), "a list"))?;
                if !array.elements().iter().any(|element| element.to_serde_value() == Some(plain(value))) {
                    array.append(value.clone());
                }
            }
        }
        Ok(())
    }
}

/// Returns `text` with the entries in it.
///
/// # Errors
/// If it does not parse, has something of another kind in their place, or a server of somebody else that is called
/// like ours.
pub(super) fn put(text: &str, comments: bool, entries: &[Entry]) -> Result<String, Unusable> {
    let mut text = Text::of(text, comments)?;
    for entry in entries {
        // What we wrote before gives way, unless it is the same.
        if let Entry::Element { within, list, value, .. } = entry
            && !text.array(within, list).is_some_and(|array| is_alone_in(&array, value, entry))
        {
            text.cut_hooks(entry)?;
        }
    }
    let root = parse(&text.body, comments)?;
    let object = root.object_value_or_create().ok_or_else(|| Unusable::Kind("the whole".to_owned(), "an object"))?;
    entries.iter().try_for_each(|entry| entry.put(&object))?;
    Ok(format!("{}{root}", text.mark))
}

/// Returns `text` without the entries. Lists and objects that are empty then go as well, unless they were in `before`
/// already or a comment is in them.
///
/// # Errors
/// If it does not parse.
pub(super) fn take(text: &str, comments: bool, entries: &[Entry], before: Option<&str>) -> Result<String, Unusable> {
    let mut text = Text::of(text, comments)?;
    let before = before.and_then(|before| Text::of(before, comments).ok());
    for entry in entries {
        let path: Vec<&str> = match entry {
            Entry::Needed { .. } => continue,
            Entry::Member { within, key, tool, .. } => {
                let Some(member) = text.member(&[within, &[*key][..]].concat()) else { continue };
                let there = member.value().and_then(|value| value.to_serde_value()).unwrap_or_default();
                if !owned::is_server(&owned::server_words(&there), tool) {
                    continue;
                }
                text.cut(&CstContainerNode::ObjectProp(member).into())?;
                within.to_vec()
            }
            Entry::Element { within, list, .. } => {
                if !text.cut_hooks(entry)? {
                    continue;
                }
                vec![within, list]
            }
        };
        text.cut_empty(&path, before.as_ref())?;
    }
    Ok(format!("{}{}", text.mark, text.body))
}

/// What a JSON file says, if it parses.
pub(super) fn value_of(text: &str, comments: bool) -> Option<Value> {
    CstRootNode::parse(text.trim_start_matches('\u{feff}'), &options(comments)).ok()?.to_serde_value()
}

/// A JSON file as it is read, cut and read again.
struct Text {
    /// What some editors put before it.
    mark: &'static str,
    body: String,
    root: CstRootNode,
    comments: bool,
}

impl Text {
    fn of(text: &str, comments: bool) -> Result<Self, Unusable> {
        let (mark, body) = text.strip_prefix('\u{feff}').map_or(("", text), |body| ("\u{feff}", body));
        if !comments {
            // The parser below takes comments whatever it is told.
            serde_json::from_str::<IgnoredAny>(body).map_err(|error| Unusable::Syntax(error.to_string()))?;
        }
        Ok(Self { mark, body: body.to_owned(), root: parse(body, comments)?, comments })
    }

    fn member(&self, path: &[&str]) -> Option<CstObjectProp> {
        let (last, outer) = path.split_last()?;
        let mut object = self.root.object_value()?;
        for name in outer {
            object = object.object_value(name)?;
        }
        object.get(last)
    }

    fn array(&self, within: &str, list: &str) -> Option<CstArray> {
        self.member(&[within, list])?.array_value()
    }

    /// Cuts out every command of ours that stands where this hook does, and returns whether there were any.
    fn cut_hooks(&mut self, entry: &Entry) -> Result<bool, Unusable> {
        let Entry::Element { within, list, .. } = entry else { return Ok(false) };
        let mut any = false;
        while let Some(node) = self.array(within, list).and_then(|array| find(&array, entry)) {
            self.cut(&node)?;
            any = true;
        }
        Ok(any)
    }

    /// Cuts out what `path` leads to if it is empty, then what is around it, and so on.
    fn cut_empty(&mut self, path: &[&str], before: Option<&Self>) -> Result<(), Unusable> {
        for length in (1..=path.len()).rev() {
            let Some(member) = self.member(&path[..length]) else { return Ok(()) };
            let Some(CstNode::Container(value)) = member.value() else { return Ok(()) };
            let is_empty = value.children_exclude_trivia_and_tokens().is_empty() && !has_comment(&value);
            if !is_empty || before.is_some_and(|before| before.member(&path[..length]).is_some()) {
                return Ok(());
            }
            self.cut(&CstContainerNode::ObjectProp(member).into())?;
        }
        Ok(())
    }

    /// Cuts an element or a member out, with its comma and the line that it leaves empty, and nothing else.
    fn cut(&mut self, node: &CstNode) -> Result<(), Unusable> {
        let own = span(node);
        let before = node.previous_siblings().find(CstNode::is_comma);
        let comma = node.trailing_comma().map(|comma| span(&comma.into())).or_else(|| before.map(|comma| span(&comma)));
        let mut body = self.body.clone();
        let mut at = own.start;
        match comma {
            Some(comma) if comma.start > own.start => {
                body.replace_range(comma, "");
                body.replace_range(own, "");
            }
            Some(comma) => {
                body.replace_range(own, "");
                at -= comma.len();
                body.replace_range(comma, "");
            }
            None => body.replace_range(own, ""),
        }
        let line = body[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = body[at..].find('\n').map_or(body.len(), |newline| at + newline + 1);
        if line > 0 && body[line..end].trim().is_empty() {
            body.replace_range(line..end, "");
        } else {
            let blank = body[line..at].len() - body[line..at].trim_end_matches([' ', '\t']).len();
            body.replace_range(at - blank..at, "");
        }
        if let Some(outer) = node.parent().map(CstNode::from) {
            let open = span(&outer).start + 1;
            let blank = body[open..].len() - body[open..].trim_start().len();
            if body[open + blank..].starts_with([']', '}']) {
                body.replace_range(open..open + blank, "");
            }
        }
        self.root = parse(&body, self.comments)?;
        self.body = body;
        Ok(())
    }
}

/// The first command of ours in a list of hooks, or the group that has no other.
fn find(array: &CstArray, entry: &Entry) -> Option<CstNode> {
    array.elements().into_iter().find_map(|element| {
        if is_hook(&element, entry) {
            return Some(element);
        }
        let group = element.as_object()?;
        let hooks = group.array_value(GROUP)?;
        let inner = hooks.elements().into_iter().find(|inner| is_hook(inner, entry))?;
        let said =
            has_comment(&CstContainerNode::Array(hooks.clone())) || has_comment(&CstContainerNode::Object(group));
        Some(if hooks.elements().len() == 1 && !said { element } else { inner })
    })
}

/// Whether the list has this hook as it should be, once, and none of ours beside it.
fn is_alone_in(array: &CstArray, value: &CstInputValue, entry: &Entry) -> bool {
    let ours = |element: &CstNode| {
        let group = element.as_object().and_then(|group| group.array_value(GROUP));
        let inner = group.map(|hooks| hooks.elements()).unwrap_or_default();
        inner.iter().chain([element]).filter(|node| is_hook(node, entry)).count()
    };
    let elements = array.elements();
    let same = elements.iter().any(|element| element.to_serde_value() == Some(plain(value)));
    same && elements.iter().map(ours).sum::<usize>() == 1
}

fn is_hook(node: &CstNode, entry: &Entry) -> bool {
    let Entry::Element { list, tool, .. } = entry else { return false };
    let value = node.to_serde_value().unwrap_or_default();
    owned::hook_line(&value, tool, list).is_some()
}

fn has_comment(container: &CstContainerNode) -> bool {
    container.children().iter().any(CstNode::is_comment)
}

/// Where a node stands in the text.
fn span(node: &CstNode) -> Range<usize> {
    fn start(node: &CstNode) -> usize {
        let Some(outer) = node.parent() else { return 0 };
        let before: usize = node.previous_siblings().map(|sibling| sibling.to_string().len()).sum();
        before + start(&outer.into())
    }
    let start = start(node);
    start..start + node.to_string().len()
}

/// What a value of an entry says.
fn plain(value: &CstInputValue) -> Value {
    let root = CstRootNode::parse("", &options(true)).expect("an empty text parses");
    root.set_value(value.clone());
    root.to_serde_value().unwrap_or_default()
}

/// Gives our member its value again; what others have put beside that in it stays.
fn renew(member: &CstObjectProp, value: &CstInputValue) {
    let is = |member: &CstObjectProp, value| member.value().and_then(|own| own.to_serde_value()) == Some(plain(value));
    let (Some(object), CstInputValue::Object(parts)) = (member.object_value(), value) else {
        return member.set_value(value.clone());
    };
    for (name, value) in parts {
        match object.get(name) {
            Some(part) if is(&part, value) => {}
            Some(part) => part.set_value(value.clone()),
            None => drop(object.append(name, value.clone())),
        }
    }
}

/// The object that is a member of `object`, made if there is none.
fn inner(object: &CstObject, name: &str) -> Result<CstObject, Unusable> {
    object.object_value_or_create(name).ok_or_else(|| Unusable::Kind(name.to_owned(), "an object"))
}

fn parse(body: &str, comments: bool) -> Result<CstRootNode, Unusable> {
    CstRootNode::parse(body, &options(comments)).map_err(|error| Unusable::Syntax(error.to_string()))
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
