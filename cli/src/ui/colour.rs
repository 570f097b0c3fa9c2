//! Colour, where the terminal has it and the reader wants it. Nothing is said by colour alone.

use clap::ValueEnum;

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Also into pipes and files.
    Always,
    /// Nowhere.
    Never,
}

impl When {
    /// Returns whether to use colour on a stream. `no_color` is whether the variable of that name says something.
    pub(crate) fn decide(self, terminal: bool, no_color: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && !no_color,
        }
    }
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    #[default]
    Plain,
    /// Titles and names.
    Strong,
    /// What matters less.
    Faint,
    /// Well.
    Good,
    /// Not yet well.
    Doubtful,
    /// Not well.
    Bad,
}

/// Puts colour on text, or leaves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// With or without colour.
    pub(crate) fn new(on: bool) -> Self {
        Self { on }
    }

    /// Returns `text` in `style`.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => "",
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Doubtful => "33",
            Style::Bad => "31",
        };
        if !self.on || code.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Returns `text` as a title or a name.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(Style::Strong, text)
    }

    /// Returns `text` as what matters less.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint(Style::Faint, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_said_otherwise() {
        assert!(When::Auto.decide(true, false));
        assert!(!When::Auto.decide(false, false));
        assert!(!When::Auto.decide(true, true));
        assert!(When::Always.decide(false, true));
        assert!(!When::Never.decide(true, false));
    }

    #[test]
    fn without_colour_text_is_left_alone() {
        assert_eq!(Paint::new(false).paint(Style::Bad, "x"), "x");
        assert_eq!(Paint::new(true).paint(Style::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
