//! One axis: where a value lies on it, and where its ticks are.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// Most ticks that are the figures' own x values.
const OWN_TICKS: usize = 8;
/// Least part of the axis between two of them.
const OWN_SPACING: f64 = 0.1;
/// About how many ticks an axis has.
const TICKS: f64 = 6.0;

/// An axis, linear or logarithmic.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    range: Range<f64>,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// Makes the axis for these values with round ticks: a linear one starts at zero unless something is below it.
    ///
    /// A logarithmic axis takes only values above zero; there must be at least one value.
    pub(super) fn round(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let (least, most) = extent(values);
        if logarithmic {
            return Self::powers(least, most);
        }
        let least = least.min(0.0);
        let most = if most > least { most } else { least + 1.0 };
        let step = round_step((most - least) / TICKS);
        let (first, last) = ((least / step).floor(), (most / step).ceil());
        let ticks: Vec<f64> = (0..=(last - first) as usize).map(|at| (first + at as f64) * step).collect();
        Self { range: first * step..last * step, logarithmic, ticks }
    }

    fn powers(least: f64, most: f64) -> Self {
        // Half a step of 1, 2, 5 on either side, so that no point lies on the frame.
        let (low, high) = (least / 1.3, most * 1.3);
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let factors: &[f64] = if (high / low).log10() < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let all = decades.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        let ticks = all.filter(|tick| (low..=high).contains(tick)).collect();
        Self { range: low..high, logarithmic: true, ticks }
    }

    /// Makes the axis that the lines run along. If there are few values far enough apart, its ticks are at them.
    pub(super) fn along(values: &[f64], logarithmic: bool) -> Self {
        let mut own = values.to_vec();
        own.dedup();
        let mut axis = Self::round(own.iter().copied(), logarithmic);
        if !logarithmic && own.len() > 1 {
            // The end need not be round, and the start not zero where zero is far off.
            let (least, most) = extent(own.iter().copied());
            let margin = (most - least) / 40.0;
            let start = if (0.0..=most / 2.0).contains(&least) { 0.0 } else { least - margin };
            axis.range = start..most + margin;
            axis.ticks.retain(|tick| axis.range.contains(tick));
        }
        let apart = own.windows(2).all(|pair| axis.place(pair[1]) - axis.place(pair[0]) >= OWN_SPACING);
        if own.len() > 1 && own.len() <= OWN_TICKS && apart {
            axis.ticks = own;
        }
        axis
    }

    /// Where a value lies: 0 is the start of the axis, 1 its end.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (start, end) = (scale(self.range.start), scale(self.range.end));
        (scale(value) - start) / (end - start)
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.place(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Bold and light lines are drawn one over the other; one set of them is enough.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// The next of 1, 2, 5, 10, … at or above a step.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// Writes a number at a tick: `1,000`, `0.05`, `2 M`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-9 {
        return "0".to_owned();
    }
    if size >= 1e6 {
        let (scaled, letter) = if size >= 1e9 { (value / 1e9, 'G') } else { (value / 1e6, 'M') };
        return format!("{} {letter}", plain(scaled, 3));
    }
    if size < 1e-4 {
        return format!("{value:e}");
    }
    plain(value, 3)
}

/// So many digits that the value can be told from its neighbours, with a comma between thousands.
fn plain(value: f64, digits: i32) -> String {
    let behind = (digits - 1 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.behind$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_starts_at_zero_and_ends_at_a_round_number() {
        let axis = Axis::round([3.0, 47.0].into_iter(), false);
        assert_eq!(axis.range, 0.0..50.0);
        assert_eq!(axis.ticks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(Axis::round([-3.0, 4.0].into_iter(), false).range, -4.0..4.0);
        assert_eq!(Axis::round([0.0].into_iter(), false).range, 0.0..1.0, "nothing but zeros has an axis too");
    }

    #[test]
    fn a_logarithmic_axis_places_equal_ratios_equally() {
        let axis = Axis::round([1.0, 10_000.0].into_iter(), true);
        assert_eq!(axis.ticks, [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        let at = |value| f64::from(axis.map(&value, (0, 100_000)));
        assert!((at(10.0) - at(1.0) - (at(1000.0) - at(100.0))).abs() <= 1.0);
        let narrow = Axis::round([3.0, 30.0].into_iter(), true);
        assert_eq!(narrow.ticks, [5.0, 10.0, 20.0], "few decades have ticks between them");
    }

    #[test]
    fn few_values_have_their_own_ticks_and_many_have_round_ones() {
        assert_eq!(Axis::along(&[10.0, 100.0, 1000.0, 5000.0], true).ticks, [10.0, 100.0, 1000.0, 5000.0]);
        assert_eq!(Axis::along(&[1.0, 1.0, 2.0], false).ticks, [1.0, 2.0]);
        let many: Vec<f64> = (0..=600).map(f64::from).collect();
        assert_eq!(Axis::along(&many, false).ticks, [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
    }

    #[test]
    fn every_value_lies_on_its_axis() {
        for values in [&[5.0_f64, 5.0][..], &[0.001, 0.002], &[1e9, 3e9], &[980.0, 1000.0], &[0.3, 700.0]] {
            for logarithmic in [false, true] {
                for axis in [Axis::round(values.iter().copied(), logarithmic), Axis::along(values, logarithmic)] {
                    for value in values {
                        let place = axis.place(*value);
                        assert!((0.0..=1.0).contains(&place), "{value} at {place} of {axis:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_are_written_to_be_read() {
        let written: Vec<String> =
            [0.0, 5.0, 1000.0, 64_000.0, 2.5e6, 3e9, 0.05, 0.125, -1500.0, 2e-6].into_iter().map(number).collect();
        assert_eq!(written, ["0", "5", "1,000", "64,000", "2.5 M", "3 G", "0.05", "0.125", "-1,500", "2e-6"]);
    }
}
