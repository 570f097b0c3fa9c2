//! Tables that align by what a screen shows and fit its width.
//!
//! On a terminal, long cells wrap and the least important columns give way; into a pipe every row is one line, whole.
//! Cells are made harmless here, so a table may be filled with peers' text as it is.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::colour::{Paint, Style};
use super::escape;

const GAP: &str = "  ";
/// What a column is not squeezed below.
const LEAST_WIDTH: usize = 12;
/// Lines that one cell may take before it is cut.
const MOST_LINES: usize = 4;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Keeps its width.
    Fixed,
    /// Numbers: keeps its width, aligned to the right.
    Number,
    /// Text that may wrap.
    Text,
    /// Text that may wrap, in a column that goes first when there is no room.
    Spare,
}

impl Column {
    /// A column of short words.
    pub(crate) const fn fixed(title: &'static str) -> Self {
        Self { title, kind: Kind::Fixed }
    }

    /// A column of numbers.
    pub(crate) const fn number(title: &'static str) -> Self {
        Self { title, kind: Kind::Number }
    }

    /// A column of text.
    pub(crate) const fn text(title: &'static str) -> Self {
        Self { title, kind: Kind::Text }
    }

    /// A column of text that can be left out where there is no room.
    pub(crate) const fn spare(title: &'static str) -> Self {
        Self { title, kind: Kind::Spare }
    }

    fn wraps(self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Spare)
    }
}

/// One cell: a line of harmless text and how it looks.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in a style.
    pub(crate) fn styled(text: &str, style: Style) -> Self {
        Self { text: escape::line(text), style }
    }

    /// A cell that may have nothing to say.
    pub(crate) fn maybe(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).map_or_else(|| Self::styled("—", Style::Faint), Self::from)
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text.as_ref(), Style::Plain)
    }
}

/// Rows under titles.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Returns the table as text, within `width` characters if that is known.
    pub(crate) fn render(&self, width: Option<usize>, paint: Paint) -> String {
        let mut widths = self.natural_widths();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        if let Some(width) = width {
            self.fit(&mut widths, &mut shown, width);
        }
        let titles = self.columns.iter().map(|column| Cell::styled(column.title, Style::Strong)).collect::<Vec<_>>();
        let mut out = String::new();
        self.render_row(&titles, &widths, &shown, paint, &mut out);
        let rule: Vec<String> = shown.iter().map(|&at| "─".repeat(widths[at])).collect();
        out.push_str(&paint.faint(&rule.join(GAP)));
        out.push('\n');
        for row in &self.rows {
            self.render_row(row, &widths, &shown, paint, &mut out);
        }
        out
    }

    fn natural_widths(&self) -> Vec<usize> {
        let width = |at: usize, column: &Column| {
            let cells = self.rows.iter().map(|row| row[at].text.width());
            cells.chain([column.title.width()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(|(at, column)| width(at, column)).collect()
    }

    /// Takes away spare columns, then width of the widest text, until the table fits or nothing can give way.
    fn fit(&self, widths: &mut [usize], shown: &mut Vec<usize>, width: usize) {
        let least = |at: usize, natural: usize| {
            if self.columns[at].wraps() { natural.min(LEAST_WIDTH) } else { natural }
        };
        let gaps = |shown: &[usize]| GAP.len() * shown.len().saturating_sub(1);
        while shown.iter().map(|&at| least(at, widths[at])).sum::<usize>() + gaps(shown) > width {
            let Some(spare) = shown.iter().rposition(|&at| self.columns[at].kind == Kind::Spare) else {
                break;
            };
            shown.remove(spare);
        }
        loop {
            let total = shown.iter().map(|&at| widths[at]).sum::<usize>() + gaps(shown);
            let squeezable = shown.iter().copied().filter(|&at| self.columns[at].wraps() && widths[at] > LEAST_WIDTH);
            match squeezable.max_by_key(|&at| widths[at]) {
                Some(widest) if total > width => widths[widest] -= 1,
                _ => return,
            }
        }
    }

    fn render_row(&self, row: &[Cell], widths: &[usize], shown: &[usize], paint: Paint, out: &mut String) {
        let cells: Vec<Vec<String>> = shown.iter().map(|&at| wrap(&row[at].text, widths[at])).collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..lines {
            let mut text = String::new();
            for (cell, &at) in cells.iter().zip(shown) {
                let part = cell.get(line).map_or("", String::as_str);
                let space = " ".repeat(widths[at].saturating_sub(part.width()));
                let part = paint.paint(row[at].style, part);
                match self.columns[at].kind {
                    Kind::Number => text.extend([space.as_str(), part.as_str(), GAP]),
                    Kind::Fixed | Kind::Text | Kind::Spare => text.extend([part.as_str(), space.as_str(), GAP]),
                }
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
}

/// Breaks `text` into lines of at most `width`, between words where it can.
fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a last line");
        let joint = usize::from(!line.is_empty());
        if line.width() + joint + word.width() <= width {
            line.push_str(&" "[..joint]);
            line.push_str(word);
        } else {
            lines.extend(pieces(word, width));
            lines.retain(|line| !line.is_empty());
        }
    }
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES);
        let last = lines.pop().unwrap_or_default();
        lines.push(cut(&format!("{last} …"), width));
    }
    lines
}

/// Breaks a word that may be longer than a line.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in word.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        used += wide;
        pieces.last_mut().expect("there is always a last piece").push(c);
    }
    pieces
}

/// Returns `text` cut to `width` with an ellipsis if it is longer.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Paint {
        Paint::new(false)
    }

    fn pulse() -> Table {
        let mut table = Table::new(&[
            Column::fixed("Agent"),
            Column::text("Thinking"),
            Column::spare("Wondering"),
            Column::number("Age"),
        ]);
        table.row([
            "taichi@taichi".into(),
            "considering OAuth2 versus JWT for the gateway".into(),
            "should we support refresh tokens?".into(),
            "5s".into(),
        ]);
        table.row(["人工@baby".into(), Cell::maybe(None), Cell::maybe(Some("")), "12m".into()]);
        table
    }

    #[test]
    fn columns_align_by_what_is_seen() {
        let text = pulse().render(None, plain());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("Agent          Thinking"), "{text}");
        assert!(lines[3].starts_with("人工@baby      —"), "{text}");
        assert_eq!(lines[2].width(), lines[3].width());
    }

    #[test]
    fn narrow_terminals_wrap_text_and_never_overflow() {
        for width in [40, 50, 60, 80, 100] {
            let text = pulse().render(Some(width), plain());
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            assert!(text.contains("JWT"), "{text}");
        }
    }

    #[test]
    fn spare_columns_go_first() {
        assert!(!pulse().render(Some(40), plain()).contains("Wondering"));
        assert!(pulse().render(Some(80), plain()).contains("Wondering"));
    }

    #[test]
    fn cells_cannot_break_the_table() {
        let mut table = Table::new(&[Column::fixed("A")]);
        table.row(["x\ny\u{1b}[31m".into()]);
        assert_eq!(table.render(None, plain()).lines().count(), 3);
    }

    #[test]
    fn long_words_are_broken_and_long_cells_are_cut() {
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        let lines = wrap(&"word ".repeat(40), 10);
        assert_eq!(lines.len(), MOST_LINES);
        assert!(lines[MOST_LINES - 1].ends_with('…'));
        assert!(lines.iter().all(|line| line.width() <= 10));
    }

    #[test]
    fn cutting_counts_wide_characters_twice() {
        assert_eq!(cut("人工知能", 5), "人工…");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn colour_does_not_change_the_width() {
        let mut table = Table::new(&[Column::fixed("State"), Column::fixed("Next")]);
        table.row([Cell::styled("gone", Style::Bad), "x".into()]);
        let text = table.render(None, Paint::new(true));
        assert!(text.contains("\u{1b}[31mgone\u{1b}[0m   x"), "{text:?}");
    }
}
