//! Pictures of measured figures: reads CSV files and writes an SVG beside each.
//!
//! ```text
//! # title: A pulse change until it is visible everywhere
//! # log: x
//! nodes,pulse_p50_ms,pulse_p99_ms,memory_mib
//! 3,0.6,4.1,12
//! 10,2.2,,14
//! ```
//!
//! The first line that is not a remark names the columns. The first column is the x axis and never falls; each other
//! column is a line of the picture. The end of a name is its unit (`_ms`, `_s`, `_us`, `_mib`, `_mb`, `_bytes`,
//! `_percent`, `_per_s`, `_mb_per_s`, …; or ` ms`, ` %`, …); columns of one unit share a panel, whose title is what their
//! names begin with.
//! An empty cell is no point. `# title: …` stands above the picture, `# log: x`, `y` or `xy` makes axes logarithmic, and
//! `# y: …` names the vertical axis where there is one panel; other lines that begin with `#` are remarks.
//!
//! A file has at most 1 MiB, 10,000 rows, 4 units and 7 columns of one unit.

mod axis;
mod picture;
mod table;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use table::TableError;
use table::{MAX_FILE_BYTES, Table};

const FORMAT: &str = "\
The first line of a file names the columns: the x axis, then one line of the picture each.
The end of a name is its unit (pulse_p50_ms, memory_mib, lost_percent, sent_mb_per_s;
or after a space as people write it, as in lost %);
columns of one unit share a panel. An empty cell is no point. x never falls.
Remarks before the figures set up the picture:

    # title: A pulse change until it is visible
    # y: latency
    # log: x        (or y, or xy)
    nodes,pulse_p50_ms,pulse_p99_ms
    3,0.6,4.1
    10,2.2,9.8

At most 1 MiB, 10,000 rows, 4 units and 7 columns of one unit.";

/// Draw files of figures: an SVG beside each CSV
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = FORMAT)]
pub struct Plot {
    /// Files of figures, ending in .csv
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Why a picture could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The name of a file does not end in `.csv`: its picture might replace something else.
    #[error("{}: the name of a file of figures ends in .csv", .0.display())]
    Ending(PathBuf),
    /// A file cannot be read or written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A file is not a table of figures.
    #[error("{}", .0.display())]
    Table(PathBuf, #[source] TableError),
    /// The drawing failed.
    #[error("{}: {message}", .path.display())]
    Drawing {
        /// The file of figures.
        path: PathBuf,
        /// What the drawing library says.
        message: String,
    },
    /// The caller no longer listens.
    #[error("cannot say what was done")]
    Output(#[source] io::Error),
}

impl Plot {
    /// Draws all files and says what was written.
    ///
    /// # Errors
    /// At the first file that cannot be drawn; those before it are.
    pub fn run(&self, out: &mut impl Write) -> Result<(), PlotError> {
        for file in &self.files {
            let svg = draw(file)?;
            writeln!(out, "{}", svg.display()).map_err(PlotError::Output)?;
        }
        Ok(())
    }
}

/// Draws one file and returns where the picture is.
fn draw(file: &Path) -> Result<PathBuf, PlotError> {
    if file.extension().is_none_or(|ending| ending != "csv") {
        return Err(PlotError::Ending(file.to_owned()));
    }
    let told = |error| PlotError::File(file.to_owned(), error);
    let mut text = String::new();
    let most = MAX_FILE_BYTES as u64 + 1;
    fs::File::open(file).map_err(told)?.take(most).read_to_string(&mut text).map_err(told)?;
    let table = Table::read(&text).map_err(|error| PlotError::Table(file.to_owned(), error))?;
    let svg = picture::draw(&table).map_err(|message| PlotError::Drawing { path: file.to_owned(), message })?;
    let place = file.with_extension("svg");
    fs::write(&place, svg).map_err(|error| PlotError::File(place.clone(), error))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_written_beside_each_file() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name).with_extension("csv"));
        fs::write(&one, "n,a_ms\n1,2\n2,3\n").unwrap();
        fs::write(&two, "n,a_ms\n1,x\n").unwrap();
        let mut said = Vec::new();
        let error = Plot { files: vec![one.clone(), two.clone()] }.run(&mut said).unwrap_err();
        assert_eq!(error.to_string(), two.display().to_string());
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "line 2: \"x\" is no number");
        let svg = one.with_extension("svg");
        assert_eq!(String::from_utf8(said).unwrap(), format!("{}\n", svg.display()));
        assert!(fs::read_to_string(&svg).unwrap().starts_with("<svg "));
        assert!(!two.with_extension("svg").exists());
    }

    #[test]
    fn only_files_of_figures_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let svg = folder.path().join("one.svg");
        assert!(matches!(draw(&svg), Err(PlotError::Ending(_))));
        assert!(matches!(draw(&svg.with_extension("csv")), Err(PlotError::File(..))));
    }
}
