//! Words as a shell takes them.

/// A word in quotes, whatever is in it.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A word as it is if every shell takes it so, else in quotes.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-=:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_split_is_quoted() {
        assert_eq!(word("/usr/bin/fedp2p"), "/usr/bin/fedp2p");
        assert_eq!(word("/my home/it's"), "'/my home/it'\\''s'");
        assert_eq!(word(""), "''");
    }
}
