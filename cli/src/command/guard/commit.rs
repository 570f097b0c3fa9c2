//! How git was called to make a commit: by the words of its process, as it tells its hooks nothing of that.

use std::fs::File;
use std::io::Read;
use std::process::Command;

/// Most bytes that are looked at; the system allows about as many.
const MAX_WORDS: u64 = 4 * 1024 * 1024;
/// Options of `git commit` whose value is the next word.
const VALUED: [&str; 13] = [
    "--author",
    "--cleanup",
    "--date",
    "--file",
    "--fixup",
    "--message",
    "--pathspec-from-file",
    "--reedit-message",
    "--reuse-message",
    "--squash",
    "--template",
    "--trailer",
    "--unified",
];
/// The same as letters.
const VALUED_LETTERS: [char; 6] = ['m', 'F', 'C', 'c', 't', 'U'];

/// Returns the words that a process was started with; none if the system does not say.
pub(super) fn words_of(process: u32) -> Vec<String> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{process}/cmdline"));
    if file.and_then(|file| file.take(MAX_WORDS).read_to_end(&mut bytes)).is_ok() {
        return bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    }
    // This does not say where a word ends: one with spaces in it is taken for several.
    let printed = Command::new("ps").args(["-o", "args=", "-p"]).arg(process.to_string()).output();
    let printed = printed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    printed.split_whitespace().map(str::to_owned).collect()
}

/// Whether these words of git make a commit that takes the place of the last one.
pub(super) fn amends(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str).skip_while(|word| *word != "commit").skip(1);
    let mut amends = false;
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        // Git takes the beginning of an option for the whole.
        let is = |option: &str, least: usize| word.len() >= least && option.starts_with(word);
        if is("--amend", "--am".len()) {
            amends = true;
        } else if is("--no-amend", "--no-am".len()) {
            amends = false;
        } else if has_value_after(word) {
            words.next();
        }
    }
    amends
}

/// Whether the word after this one is its value.
fn has_value_after(word: &str) -> bool {
    if word.starts_with("--") {
        return VALUED.contains(&word);
    }
    // Of several letters in one word, the first that has a value takes the rest of the word for it.
    let Some(letters) = word.strip_prefix('-') else { return false };
    letters.find(VALUED_LETTERS).is_some_and(|at| at + 1 == letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_option_amends_and_not_what_a_message_says() {
        let amends = |words: &[&str]| amends(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        for words in [
            &["git", "commit", "--amend", "--no-edit"][..],
            &["git", "-C", "/x", "commit", "-a", "--ame", "-m", "again"],
            &["git", "commit", "-am", "message", "--am"],
            &["git", "commit", "-mmessage", "--amend"],
            &["git", "commit", "--no-amend", "--amend"],
        ] {
            assert!(amends(words), "{words:?}");
        }
        for words in [
            &["git", "commit", "-m", "explain the --amend flag"][..],
            &["git", "commit", "-m", "--amend"],
            &["git", "commit", "-qam", "--amend"],
            &["git", "commit", "--message", "--amend"],
            &["git", "commit", "--message=--amend"],
            &["git", "commit", "--amend", "--no-amend"],
            &["git", "commit", "-m", "x", "--", "--amend"],
            &["git", "commit", "--author", "A <a@x>", "--allow-empty"],
            &["git", "--amend"],
            &[],
        ] {
            assert!(!amends(words), "{words:?}");
        }
    }

    #[test]
    fn words_of_a_process_are_whole() {
        let own = words_of(std::process::id());
        let expected: Vec<String> = std::env::args().collect();
        assert!(own.starts_with(&expected), "{own:?}");
    }
}
