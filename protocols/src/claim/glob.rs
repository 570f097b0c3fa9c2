//! Patterns of paths in a repository, and whether two of them can mean the same path.
//!
//! A pattern is a path from the root of the repository in which `*` stands for any part of a name, `?` for one character
//! and a name `**` for any number of folders. Nothing else is special, as names such as `[id].tsx` are common. A
//! pattern covers the paths that it matches and everything below them: `src` covers the file or the whole folder.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MAX_GLOB_BYTES;

/// A pattern of paths, spelled in the one way that patterns are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Glob(String);

/// A pattern was not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseGlobError {
    /// It names nothing.
    #[error("a pattern names a path")]
    Empty,
    /// Longer than [`MAX_GLOB_BYTES`].
    #[error("a pattern has at most {MAX_GLOB_BYTES} bytes")]
    TooLong,
    /// It begins at the root of the machine.
    #[error("a pattern begins at the root of the repository, not with \"/\" or a drive")]
    Absolute,
    /// It leads out of a folder.
    #[error("a pattern cannot have \"..\" in it")]
    Parent,
    /// A character that patterns do not have.
    #[error("a pattern has \"/\" between names and no control characters")]
    Character,
}

/// One name of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Any number of folders.
    Deep,
    Name(Vec<Token>),
}

impl Segment {
    /// What both are, unless one is any number of folders.
    fn names<'a>((left, right): (&'a Self, &'a Self)) -> Option<(&'a [Token], &'a [Token])> {
        match (left, right) {
            (Self::Name(left), Self::Name(right)) => Some((left, right)),
            (Self::Deep, _) | (_, Self::Deep) => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Any number of characters.
    Many,
    /// Any one character.
    One,
    Character(char),
}

impl Glob {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this path is covered: the pattern matches it or a folder that it is in.
    pub fn covers(&self, path: &str) -> bool {
        let literal = |name: &str| Segment::Name(name.chars().map(Token::Character).collect());
        let path: Vec<Segment> = path.split('/').map(literal).collect();
        let pattern = self.segments();
        // What is above the place that the pattern names is not covered, so the path must be used up last.
        walk(&pattern, &path, |left, _| left == pattern.len())
    }

    /// Whether there can be a path that both cover.
    pub fn overlaps(&self, other: &Self) -> bool {
        // Most differ long before the first wildcard of either.
        let plain = |glob: &Self| glob.0.find(['*', '?']).unwrap_or(glob.0.len());
        let common = plain(self).min(plain(other));
        if self.0.as_bytes()[..common] != other.0.as_bytes()[..common] {
            return false;
        }
        let (ours, theirs) = (self.segments(), other.segments());
        let deep = |names: &[Segment]| names.contains(&Segment::Deep);
        if (deep(&ours) || deep(&theirs)) && ours.len() * theirs.len() <= MOST_STEPS {
            return walk(&ours, &theirs, |left, right| left == ours.len() || right == theirs.len());
        }
        // Without folders of any depth it is name by name. With them, it seems so if the names before the first do.
        ours.iter().zip(&theirs).map_while(Segment::names).all(|(l, r)| meet(l, r))
    }

    /// Whether it leaves nothing out, such as `*`, `**` and `**/*`.
    pub fn is_everything(&self) -> bool {
        self.segments().iter().all(|segment| match segment {
            Segment::Deep => true,
            Segment::Name(tokens) => {
                let any = tokens.iter().all(|token| matches!(token, Token::Many | Token::One));
                any && tokens.contains(&Token::Many)
            }
        })
    }

    fn segments(&self) -> Vec<Segment> {
        let segment = |name: &str| match name {
            "**" => Segment::Deep,
            name => Segment::Name(
                name.chars()
                    .map(|c| match c {
                        '*' => Token::Many,
                        '?' => Token::One,
                        c => Token::Character(c),
                    })
                    .collect(),
            ),
        };
        self.0.split('/').map(segment).collect()
    }
}

/// Whether both can be followed, name by name, to a pair of places at which `done` says so.
fn walk(left: &[Segment], right: &[Segment], done: impl Fn(usize, usize) -> bool) -> bool {
    reach(left.len(), right.len(), done, |at, there| match (left.get(at), right.get(there)) {
        (None, None) => Steps::default(),
        (l, r) => Steps {
            left: l == Some(&Segment::Deep) || (r == Some(&Segment::Deep) && l.is_some()),
            right: r == Some(&Segment::Deep) || (l == Some(&Segment::Deep) && r.is_some()),
            both: match (l, r) {
                (Some(Segment::Name(l)), Some(Segment::Name(r))) => meet(l, r),
                _ => false,
            },
        },
    })
}

/// Above this product of the lengths of two names that both have stars, comparing them to the end would cost too much.
const MOST_STEPS: usize = 512;

/// Whether there is a name that both match; if that is too costly to find out, whether it seems so.
fn meet(left: &[Token], right: &[Token]) -> bool {
    let starred = |tokens: &[Token]| tokens.contains(&Token::Many);
    match (starred(left), starred(right)) {
        (false, false) => left.len() == right.len() && fit(left.iter(), right.iter()),
        (true, false) => stretch(left, right),
        (false, true) => stretch(right, left),
        (true, true) => {
            fit(left.iter(), right.iter())
                && fit(left.iter().rev(), right.iter().rev())
                && (left.len() * right.len() > MOST_STEPS || meet_stars(left, right))
        }
    }
}

/// Whether a name with stars can be as `plain`, which has none: what stands between two stars is taken at the first place
/// that it fits.
fn stretch(starred: &[Token], plain: &[Token]) -> bool {
    let (mut at, mut there) = (0, 0);
    // Behind the last star so far, and where what follows it was tried last.
    let mut retry = None;
    while there < plain.len() {
        match starred.get(at) {
            Some(Token::Many) => {
                at += 1;
                retry = Some((at, there));
            }
            Some(token) if alike(*token, plain[there]) => (at, there) = (at + 1, there + 1),
            Some(_) | None => {
                let Some((star, tried)) = retry else { return false };
                (at, there) = (star, tried + 1);
                retry = Some((at, there));
            }
        }
    }
    starred[at..].iter().all(|token| *token == Token::Many)
}

/// Whether there is a name that both match, whatever stars they have.
fn meet_stars(left: &[Token], right: &[Token]) -> bool {
    let done = |at, there| at == left.len() && there == right.len();
    reach(left.len(), right.len(), done, |at, there| {
        let (l, r) = (left.get(at).copied(), right.get(there).copied());
        Steps {
            left: l == Some(Token::Many) || (r == Some(Token::Many) && l.is_some()),
            right: r == Some(Token::Many) || (l == Some(Token::Many) && r.is_some()),
            both: match (l, r) {
                (Some(Token::Many), _) | (_, Some(Token::Many)) => false,
                (Some(l), Some(r)) => alike(l, r),
                _ => false,
            },
        }
    })
}

/// Whether one character can be both.
fn alike(left: Token, right: Token) -> bool {
    left == Token::One || right == Token::One || left == right
}

/// Whether two names are alike up to the first star of either.
fn fit<'a>(left: impl Iterator<Item = &'a Token>, right: impl Iterator<Item = &'a Token>) -> bool {
    let pairs = left.zip(right).take_while(|(l, r)| **l != Token::Many && **r != Token::Many);
    pairs.into_iter().all(|(l, r)| alike(*l, *r))
}

/// How two sequences can be followed from one pair of places.
#[derive(Default)]
struct Steps {
    left: bool,
    right: bool,
    both: bool,
}

/// Whether `done` is reached from the start of two sequences of these lengths.
fn reach(
    left: usize,
    right: usize,
    done: impl Fn(usize, usize) -> bool,
    steps: impl Fn(usize, usize) -> Steps,
) -> bool {
    let mut reached = vec![false; (left + 2) * (right + 2)];
    let place = |at: usize, there: usize| at * (right + 2) + there;
    reached[place(0, 0)] = true;
    for at in 0..=left {
        for there in 0..=right {
            if !reached[place(at, there)] {
                continue;
            }
            if done(at, there) {
                return true;
            }
            let steps = steps(at, there);
            reached[place(at + 1, there)] |= steps.left;
            reached[place(at, there + 1)] |= steps.right;
            reached[place(at + 1, there + 1)] |= steps.both;
        }
    }
    false
}

/// The one way to write a name: stars that say no more than one does are one.
fn tidy(name: &str) -> String {
    if name.len() > 1 && name.bytes().all(|byte| byte == b'*') {
        return "**".to_owned();
    }
    let mut tidy = String::new();
    for c in name.chars() {
        if c != '*' || !tidy.ends_with('*') {
            tidy.push(c);
        }
    }
    tidy
}

impl FromStr for Glob {
    type Err = ParseGlobError;

    fn from_str(text: &str) -> Result<Self, ParseGlobError> {
        let text = text.trim();
        if text.len() > MAX_GLOB_BYTES {
            return Err(ParseGlobError::TooLong);
        }
        if text.chars().any(|c| c == '\\' || c.is_control()) {
            return Err(ParseGlobError::Character);
        }
        let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
        if text.starts_with('/') || drive {
            return Err(ParseGlobError::Absolute);
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let name = tidy(name);
            if name == ".." {
                return Err(ParseGlobError::Parent);
            }
            if name != "**" || names.last().is_none_or(|last| last != "**") {
                names.push(name);
            }
        }
        if names.is_empty() { Err(ParseGlobError::Empty) } else { Ok(Self(names.join("/"))) }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_are_spelled_in_one_way() {
        for (text, spelled) in [
            ("src/", "src"),
            ("./src//core/.", "src/core"),
            ("src/**/**/x", "src/**/x"),
            ("a***b/***", "a*b/**"),
            (" docs/a b.md ", "docs/a b.md"),
        ] {
            assert_eq!(glob(text).to_string(), spelled, "{text}");
            assert_eq!(glob(spelled).to_string(), spelled, "{spelled}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, error) in [
            ("", ParseGlobError::Empty),
            ("./", ParseGlobError::Empty),
            ("/etc/passwd", ParseGlobError::Absolute),
            ("C:/x", ParseGlobError::Absolute),
            ("../x", ParseGlobError::Parent),
            ("a/../b", ParseGlobError::Parent),
            ("a\\b", ParseGlobError::Character),
            ("a\u{7}b", ParseGlobError::Character),
            (&"x".repeat(MAX_GLOB_BYTES + 1), ParseGlobError::TooLong),
        ] {
            assert_eq!(text.parse::<Glob>(), Err(error), "{text}");
        }
    }

    #[test]
    fn patterns_cover_what_they_match_and_what_is_below() {
        for (pattern, path, covers) in [
            ("src", "src/a/b.rs", true),
            ("src", "src", true),
            ("src", "srcs/a", false),
            ("src/a.rs", "src", false),
            ("src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("src/**/*.rs", "src/b.rs", true),
            ("src/**/*.rs", "src/a/c/b.rs", true),
            ("**/tests", "a/tests/x.rs", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("app/[id].tsx", "app/[id].tsx", true),
            ("app/[id].tsx", "app/i.tsx", false),
            ("*.md", "docs/a.md", false),
            ("a*b*c", "aXbYbZc", true),
            ("x", "*", false),
        ] {
            assert_eq!(glob(pattern).covers(path), covers, "{pattern} and {path}");
        }
    }

    #[test]
    fn patterns_overlap_if_some_path_is_in_both() {
        for (one, other, overlaps) in [
            ("src", "src/a.rs", true),
            ("src/**", "src/a.rs", true),
            ("src/*.rs", "src/a*", true),
            ("src/*.rs", "src/*.md", false),
            ("src/*.rs", "docs", false),
            ("**/*.rs", "crdt/src", true),
            ("a/**/z", "a/b", true),
            ("a/**/z", "b/**/z", false),
            ("ab*", "*ba", true),
            ("a?", "b?", false),
            ("x*/y", "xx/*", true),
            (&format!("a{}*", "b".repeat(60)), &format!("*a{}", "c".repeat(60)), true),
            (&format!("a*{}", "b".repeat(60)), &format!("*a{}c", "b".repeat(60)), false),
        ] {
            assert_eq!(glob(one).overlaps(&glob(other)), overlaps, "{one} and {other}");
            assert_eq!(glob(other).overlaps(&glob(one)), overlaps, "{other} and {one}");
        }
    }

    #[test]
    fn patterns_that_leave_nothing_out_are_known() {
        for text in ["*", "**", "**/*", "*/*", "?*", "**/**"] {
            assert!(glob(text).is_everything(), "{text}");
        }
        for text in ["src/*", "*.rs", "**/*.rs", "a*", "?"] {
            assert!(!glob(text).is_everything(), "{text}");
        }
    }

    #[test]
    fn the_longest_patterns_are_compared_at_once() {
        let long = |c: &str| glob(&c.repeat(MAX_GLOB_BYTES / c.len()));
        let patterns = [long("?"), long("a"), long("*a"), long("a/"), long("**/a/"), long("?*")];
        for one in &patterns {
            for other in &patterns {
                // A thousand times: it is not slow even where it is done for all claims with each other.
                for _ in 0..1000 {
                    assert_eq!(one.overlaps(other), other.overlaps(one));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn names_meet_as_if_every_way_had_been_tried(one in "[ab*?]{1,12}", other in "[ab*?]{1,12}") {
            let tokens = |text: &str| match glob(text).segments().remove(0) {
                Segment::Name(tokens) => tokens,
                Segment::Deep => vec![Token::Many],
            };
            let (one, other) = (tokens(&one), tokens(&other));
            prop_assert_eq!(meet(&one, &other), meet_stars(&one, &other));
            prop_assert_eq!(meet(&other, &one), meet_stars(&one, &other));
        }

        #[test]
        fn patterns_without_deep_folders_overlap_as_if_every_way_had_been_tried(
            one in "[ab*?]{1,3}(/[ab*?]{1,3}){0,3}",
            other in "[ab*?]{1,3}(/[ab*?]{1,3}){0,3}",
        ) {
            let (one, other) = (glob(&one), glob(&other));
            let (ours, theirs) = (one.segments(), other.segments());
            let tried = walk(&ours, &theirs, |left, right| left == ours.len() || right == theirs.len());
            prop_assert_eq!(one.overlaps(&other), tried);
        }

        #[test]
        fn two_patterns_that_cover_one_path_overlap(
            one in "[ab*?]{1,4}(/([ab*?]{1,3}|\\*\\*)){0,3}",
            other in "[ab*?]{1,4}(/([ab*?]{1,3}|\\*\\*)){0,3}",
            path in "[ab]{1,3}(/[ab]{1,3}){0,4}",
        ) {
            let (one, other) = (glob(&one), glob(&other));
            prop_assert!(!(one.covers(&path) && other.covers(&path)) || one.overlaps(&other));
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
            prop_assert!(one.overlaps(&one));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
        }
    }
}
