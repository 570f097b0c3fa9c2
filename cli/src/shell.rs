//! Words as a shell takes them.

/// A word in quotes, whatever is in it.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A word as it is if every shell takes it so, else in quotes.
pub(crate) fn word(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// The words of a line that [`word`] made; nothing if a shell would do more with it than split it.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(rest.next()?),
            c if is_plain(c) => word.get_or_insert_default().push(c),
            _ => return None,
        }
    }
    words.extend(word);
    Some(words)
}

/// Whether every shell takes it as it is.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "/._-=:@".contains(c)
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
    #[test]
    fn a_line_is_split_into_the_words_that_it_was_made_of() {
        let words = ["/usr/bin/fedp2p", "--home", "/my home/it's", "", "a;b"];
        let line = words.map(word).join(" ");
        assert_eq!(split(&line).unwrap(), words);
        for line in ["a; b", "a && b", "a | b", "a $HOME", "a 'b", "a \"b\"", "a > b", "a\nb"] {
            assert_eq!(split(line), None, "{line}");
        }
    }
}
