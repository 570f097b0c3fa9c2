//! Draws a table as SVG: one panel for each unit, one line for each series.
//!
//! Called by [`super::Plot`]. The colours are those of Okabe and Ito, which people who see colours differently can tell
//! apart, and each series has a marker of its own too. The picture names a family of fonts and holds none.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, Color, Cross, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, PathElement, Polygon,
    RGBColor, Rectangle, SVGBackend, ShapeStyle, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, IntoFont, TextStyle};

use super::axis::{Axis, number};
use super::table::{MAX_SERIES_PER_UNIT, Name, Series, Table};

const COLOURS: [RGBColor; MAX_SERIES_PER_UNIT] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(224, 224, 224);
const FRAME: RGBColor = RGBColor(120, 120, 120);

const FONT: &str = "sans-serif";
/// The drawing library takes sizes of fonts in units of which this many make a pixel.
const PER_PIXEL: f64 = 1.24;
/// Size of a panel without its legend, in pixels: a single one, and one of several.
const PANEL: (u32, [u32; 2]) = (700, [400, 270]);
const TITLE_HEIGHT: u32 = 44;
const MARGIN: u32 = 14;
/// Room left of the vertical axis and below the horizontal one.
const LABELS: (u32, u32) = (78, 52);
/// Height of a line of the legend, and its width without the words.
const LEGEND: (i32, u32) = (24, 44);
/// Width of a letter in a legend.
const LETTER: u32 = 8;
/// With more points than these a line has no markers.
const MAX_MARKERS: usize = 50;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// What one panel shows: the series of one unit.
struct Panel<'t> {
    title: String,
    /// What each line is called beside the others.
    lines: Vec<(String, &'t Series)>,
}

/// Draws a table; the same table always gives the same picture.
pub(super) fn draw(table: &Table) -> Result<String, String> {
    let panels = panels(table);
    let lines = panels.iter().filter(|panel| panel.lines.len() > 1).flat_map(|panel| &panel.lines);
    let letters = lines.map(|(name, _)| name.chars().count()).max();
    let legend = letters.map_or(0, |letters| LEGEND.1 + LETTER * u32::try_from(letters).unwrap_or(u32::MAX));
    let height = PANEL.1[usize::from(panels.len() > 1)];
    let title = if table.title.is_some() { TITLE_HEIGHT } else { 0 };
    let size = (PANEL.0 + legend + MARGIN, title + height * panels.len() as u32 + MARGIN);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw_all(&root, table, &panels, (title, height)).map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

fn draw_all(root: &Area<'_>, table: &Table, panels: &[Panel<'_>], (title_height, height): (u32, u32)) -> Drawn {
    root.fill(&WHITE)?;
    if let Some(title) = &table.title {
        let style = TextStyle { pos: Pos::new(HPos::Left, VPos::Center), ..text(18.0) };
        let style = TextStyle { font: style.font.style(FontStyle::Bold), ..style };
        let left = (MARGIN + LABELS.0) as i32;
        root.draw(&Text::new(title.clone(), (left, (title_height / 2 + MARGIN / 2) as i32), style))?;
    }
    for (at, panel) in panels.iter().enumerate() {
        draw_panel(root, table, panel, title_height + height * at as u32, height)?;
    }
    root.present()
}

fn draw_panel(root: &Area<'_>, table: &Table, panel: &Panel<'_>, top: u32, height: u32) -> Drawn {
    // All panels run along the same values, so that they can be compared.
    let mut xs: Vec<f64> = table.series.iter().flat_map(|series| series.points.iter().map(|(x, _)| *x)).collect();
    xs.sort_by(f64::total_cmp);
    let x = Axis::along(&xs, table.logarithmic.x);
    let ys = panel.lines.iter().flat_map(|(_, series)| series.points.iter().map(|(_, y)| *y));
    let y = Axis::round(ys, table.logarithmic.y);
    let area = root.clone().shrink((0, top), (PANEL.0, height));
    let mut chart = ChartBuilder::on(&area)
        .margin(MARGIN)
        .x_label_area_size(LABELS.1)
        .y_label_area_size(LABELS.0)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .axis_style(FRAME)
        .label_style(text(13.0))
        .axis_desc_style(text(14.0))
        .x_desc(with_unit(&table.x))
        .y_desc(panel.title.clone())
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    for (at, (name, series)) in panel.lines.iter().enumerate() {
        let points: Vec<(i32, i32)> = series.points.iter().map(|point| chart.backend_coord(point)).collect();
        if points.len() <= MAX_MARKERS {
            for point in &points {
                draw_marker(root, at, *point)?;
            }
        }
        root.draw(&PathElement::new(points, line(at)))?;
        if panel.lines.len() > 1 {
            let middle = (top + MARGIN) as i32 + LEGEND.0 / 2 + LEGEND.0 * at as i32;
            let left = PANEL.0 as i32 + 4;
            root.draw(&PathElement::new(vec![(left, middle), (left + 24, middle)], line(at)))?;
            draw_marker(root, at, (left + 12, middle))?;
            let style = TextStyle { pos: Pos::new(HPos::Left, VPos::Center), ..text(13.0) };
            root.draw(&Text::new(name.clone(), (left + 32, middle), style))?;
        }
    }
    Ok(())
}

/// Draws the marker of the series that is the `at`th in its panel.
fn draw_marker(root: &Area<'_>, at: usize, (x, y): (i32, i32)) -> Drawn {
    let filled = COLOURS[at].filled();
    match at {
        0 => root.draw(&Circle::new((x, y), 4, filled)),
        1 => root.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], filled)),
        2 => root.draw(&Polygon::new(vec![(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)], filled)),
        3 => root.draw(&Polygon::new(vec![(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)], filled)),
        4 => root.draw(&Polygon::new(vec![(x, y + 5), (x + 5, y - 4), (x - 5, y - 4)], filled)),
        5 => root.draw(&Circle::new((x, y), 5, line(at))),
        _ => root.draw(&Cross::new((x, y), 5, line(at))),
    }
}

fn line(at: usize) -> ShapeStyle {
    COLOURS[at].stroke_width(2)
}

fn text(pixels: f64) -> TextStyle<'static> {
    TextStyle::from((FONT, pixels * PER_PIXEL).into_font()).color(&INK)
}

fn with_unit(name: &Name) -> String {
    if name.unit.is_empty() { name.words.clone() } else { format!("{} ({})", name.words, name.unit) }
}

/// Sorts the series into panels by their units, in the order in which the units come.
fn panels(table: &Table) -> Vec<Panel<'_>> {
    let mut units: Vec<&str> = Vec::new();
    for series in &table.series {
        if !units.contains(&series.name.unit) {
            units.push(series.name.unit);
        }
    }
    let panel = |unit: &&'static str| {
        let series: Vec<&Series> = table.series.iter().filter(|series| series.name.unit == *unit).collect();
        let shared = shared_words(&series);
        let lines = series.iter().map(|series| {
            let rest: Vec<&str> = series.name.words.split(' ').skip(shared.len()).collect();
            (if rest.is_empty() { series.name.words.clone() } else { rest.join(" ") }, *series)
        });
        let words = if shared.is_empty() { measure(unit).to_owned() } else { shared.join(" ") };
        let words = table.y_title.clone().filter(|_| units.len() == 1).unwrap_or(words);
        Panel { title: with_unit(&Name { words, unit }), lines: lines.collect() }
    };
    units.iter().map(panel).collect()
}

/// The words with which all names begin, if each has more than these; all words of a name that stands alone.
fn shared_words<'t>(series: &[&'t Series]) -> Vec<&'t str> {
    let names: Vec<Vec<&str>> = series.iter().map(|series| series.name.words.split(' ').collect()).collect();
    let [first, others @ ..] = names.as_slice() else { return Vec::new() };
    let same = |at: &usize| others.iter().all(|other| other.get(*at) == first.get(*at));
    let shared = (0..first.len()).take_while(same).count();
    let whole = !others.is_empty() && names.iter().any(|name| name.len() == shared);
    first[..if whole { shared - 1 } else { shared }].to_vec()
}

/// What a unit measures, for series that have nothing else in common.
fn measure(unit: &str) -> &'static str {
    match unit {
        "ns" | "µs" | "ms" | "s" | "min" | "h" => "time",
        "bytes" | "kB" | "MB" | "GB" | "KiB" | "MiB" | "GiB" => "size",
        "%" => "share",
        _ if unit.contains('/') => "rate",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        Table::read(text).unwrap()
    }

    fn titles(text: &str) -> Vec<(String, Vec<String>)> {
        let table = table(text);
        let panels = panels(&table).into_iter();
        panels.map(|panel| (panel.title, panel.lines.into_iter().map(|(name, _)| name).collect())).collect()
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn series_of_one_unit_share_a_panel_and_its_title_says_what_they_share() {
        assert_eq!(
            titles("n,pulse_p50_ms,rss_mib,pulse_p99_ms\n1,1,1,1\n"),
            [("pulse (ms)".to_owned(), owned(&["p50", "p99"])), ("rss (MiB)".to_owned(), owned(&["rss"]))]
        );
        assert_eq!(titles("n,send_ms,read_ms\n1,1,1\n"), [("time (ms)".to_owned(), owned(&["send", "read"]))]);
        assert_eq!(titles("n,hops,hops_most\n1,1,1\n"), [("number".to_owned(), owned(&["hops", "hops most"]))]);
        assert_eq!(titles("# y: how long\nn,a_s\n1,1\n"), [("how long (s)".to_owned(), owned(&["a"]))]);
    }

    #[test]
    fn a_picture_has_every_title_and_point_and_no_markup_of_the_file() {
        let svg = draw(&table("# title: a <b> & c\n# log: xy\nnodes,p50_ms,p99_ms\n10,1,2\n1000,3,\n")).unwrap();
        assert!(svg.contains("a &lt;b&gt; &amp; c"), "{svg}");
        for text in ["nodes", "time (ms)", "p50", "p99", "1,000"] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
        }
        let circles = svg.matches("<circle").count();
        assert_eq!(circles, 3, "two points and the legend");
    }

    #[test]
    fn the_most_series_and_units_that_a_table_may_have_are_drawn() {
        let names: Vec<String> = (0..28).map(|at| format!("c{at}_{}", ["s", "ms", "mb", "percent"][at % 4])).collect();
        let svg = draw(&table(&format!("n,{}\n0{}\n", names.join(","), ",0".repeat(28)))).unwrap();
        assert!(names.iter().all(|name| svg.contains(name.split('_').next().unwrap())));
    }
}
