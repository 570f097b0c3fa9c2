//! What the figures look like: a table to read, JSON to work with, CSV to draw.

use std::fmt::Write;

use super::condition::CONDITIONS;
use super::figures::Row;

/// A table in Markdown, and what its lines mean.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| nodes | condition | connections | mesh | hops mean / p99 / max | duplicates | bytes sent: messages / \
         gossip control / sync | ms p50 / p99 / last | missed: fast path / in the end | of |\n\
         |---:|---|---:|---:|---|---:|---|---|---|---:|\n",
    );
    for row in rows {
        let words = CONDITIONS.iter().find(|condition| condition.name == row.condition);
        let hops = match (row.hops_mean, row.hops_p99, row.hops_max) {
            (Some(mean), Some(p99), Some(max)) => format!("{mean:.2} / {p99} / {max}"),
            _ => "none".to_owned(),
        };
        let Row { nodes, connections, mesh, duplicates, p50_ms, p99_ms, last_ms, missed_fast, missed, .. } = row;
        let Row { data_bytes, control_bytes, sync_bytes, deliveries, condition, .. } = row;
        let words = words.map_or(*condition, |condition| condition.words);
        let line = format!(
            "| {nodes} | {words} | {connections:.0} | {mesh:.1} | {hops} | {duplicates:.2} | {data_bytes:.0} / \
             {control_bytes:.0} / {sync_bytes:.0} | {p50_ms:.1} / {p99_ms:.1} / {last_ms:.0} | {missed_fast} / {missed} | \
             {deliveries} |\n"
        );
        text.push_str(&line);
    }
    text.push_str(
        "\nDuplicates and bytes are per node and message. Milliseconds run until an entry is there in its author's order, \
         whichever way it came. The fast path is gossip and what goes straight to up to 12 sessions; the end is after sync.\n",
    );
    text
}

/// All figures as JSON.
pub(super) fn json(rows: &[Row]) -> String {
    let value = serde_json::json!({ "version": 1, "fanout": rows });
    format!("{value:#}\n")
}

/// Most hops and 99th latencies by number of nodes, one column for each condition.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut nodes: Vec<u32> = rows.iter().map(|row| row.nodes).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let conditions: Vec<&str> = CONDITIONS.iter().map(|condition| condition.name).collect();
    let present = |condition: &&&str| rows.iter().any(|row| row.condition == **condition);
    let conditions: Vec<&str> = conditions.iter().filter(present).copied().collect();
    let mut text = String::from("# title: Gossip: most hops, and the time to reach 99 of 100 nodes\n# log: x\nnodes");
    for (what, unit) in [("most_hops", "hops"), ("until_p99", "ms")] {
        for condition in &conditions {
            let _written = write!(text, ",{what}_{}_{unit}", condition.replace('-', "_"));
        }
    }
    text.push('\n');
    for nodes in nodes {
        let _written = write!(text, "{nodes}");
        let row = |condition: &str| rows.iter().find(|row| row.nodes == nodes && row.condition == condition);
        for condition in &conditions {
            let hops = row(condition).and_then(|row| row.hops_max);
            let _written = write!(text, ",{}", hops.map(|hops| hops.to_string()).unwrap_or_default());
        }
        for condition in &conditions {
            let ms = row(condition).map(|row| format!("{:.1}", row.p99_ms));
            let _written = write!(text, ",{}", ms.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}
