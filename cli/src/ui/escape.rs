//! Makes text from elsewhere harmless on a screen.
//!
//! Peers write what they like. On a terminal some characters do things instead of showing: they move the cursor, turn
//! the reading direction around or hide. Here such characters become visible escapes such as `\u{1b}`, so a message
//! can neither forge a line of ours nor hide what it says. JSON output does not pass through here: it is data.

/// Returns `text` on one line, with everything that does not simply show made visible.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// Returns `text` as lines, each behind `prefix`, so that none of them can be taken for a line of ours.
pub(crate) fn block(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len() + prefix.len());
    for part in text.split('\n') {
        out.push_str(prefix);
        for c in part.strip_suffix('\r').unwrap_or(part).chars() {
            match c {
                '\t' => out.push_str("    "),
                c => push(&mut out, c),
            }
        }
        out.push('\n');
    }
    out
}

/// Returns `text` with its lines as they are and everything else made visible that does not simply show.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c => push(&mut out, c),
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' | '\r' | '\t' => out.extend(c.escape_default()),
        c if acts_or_hides(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Whether `c` does something to a screen or to the text around it, or cannot be seen at all.
fn acts_or_hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, joiners, and marks of direction.
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{200b}'..='\u{200f}' |
            // Line and paragraph separators; embedding and override of direction.
            '\u{2028}'..='\u{202e}' |
            // Word joiner, invisible operators, isolates of direction, deprecated controls.
            '\u{2060}'..='\u{206f}' |
            // Fillers that show as nothing.
            '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}' |
            // Variation selectors, of which only the two for emoji are ordinary.
            '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' |
            // Byte order mark, annotations, non-characters.
            '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' |
            // Musical controls and tags.
            '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}' |
            // Private use: every font shows something else, or nothing.
            '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_is_left_alone() {
        for text in ["plain", "naïve café", "人工知能", "привет", "שלום", "मानक", "👍🏽 ok ❤\u{fe0f}"]
        {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn terminal_sequences_become_visible() {
        assert_eq!(line("\u{1b}[2J\u{7}"), "\\u{1b}[2J\\u{7}");
        assert_eq!(line("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(line("a\u{8}\u{7f}"), "a\\u{8}\\u{7f}");
    }

    #[test]
    fn hidden_and_turning_characters_become_visible() {
        let hidden = [
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{00ad}',
            '\u{e0041}',
            '\u{2028}',
            '\u{3164}',
        ];
        for c in hidden {
            let shown = line(&format!("a{c}b"));
            assert!(shown.starts_with("a\\u{") && shown.ends_with("}b"), "{shown}");
        }
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(line("a\r\nhint: run rm\tx"), "a\\r\\nhint: run rm\\tx");
    }

    #[test]
    fn a_text_keeps_its_lines() {
        assert_eq!(text("a\n\tb\r\u{1b}\u{202e}"), "a\n\tb\\r\\u{1b}\\u{202e}");
    }

    #[test]
    fn every_line_of_a_block_stands_behind_the_prefix() {
        assert_eq!(block("a\r\n\tb\nc\rd", "| "), "| a\n|     b\n| c\\rd\n");
        assert_eq!(block("", "| "), "| \n");
    }
}
