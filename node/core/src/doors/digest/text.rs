//! The text of a digest: parts that share a bounded room.

/// Most bytes of one line.
const LINE_BYTES: usize = 240;
/// The least bytes of a line that is cut: less says nothing.
const LEAST_BYTES: usize = 40;
/// How much of its first line a part gets, although that is more than its share.
const FIRST_BYTES: usize = 80;
/// How much of a text that is too short for everything says what it leaves out: a part of so many.
const CLOSING_PART: usize = 4;
/// Most bytes of that.
const CLOSING_BYTES: usize = 320;

/// One part.
#[derive(Debug)]
pub(super) struct Part {
    /// The lower, the sooner it gets room.
    rank: u8,
    head: &'static str,
    lines: Vec<String>,
    /// How many more lines there would be, which were not looked at.
    more: u64,
    /// What its lines are.
    what: &'static str,
    /// The command that shows them all.
    see: &'static str,
}

impl Part {
    pub(super) fn new(rank: u8, head: &'static str, lines: Vec<String>, what: &'static str, see: &'static str) -> Self {
        Self { rank, head, lines, more: 0, what, see }
    }

    /// The same, with so many lines besides that were not looked at.
    pub(super) fn and_more(self, more: u64) -> Self {
        Self { more, ..self }
    }

    /// The room for its first line, or for the beginning of it.
    fn least(&self) -> usize {
        let first = self.lines.first().map(|line| line.len().min(FIRST_BYTES));
        first.map_or(0, |first| self.head.len() + "\n- \n".len() + first)
    }

    /// As many lines as fit into `room`, the last one cut if it has to be, and how many those are.
    fn fill(&self, room: usize) -> (String, u64) {
        let mut text = String::new();
        let mut shown = 0;
        for line in &self.lines {
            let frame = if text.is_empty() { self.head.len() + 1 } else { 0 } + "- \n".len();
            let left = room.saturating_sub(text.len() + frame);
            let Some(line) = cut(line, left) else { break };
            if text.is_empty() {
                text.push_str(self.head);
                text.push('\n');
            }
            text.push_str("- ");
            text.push_str(&line);
            text.push('\n');
            shown += 1;
            if line.ends_with(CUT) && !self.lines[shown - 1].ends_with(CUT) {
                break;
            }
        }
        (text, shown as u64)
    }
}

/// What stands where a line was cut.
const CUT: char = '…';

/// A line as far as it fits, if enough of it does.
fn cut(line: &str, room: usize) -> Option<String> {
    if line.len() <= room {
        return Some(line.to_owned());
    }
    let most = room.checked_sub(CUT.len_utf8()).filter(|_| room >= LEAST_BYTES)?;
    Some(format!("{}{CUT}", line[..line.floor_char_boundary(most)].trim_end()))
}

/// A text and how many lines it leaves out.
#[derive(Debug)]
pub(super) struct LaidOut {
    pub(super) text: String,
    pub(super) left_out: u64,
}

/// Lays parts out in a text of at most `limit` bytes, in their order.
pub(super) fn lay_out(parts: Vec<Part>, limit: usize) -> LaidOut {
    let (mut text, mut left_out) = fill(&parts, limit);
    if closings(&left_out)[0].len() > limit - text.len() {
        let reserve = (limit / CLOSING_PART).min(CLOSING_BYTES);
        (text, left_out) = fill(&parts, limit - reserve);
    }
    let room = limit - text.len();
    let closing = closings(&left_out).into_iter().find(|closing| closing.len() <= room);
    text.push_str(&closing.unwrap_or_default());
    LaidOut { text, left_out: left_out.iter().map(|(_, count)| count).sum() }
}

/// Fills a text, and says of which parts how many lines were left out.
fn fill(parts: &[Part], limit: usize) -> (String, Vec<(&Part, u64)>) {
    let mut by_rank: Vec<(usize, &Part)> = parts.iter().enumerate().collect();
    by_rank.sort_by_key(|(_, part)| part.rank);
    let mut filled: Vec<(usize, String, u64)> = Vec::new();
    let mut left = limit;
    let last = by_rank.len().saturating_sub(1);
    for (number, (place, part)) in by_rank.into_iter().enumerate() {
        let room = if number == last { left } else { left.min(part.least().max(left / 2)) };
        let (text, shown) = part.fill(room);
        left -= text.len();
        filled.push((place, text, shown));
    }
    // What one part did not need, another may.
    for (place, text, shown) in &mut filled {
        let part = &parts[*place];
        if *shown < part.lines.len() as u64 {
            (*text, *shown) = refill(part, text, *shown, &mut left);
        }
    }
    filled.sort_by_key(|(place, ..)| *place);
    let rest = |(place, _, shown): &(usize, String, u64)| {
        let part = &parts[*place];
        (part, part.lines.len() as u64 - shown + part.more)
    };
    let left_out = filled.iter().map(rest).filter(|(_, count)| *count > 0).collect();
    (filled.iter().map(|(_, text, _)| text.as_str()).collect(), left_out)
}

/// Fills a part anew with the room that is left over.
fn refill(part: &Part, text: &str, shown: u64, left: &mut usize) -> (String, u64) {
    let (more, count) = part.fill(text.len() + *left);
    if count < shown || more.len() < text.len() {
        return (text.to_owned(), shown);
    }
    *left = *left + text.len() - more.len();
    (more, count)
}

/// Ways to say what was left out, the fullest first; nothing if nothing was.
fn closings(left_out: &[(&Part, u64)]) -> [String; 3] {
    if left_out.is_empty() {
        return Default::default();
    }
    let with = |name: fn(&Part) -> String| {
        let named: Vec<String> = left_out.iter().map(|(part, count)| format!("{count} {}", name(part))).collect();
        format!("Left out: {}\n", named.join(", "))
    };
    let count: u64 = left_out.iter().map(|(_, count)| count).sum();
    [
        with(|part| format!("{} (fedp2p {})", part.what, part.see)),
        with(|part| part.what.to_owned()),
        format!("Left out: {count}, more with --tokens\n"),
    ]
}

/// A text on one line, without what acts on a screen, and cut where it is long.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !hides(*c)));
        if out.len() > LINE_BYTES {
            break;
        }
    }
    if out.len() > LINE_BYTES {
        let end = (0..=LINE_BYTES - 3).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        out.truncate(end);
        out.push('…');
    }
    out
}

/// Whether a character turns the direction of reading around, or cannot be seen.
fn hides(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_does_nothing_to_a_screen() {
        assert_eq!(plain("one\n two\u{1b}[2J \u{202e}three"), "one two [2J three");
        let long = plain(&"ü".repeat(500));
        assert!(long.len() <= LINE_BYTES && long.ends_with('…'));
    }

    fn parts() -> Vec<Part> {
        let lines = |letter: &str, length: usize, count: usize| vec![letter.repeat(length); count];
        vec![
            Part::new(1, "First:", lines("x", 90, 3), "first", "inbox"),
            Part::new(0, "Second:", lines("y", 200, 2), "second", "vote list"),
            Part::new(2, "Third:", lines("z", 20, 3), "third", "pulse").and_more(7),
        ]
    }

    #[test]
    fn a_text_is_never_longer_than_it_may_be_and_counts_what_it_leaves_out() {
        for limit in 0..1000 {
            let LaidOut { text, left_out } = lay_out(parts(), limit);
            assert!(text.len() <= limit, "{limit}: {text}");
            let lines = text.lines().filter(|line| line.starts_with('-')).count() as u64;
            assert_eq!(lines + left_out, 8 + 7, "{limit}: {text}");
            assert!(limit < 140 || text.contains("Left out: "), "{limit}: {text}");
        }
    }

    #[test]
    fn what_matters_most_is_cut_before_it_is_left_out() {
        let text = lay_out(parts(), 200).text;
        assert!(text.contains("Second:\n- yyyy") && text.contains('…'), "{text}");
        assert!(text.ends_with("more with --tokens\n") || text.ends_with("third\n"), "{text}");
        let text = lay_out(parts(), 900).text;
        assert!(text.ends_with("Left out: 7 third (fedp2p pulse)\n"), "{text}");
        assert!(text.starts_with("First:\n"), "{text}");
    }
}
