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
pub struct Glob {
    text: Box<str>,
    /// How many bytes stand before the first wildcard: all, if there is none.
    plain: u16,
}

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

/// A name that stands for any number of folders.
const DEEP: &str = "**";

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
        &self.text
    }

    /// Whether it has a `*` or a `?`.
    pub fn has_wildcards(&self) -> bool {
        usize::from(self.plain) < self.text.len()
    }

    /// The first name, unless that has a wildcard. Patterns whose first names differ do not overlap.
    pub fn first_name(&self) -> Option<&str> {
        self.text.split('/').next().filter(|name| name.len() <= self.plain.into())
    }

    /// Whether this path is covered: the pattern matches it or a folder that it is in.
    pub fn covers(&self, path: &str) -> bool {
        // What is below is covered as well.
        let names = self.text.split('/').chain([DEEP]);
        stretch(names, path.split('/'), |name| *name == DEEP, |name, plain| matches(name, plain))
    }

    /// Whether there can be a path that both cover.
    pub fn overlaps(&self, other: &Self) -> bool {
        // Most differ long before the first wildcard of either.
        let common = usize::from(self.plain.min(other.plain));
        if self.text.as_bytes()[..common] != other.text.as_bytes()[..common] {
            return false;
        }
        let from = self.text[..common].rfind('/').map_or(0, |at| at + 1);
        let pairs = self.text[from..].split('/').zip(other.text[from..].split('/'));
        // Folders of any depth on one side can be whatever the other has from there on, as what is below is covered.
        pairs.take_while(|(left, right)| *left != DEEP && *right != DEEP).all(|(left, right)| meet(left, right))
    }

    /// Whether it leaves nothing out, such as `*`, `**` and `**/*`.
    pub fn is_everything(&self) -> bool {
        self.text.split('/').all(|name| name.contains('*') && name.bytes().all(|byte| matches!(byte, b'*' | b'?')))
    }
}

/// What a name of a pattern says.
fn tokens(name: &str) -> impl DoubleEndedIterator<Item = Token> + Clone + '_ {
    name.chars().map(|c| match c {
        '*' => Token::Many,
        '?' => Token::One,
        c => Token::Character(c),
    })
}

/// Whether a name of a pattern matches a name of a path, in which nothing is special.
fn matches(name: &str, plain: &str) -> bool {
    let fits = |token: &Token, character: &char| alike(*token, Token::Character(*character));
    stretch(tokens(name), plain.chars(), |token| *token == Token::Many, fits)
}

/// Whether what is starred can be as `plain`: what stands between two stars is taken at the first place that it fits.
fn stretch<S, P>(
    starred: impl Iterator<Item = S> + Clone,
    plain: impl Iterator<Item = P> + Clone,
    is_star: impl Fn(&S) -> bool,
    fits: impl Fn(&S, &P) -> bool,
) -> bool {
    let (mut at, mut there) = (starred, plain);
    // Behind the last star so far, and where what follows it was tried last.
    let mut retry = None;
    loop {
        let (mut next, mut rest) = (at.clone(), there.clone());
        let Some(plain) = rest.next() else { break };
        match next.next() {
            Some(star) if is_star(&star) => {
                retry = Some((next.clone(), there.clone()));
                at = next;
            }
            Some(other) if fits(&other, &plain) => (at, there) = (next, rest),
            Some(_) | None => {
                let Some((star, tried)) = &mut retry else { return false };
                tried.next();
                (at, there) = (star.clone(), tried.clone());
            }
        }
    }
    at.all(|left| is_star(&left))
}

/// Above this product of the lengths of a name with several stars and one without, comparing them to the end would cost
/// too much.
const MOST_STEPS: usize = 512;

/// Whether there is a name that both match; if that is too costly to find out, whether it seems so.
fn meet(left: &str, right: &str) -> bool {
    // Both often begin alike where they are compared, so that they differ is seen sooner from behind.
    if !fit(tokens(left).rev(), tokens(right).rev()) || !fit(tokens(left), tokens(right)) {
        return false;
    }
    let lengths = |name: &str| (name.bytes().filter(|byte| *byte == b'*').count(), name.chars().count());
    let ((stars_left, left_length), (stars_right, right_length)) = (lengths(left), lengths(right));
    match (stars_left, stars_right) {
        (0, 0) => left_length == right_length,
        (stars, 0) => fills(left, left_length, stars, right, right_length),
        (0, stars) => fills(right, right_length, stars, left, left_length),
        // What the stars of one stand for can hold all that stands between those of the other.
        (_, _) => true,
    }
}

/// Whether a name with stars can be as `plain`, which has none, if it fits at both ends; if that is too costly to find
/// out, whether it seems so.
fn fills(starred: &str, length: usize, stars: usize, plain: &str, plain_length: usize) -> bool {
    let is_star = |token: &Token| *token == Token::Many;
    let fits = |left: &Token, right: &Token| alike(*left, *right);
    plain_length + stars >= length
        && (stars == 1 || length * plain_length > MOST_STEPS || stretch(tokens(starred), tokens(plain), is_star, fits))
}

/// Whether one character can be both.
fn alike(left: Token, right: Token) -> bool {
    left == Token::One || right == Token::One || left == right
}

/// Whether two names are alike up to the first star of either.
fn fit(left: impl Iterator<Item = Token>, right: impl Iterator<Item = Token>) -> bool {
    let mut pairs = left.zip(right).take_while(|(left, right)| *left != Token::Many && *right != Token::Many);
    pairs.all(|(left, right)| alike(left, right))
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
        if names.is_empty() {
            return Err(ParseGlobError::Empty);
        }
        let text = names.join("/").into_boxed_str();
        let plain = text.find(['*', '?']).unwrap_or(text.len());
        Ok(Self { plain: u16::try_from(plain).expect("a pattern is short"), text })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
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

    fn names(text: &str) -> Vec<&str> {
        text.split('/').collect()
    }

    /// Whether `done` is reached from the start of two sequences if every way is tried to follow them.
    fn tried<T: Copy>(
        left: &[T],
        right: &[T],
        is_star: impl Fn(&T) -> bool,
        fits: impl Fn(T, T) -> bool,
        done: impl Fn(usize, usize) -> bool,
    ) -> bool {
        let mut reached = vec![vec![false; right.len() + 2]; left.len() + 2];
        reached[0][0] = true;
        for at in 0..=left.len() {
            for there in 0..=right.len() {
                if !reached[at][there] {
                    continue;
                }
                if done(at, there) {
                    return true;
                }
                let (l, r) = (left.get(at).copied(), right.get(there).copied());
                let (star_left, star_right) = (l.as_ref().is_some_and(&is_star), r.as_ref().is_some_and(&is_star));
                reached[at + 1][there] |= star_left || (star_right && l.is_some());
                reached[at][there + 1] |= star_right || (star_left && r.is_some());
                let pair = l.zip(r).filter(|_| !star_left && !star_right);
                reached[at + 1][there + 1] |= pair.is_some_and(|(l, r)| fits(l, r));
            }
        }
        false
    }

    fn tried_names(left: &str, right: &str) -> bool {
        let (left, right): (Vec<Token>, Vec<Token>) = (tokens(left).collect(), tokens(right).collect());
        let done = |at, there| at == left.len() && there == right.len();
        tried(&left, &right, |token| *token == Token::Many, alike, done)
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
            let (one, other) = (tidy(&one), tidy(&other));
            prop_assume!(one != DEEP && other != DEEP);
            prop_assert_eq!(meet(&one, &other), tried_names(&one, &other));
            prop_assert_eq!(meet(&other, &one), tried_names(&one, &other));
        }

        #[test]
        fn patterns_overlap_as_if_every_way_had_been_tried(
            one in "[ab*?]{1,3}(/[ab*?]{1,3}){0,3}",
            other in "[ab*?]{1,3}(/[ab*?]{1,3}){0,3}",
        ) {
            let (one, other) = (glob(&one), glob(&other));
            let (left, right) = (names(one.as_str()), names(other.as_str()));
            let done = |at, there| at == left.len() || there == right.len();
            prop_assert_eq!(one.overlaps(&other), tried(&left, &right, |name| *name == DEEP, tried_names, done));
            prop_assert_eq!(one.first_name() != other.first_name() && one.first_name().is_some()
                && other.first_name().is_some() && one.overlaps(&other), false);
        }

        #[test]
        fn patterns_cover_paths_as_if_every_way_had_been_tried(
            pattern in "[ab*?]{1,4}(/([ab*?]{1,3}|\\*\\*)){0,3}",
            path in "[ab]{1,3}(/[ab]{1,3}){0,4}",
        ) {
            let pattern = glob(&pattern);
            let (left, right) = (names(pattern.as_str()), names(&path));
            let done = |at, _| at == left.len();
            prop_assert_eq!(pattern.covers(&path), tried(&left, &right, |name| *name == DEEP, tried_names, done));
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
