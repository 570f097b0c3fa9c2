//! Measured times.

use std::time::Duration;

use serde::Serialize;

use crate::ui::Output;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::measured;

/// Times of one thing, measured once or many times.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    what: &'static str,
    /// How often.
    count: usize,
    /// Half of them took at most this long, in microseconds.
    p50_us: u64,
    /// Nearly all (99 of 100) took at most this long, in microseconds.
    p99_us: u64,
    /// The longest, in microseconds.
    max_us: u64,
}

/// All that was measured, in order.
#[derive(Debug, Default)]
pub(super) struct Figures {
    rows: Vec<Figure>,
}

impl Figures {
    /// Adds what took `time` once.
    pub(super) fn once(&mut self, what: &'static str, time: Duration) {
        self.many(what, vec![time]);
    }

    /// Adds what was measured several times.
    pub(super) fn many(&mut self, what: &'static str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1) - 1;
            let time = times.get(rank).copied().unwrap_or_default();
            u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
        };
        self.rows.push(Figure { what, count: times.len(), p50_us: at(50), p99_us: at(99), max_us: at(100) });
    }

    /// Returns the rows for programs.
    pub(super) fn rows(&self) -> Vec<Figure> {
        self.rows.clone()
    }

    /// Returns the table for people.
    pub(super) fn table(&self, out: &Output) -> String {
        let mut table = Table::new(&[
            Column::text("What"),
            Column::number("p50"),
            Column::number("p99"),
            Column::number("Longest"),
            Column::number("Times"),
        ]);
        let time = |us| Cell::from(measured(Duration::from_micros(us)));
        for row in &self.rows {
            let many = row.count > 1;
            let p99 = if many { time(row.p99_us) } else { Cell::from("") };
            let max = if many { time(row.max_us) } else { Cell::from("") };
            table.row([row.what.into(), time(row.p50_us), p99, max, row.count.to_string().into()]);
        }
        table.render(out.width(), out.paint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut figures = Figures::default();
        figures.many("x", (1..=200).rev().map(Duration::from_micros).collect());
        let row = &figures.rows()[0];
        assert_eq!((row.p50_us, row.p99_us, row.max_us, row.count), (100, 198, 200, 200));
    }

    #[test]
    fn one_measurement_is_all_of_them() {
        let mut figures = Figures::default();
        figures.once("x", Duration::from_micros(7));
        let row = &figures.rows()[0];
        assert_eq!((row.p50_us, row.p99_us, row.max_us), (7, 7, 7));
    }
}
