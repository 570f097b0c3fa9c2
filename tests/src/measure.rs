//! What benches have in common: samples and their percentiles, tables, curves as CSV, and what a process costs.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Processor time is counted by the kernel in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long something took, many times.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Takes one more.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Takes over those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this share of the samples does not exceed, in milliseconds; no number if there are none.
    pub fn ms(&self, share: f64) -> f64 {
        self.many_ms([share])[0]
    }

    /// As [`Samples::ms`], for several shares at once.
    pub fn many_ms<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        shares.map(|share| {
            let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
            sorted.get(at).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e3)
        })
    }

    /// The usual percentiles in words.
    pub fn words(&self) -> String {
        let [half, most, all] = self.many_ms([0.5, 0.99, 1.0]);
        format!("p50 {half:.2} ms, p99 {most:.2} ms, max {all:.2} ms")
    }
}

impl From<Vec<Duration>> for Samples {
    fn from(samples: Vec<Duration>) -> Self {
        Self(samples)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// The number in the middle; no number if there are none.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Lines of a Markdown table, the first of which are its heads.
pub fn markdown(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            let _written = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if at == 0 {
            text.push_str(&"|---".repeat(line.len()));
            text.push_str("|\n");
        }
    }
    text
}

/// How something grows: rows of numbers, the first column is what grows.
#[derive(Debug)]
pub struct Curve {
    name: &'static str,
    title: &'static str,
    log: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<f64>>,
}

impl Curve {
    /// Makes a curve without rows. `log` names the axes that are drawn by powers of ten: `x`, `y`, `xy` or nothing.
    /// Columns have their units in their names.
    ///
    /// # Panics
    /// If a name has a comma, which would be two columns of the file.
    pub fn new(name: &'static str, title: &'static str, log: &'static str, columns: &[&str]) -> Self {
        assert!(columns.iter().all(|column| !column.contains(',')), "{name}");
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { name, title, log, columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not as many numbers as there are columns.
    pub fn row(&mut self, row: impl Into<Vec<f64>>) {
        let row = row.into();
        assert_eq!(row.len(), self.columns.len(), "{}", self.name);
        self.rows.push(row);
    }

    /// The curve as a file of comma-separated values, with its title and axes in front.
    pub fn csv(&self) -> String {
        let mut text = format!("# title: {}\n", self.title);
        if !self.log.is_empty() {
            let _written = writeln!(text, "# log: {}", self.log);
        }
        let _written = writeln!(text, "{}", self.columns.join(","));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|number| cell(*number)).collect();
            let _written = writeln!(text, "{}", cells.join(","));
        }
        text
    }

    /// The curve as a table for people.
    pub fn markdown(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().map(|number| cell(*number)).collect());
        let lines: Vec<Vec<String>> = std::iter::once(self.columns.clone()).chain(rows).collect();
        format!("{} (`{}.csv`)\n\n{}", self.title, self.name, markdown(&lines))
    }

    /// Writes the file into a folder.
    ///
    /// # Errors
    /// If the folder or the file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("{}.csv", self.name)), self.csv())
    }
}

/// Three digits that count are enough for any figure; nothing stands for what could not be measured.
fn cell(number: f64) -> String {
    if number.is_nan() {
        return String::new();
    }
    let whole = number.abs().max(1.0).log10().floor() as i32;
    let decimals = if number.fract() == 0.0 { 0 } else { (2 - whole).max(0) as usize };
    format!("{number:.decimals$}")
}

/// A running process and what it costs.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// Its number.
    pub pid: u32,
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        Self { pid: std::process::id() }
    }

    /// Processor seconds that it has used.
    ///
    /// # Panics
    /// If it is gone.
    pub fn cpu_seconds(self) -> f64 {
        let text = self.read("stat");
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks as f64 / TICKS_PER_SECOND
    }

    /// Memory that is resident, in MB of 1,024 KiB.
    pub fn resident_mb(self) -> f64 {
        self.status("VmRSS") / 1024.0
    }

    /// The most memory that ever was.
    pub fn peak_mb(self) -> f64 {
        self.status("VmHWM") / 1024.0
    }

    /// How many threads it has.
    pub fn threads(self) -> f64 {
        self.status("Threads")
    }

    /// How many files it has open.
    ///
    /// # Panics
    /// If it is gone.
    pub fn files(self) -> f64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap().count() as f64
    }

    fn read(self, what: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.pid)).unwrap()
    }

    fn status(self, field: &str) -> f64 {
        let text = self.read("status");
        let line = text.lines().find(|line| line.split(':').next() == Some(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// How many bytes the files in a folder have.
///
/// # Panics
/// If the folder cannot be read.
pub fn bytes_in(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|data| data.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_the_last_is_the_longest() {
        let samples: Samples = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(samples.many_ms([0.0, 0.5, 0.99, 1.0]), [1.0, 51.0, 99.0, 100.0]);
        assert!(Samples::default().ms(0.5).is_nan());
    }

    #[test]
    fn a_curve_is_written_as_it_is_drawn() {
        let mut curve = Curve::new("start", "Start", "x", &["ops", "start ms"]);
        curve.row([1000.0, 12.345]);
        curve.row([100_000.0, f64::NAN]);
        assert_eq!(curve.csv(), "# title: Start\n# log: x\nops,start ms\n1000,12.3\n100000,\n");
        assert!(curve.markdown().contains("|---|---|\n| 1000 "), "{}", curve.markdown());
    }

    #[test]
    fn this_process_costs_something() {
        let own = Process::own();
        assert!(own.resident_mb() > 1.0 && own.peak_mb() >= own.resident_mb() / 2.0);
        assert!(own.threads() >= 1.0 && own.files() >= 3.0 && own.cpu_seconds() >= 0.0);
    }
}
