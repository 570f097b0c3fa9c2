//! What a file of figures says, and where it does not say it.
//!
//! Read by [`super::Plot`]. A table that was read has at least one row and one series, its x values never fall, every
//! number is finite, and on a logarithmic axis above zero.

use thiserror::Error;

/// Largest file.
pub(super) const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Most rows of figures.
pub(super) const MAX_ROWS: usize = 10_000;
/// Most series of one unit: so many can be told apart.
pub(super) const MAX_SERIES_PER_UNIT: usize = 7;
/// Most units, for each of which there is a panel.
pub(super) const MAX_UNITS: usize = 4;
/// Longest name of a column and longest title, in characters.
pub(super) const MAX_TEXT: usize = 100;

/// Endings of column names that are units, and how the unit is written, which may stand there too after a space. Longer
/// ones stand before those they end in.
const UNITS: [(&str, &str); 26] = [
    ("mb_per_s", "MB/s"),
    ("mib_per_s", "MiB/s"),
    ("kib_per_s", "KiB/s"),
    ("bytes_per_s", "bytes/s"),
    ("per_s", "1/s"),
    ("per_min", "1/min"),
    ("ns", "ns"),
    ("us", "µs"),
    ("ms", "ms"),
    ("s", "s"),
    ("min", "min"),
    ("h", "h"),
    ("bytes", "bytes"),
    ("kb", "kB"),
    ("mb", "MB"),
    ("gb", "GB"),
    ("kib", "KiB"),
    ("mib", "MiB"),
    ("gib", "GiB"),
    ("percent", "%"),
    ("cores", "cores"),
    ("hops", "hops"),
    ("nodes", "nodes"),
    ("ops", "ops"),
    ("messages", "messages"),
    ("connections", "connections"),
];

/// Why a file is not a table of figures.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TableError {
    /// It has more bytes than `MAX_FILE_BYTES`.
    #[error("larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// It has no line that names columns, or none with figures.
    #[error("no {0}")]
    Missing(&'static str),
    /// It has more of something than can be drawn.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A line is wrong.
    #[error("line {line}: {wrong}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong with it.
        wrong: String,
    },
}

/// Which axes are logarithmic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Logarithmic {
    /// The horizontal one.
    pub(super) x: bool,
    /// The vertical one.
    pub(super) y: bool,
}

/// What a column is called, and the unit of its figures; without one it counts something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The words.
    pub(super) words: String,
    /// The unit as it is written, or empty.
    pub(super) unit: &'static str,
}

/// A line of the picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// What it shows.
    pub(super) name: Name,
    /// Its points; a cell that was empty is none.
    pub(super) points: Vec<(f64, f64)>,
}

/// A file of figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// What stands above the picture.
    pub(super) title: Option<String>,
    /// What stands beside the vertical axis, instead of what the names of the series have in common.
    pub(super) y_title: Option<String>,
    /// Which axes are logarithmic.
    pub(super) logarithmic: Logarithmic,
    /// What the first column is.
    pub(super) x: Name,
    /// The other columns.
    pub(super) series: Vec<Series>,
}

impl Name {
    fn read(text: &str) -> Self {
        let found = UNITS.iter().find_map(|(ending, unit)| {
            let as_ending = text.strip_suffix(ending).and_then(|rest| rest.strip_suffix('_'));
            let as_written = || text.strip_suffix(unit).and_then(|rest| rest.strip_suffix(' '));
            Some((as_ending.or_else(as_written)?, *unit)).filter(|(words, _)| !words.is_empty())
        });
        let (words, unit) = found.unwrap_or((text, ""));
        Self { words: words.replace('_', " "), unit }
    }
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// With the line, if something in it is wrong.
    pub(super) fn read(text: &str) -> Result<Self, TableError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(TableError::TooLarge);
        }
        let mut reader = Reader::default();
        for (at, line) in text.lines().enumerate() {
            reader.line(line.trim()).map_err(|wrong| TableError::Line { line: at + 1, wrong })?;
        }
        reader.table()
    }
}

/// A table while it is read.
#[derive(Default)]
struct Reader {
    title: Option<String>,
    y_title: Option<String>,
    logarithmic: Logarithmic,
    names: Vec<Name>,
    rows: usize,
    last_x: Option<f64>,
    points: Vec<Vec<(f64, f64)>>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        match line.strip_prefix('#') {
            Some(remark) => self.remark(remark.trim()),
            None if line.is_empty() => Ok(()),
            None if line.contains('"') => Err("quotation marks are not understood".to_owned()),
            None if self.names.is_empty() => self.header(line),
            None => self.row(line),
        }
    }

    fn remark(&mut self, remark: &str) -> Result<(), String> {
        if let Some(title) = remark.strip_prefix("title:") {
            self.title = Some(short(title.trim())?.to_owned());
        } else if let Some(title) = remark.strip_prefix("y:") {
            self.y_title = Some(short(title.trim())?.to_owned());
        } else if let Some(axes) = remark.strip_prefix("log:") {
            if self.rows > 0 {
                return Err("which axes are logarithmic must be said before the figures".to_owned());
            }
            self.logarithmic = match axes.trim() {
                "x" => Logarithmic { x: true, y: false },
                "y" => Logarithmic { x: false, y: true },
                "xy" => Logarithmic { x: true, y: true },
                other => return Err(format!("log: is x, y or xy, not {other:?}")),
            };
        }
        Ok(())
    }

    fn header(&mut self, line: &str) -> Result<(), String> {
        let names: Vec<&str> = line.split(',').map(str::trim).collect();
        if names.len() < 2 {
            return Err("one column only: the first is the x axis, each further one a line".to_owned());
        }
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("column {} has no name", at + 1));
            }
            if names[..at].contains(name) {
                return Err(format!("two columns are called {name:?}"));
            }
            if name.parse::<f64>().is_ok() {
                return Err(format!("the first line names the columns, but {name:?} is a number"));
            }
            self.names.push(Name::read(short(name)?));
        }
        self.points = vec![Vec::new(); names.len() - 1];
        Ok(())
    }

    fn row(&mut self, line: &str) -> Result<(), String> {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != self.names.len() {
            return Err(format!("{} cells where {} columns are named", cells.len(), self.names.len()));
        }
        let x = number(cells[0], self.logarithmic.x)?;
        if self.last_x.is_some_and(|last| x < last) {
            return Err(format!("x falls to {x}; the rows must be in its order"));
        }
        self.last_x = Some(x);
        self.rows += 1;
        if self.rows > MAX_ROWS {
            return Err(format!("more than {MAX_ROWS} rows"));
        }
        for (cell, points) in cells[1..].iter().zip(&mut self.points) {
            if !cell.is_empty() {
                points.push((x, number(cell, self.logarithmic.y)?));
            }
        }
        Ok(())
    }

    fn table(self) -> Result<Table, TableError> {
        let mut names = self.names.into_iter();
        let x = names.next().ok_or(TableError::Missing("line that names the columns"))?;
        let series: Vec<Series> = names.zip(self.points).map(|(name, points)| Series { name, points }).collect();
        if series.iter().all(|series| series.points.is_empty()) {
            return Err(TableError::Missing("figures below the names of the columns"));
        }
        let mut units: Vec<&str> = series.iter().map(|series| series.name.unit).collect();
        units.sort_unstable();
        if units.chunk_by(|one, next| one == next).any(|same| same.len() > MAX_SERIES_PER_UNIT) {
            return Err(TableError::TooMany { what: "columns of one unit", limit: MAX_SERIES_PER_UNIT });
        }
        units.dedup();
        if units.len() > MAX_UNITS {
            return Err(TableError::TooMany { what: "different units", limit: MAX_UNITS });
        }
        let Self { title, y_title, logarithmic, .. } = self;
        Ok(Table { title, y_title, logarithmic, x, series })
    }
}

fn short(text: &str) -> Result<&str, String> {
    match text.chars().count() {
        length if length > MAX_TEXT => Err(format!("a name of {length} characters; at most {MAX_TEXT} can be shown")),
        _ if text.chars().any(char::is_control) => Err("a name has control characters".to_owned()),
        _ => Ok(text),
    }
}

fn number(cell: &str, logarithmic: bool) -> Result<f64, String> {
    match cell.parse::<f64>() {
        Ok(number) if !number.is_finite() => Err(format!("{cell} cannot be drawn")),
        Ok(number) if logarithmic && number <= 0.0 => Err(format!("{cell} has no place on a logarithmic axis")),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("{cell:?} is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Table::read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_table_is_read_with_its_remarks_and_units() {
        let table = Table::read(
            "# title: Pulses\n# log: xy\n# made yesterday\n\nnodes,pulse_p50_ms,sent_mb_per_s\r\n3,0.5,\n10, 2 ,7\n",
        )
        .unwrap();
        assert_eq!(table.title.as_deref(), Some("Pulses"));
        assert_eq!(table.logarithmic, Logarithmic { x: true, y: true });
        assert_eq!(table.x, Name { words: "nodes".to_owned(), unit: "" });
        assert_eq!(table.series[0].name, Name { words: "pulse p50".to_owned(), unit: "ms" });
        assert_eq!(table.series[0].points, [(3.0, 0.5), (10.0, 2.0)]);
        assert_eq!(table.series[1].name, Name { words: "sent".to_owned(), unit: "MB/s" });
        assert_eq!(table.series[1].points, [(10.0, 7.0)], "an empty cell is no point");
        let table = Table::read("nodes,idle each %,resident MB,open files\n3,0.1,28,32\n").unwrap();
        let units: Vec<&str> = table.series.iter().map(|series| series.name.unit).collect();
        assert_eq!(units, ["%", "MB", ""], "a unit may also be written as people write it");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(wrong("n,a\n1,2\n2,x\n"), "line 3: \"x\" is no number");
        assert_eq!(wrong("n,a\n1,2,3\n"), "line 2: 3 cells where 2 columns are named");
        assert_eq!(wrong("n,a\n2,1\n1,1\n"), "line 3: x falls to 1; the rows must be in its order");
        assert_eq!(wrong("# log: y\nn,a\n1,0\n"), "line 3: 0 has no place on a logarithmic axis");
        assert_eq!(wrong("n,a\n1,inf\n"), "line 2: inf cannot be drawn");
        assert_eq!(wrong("# log: z\n"), "line 1: log: is x, y or xy, not \"z\"");
        assert_eq!(wrong("n,a\n1,1\n# log: x\n"), "line 3: which axes are logarithmic must be said before the figures");
        assert_eq!(wrong("n,n\n"), "line 1: two columns are called \"n\"");
        assert_eq!(wrong("1,2\n"), "line 1: the first line names the columns, but \"1\" is a number");
        assert_eq!(wrong("n\n"), "line 1: one column only: the first is the x axis, each further one a line");
        assert_eq!(wrong("n,\"a\"\n"), "line 1: quotation marks are not understood");
        assert_eq!(wrong(""), "no line that names the columns");
        assert_eq!(wrong("n,a\n"), "no figures below the names of the columns");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let many = "n,a,b,c,d,e,f,g,h\n1,1,1,1,1,1,1,1,1\n";
        assert_eq!(wrong(many), "more than 7 columns of one unit");
        assert_eq!(wrong("n,a_s,b_ms,c_us,d_ns,e_h\n1,1,1,1,1,1\n"), "more than 4 different units");
        assert_eq!(wrong(&" ".repeat(MAX_FILE_BYTES + 1)), "larger than 1048576 bytes");
        let long = format!("n,{}\n", "a".repeat(MAX_TEXT + 1));
        assert_eq!(wrong(&long), "line 1: a name of 101 characters; at most 100 can be shown");
        let rows: String = std::iter::once("n,a\n").chain(std::iter::repeat_n("1,1\n", MAX_ROWS + 1)).collect();
        assert_eq!(wrong(&rows), "line 10002: more than 10000 rows");
    }
}
