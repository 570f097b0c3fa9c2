//! Bugs that are planted on purpose, one at a time, into a copy of the crates, to prove that the simulator finds them.
//!
//! Each is a patch in `testnet/planted`, whose first line says what is wrong with it. `Scenarios: NAME …` in the second
//! says which ones are played; without it, all. The product itself has no switch for any of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::say;

/// What a copy needs to be built.
const COPIED: [&str; 5] = ["protocols", "crdt", "node/core", "testnet", "Cargo.lock"];

/// What came of one bug.
struct Found {
    bug: String,
    about: String,
    /// Scenario, seed, invariant; nothing if the simulator did not notice.
    by: Option<(String, u64, String)>,
    /// How long it took to find, or not to find, once it was built.
    played: Duration,
}

/// What a patch says before its first change.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    about: String,
    /// Which scenarios are played; all if there are none.
    scenarios: Vec<String>,
}

impl Head {
    fn read(patch: &str) -> Self {
        let mut lines = patch.lines();
        let about = lines.next().unwrap_or_default().to_owned();
        let named = lines.next().and_then(|line| line.strip_prefix("Scenarios: ")).unwrap_or_default();
        Self { about, scenarios: named.split_whitespace().map(str::to_owned).collect() }
    }
}

impl Found {
    /// A line of the table.
    fn cells(&self) -> String {
        let (by, invariant) = match &self.by {
            Some((scenario, seed, invariant)) => (format!("{scenario}, seed {seed}"), invariant.as_str()),
            None => ("**nothing**".to_owned(), ""),
        };
        let played = self.played.as_secs_f64();
        format!("| {} | {} | {by} | {invariant} | {played:.1} s |", self.bug, self.about)
    }
}

/// How a copy is built: what changes from bug to bug quickly, what does not once and well.
const PROFILE: [&str; 5] = [
    "profile.release.lto=\"off\"",
    "profile.release.codegen-units=16",
    "profile.release.incremental=true",
    "profile.release.opt-level=1",
    "profile.release.package.\"*\".opt-level=3",
];

/// The folder of the workspace, as it was when this program was built.
fn workspace() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
    let folder = folder.filter(|folder| folder.join("testnet/planted").is_dir());
    folder.ok_or_else(|| "the sources that this program was built from are not there any more".to_owned())
}

/// The names of all patches.
fn names(workspace: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(workspace.join("testnet/planted")).map_err(|error| error.to_string())?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".patch").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Plants one bug after the other and returns whether all were found.
pub(crate) fn plant(only: Option<&str>, seeds: u64) -> Result<(bool, String), String> {
    let workspace = workspace()?;
    let all = names(&workspace)?;
    if let Some(only) = only
        && !all.iter().any(|name| name == only)
    {
        return Err(format!("no planted bug is called {only:?}; there are {}", all.join(", ")));
    }
    let started = Instant::now();
    let copied = workspace.join("target/planted/copy");
    copy(&workspace, &copied)?;
    let mut rows = Vec::new();
    for bug in all.into_iter().filter(|name| only.is_none_or(|only| only == name)) {
        say(&format!("planting {bug}"));
        let row = find(&workspace, &copied, bug, seeds)?;
        say(&row.cells());
        rows.push(row);
    }
    let found = rows.iter().all(|row| row.by.is_some());
    Ok((found, table(&rows, started.elapsed())))
}

fn table(rows: &[Found], took: Duration) -> String {
    let mut text = "| bug | what is wrong | found by | invariant | played |\n|---|---|---|---|---:|".to_owned();
    for row in rows {
        text.push('\n');
        text.push_str(&row.cells());
    }
    let found = rows.iter().filter(|row| row.by.is_some()).count();
    text.push_str(&format!("\n\n{found} of {} found in {:.0} s, builds included", rows.len(), took.as_secs_f64()));
    text
}

fn find(workspace: &Path, copied: &Path, bug: String, seeds: u64) -> Result<Found, String> {
    let patch = workspace.join("testnet/planted").join(format!("{bug}.patch"));
    let about = std::fs::read_to_string(&patch).map_err(|error| error.to_string())?;
    let Head { about, scenarios } = Head::read(&about);
    apply(&patch, copied, &[])?;
    let built = build(workspace, copied);
    apply(&patch, copied, &["-R"])?;
    let program = built?;
    let started = Instant::now();
    let mut command = Command::new(program);
    command.args(["run", "--until-failure", "--no-shrink", "--json", "--seeds", &seeds.to_string()]).args(scenarios);
    let output = command.output().map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{bug}: {error}"))?;
    let by = said["failures"].get(0).map(|failure| {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let seed = failure["seed"].as_u64().unwrap_or(0);
        (text(&failure["scenario"]), seed, text(&failure["faults"][0]["invariant"]))
    });
    Ok(Found { bug, about, by, played: started.elapsed() })
}

/// Plants a bug, or takes it out again.
fn apply(patch: &Path, folder: &Path, options: &[&str]) -> Result<(), String> {
    let mut command = Command::new("patch");
    command.args(["-p1", "-s", "-F0", "--no-backup-if-mismatch"]).args(options);
    done(command.arg("-i").arg(patch).current_dir(folder))
}

/// Builds the program as the copy has it, and says where it is.
fn build(workspace: &Path, copied: &Path) -> Result<PathBuf, String> {
    let target = workspace.join("target/planted/target");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--offline", "-q", "-p", "fedp2p-testnet"]);
    command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    done(command.env("CARGO_TARGET_DIR", &target).current_dir(copied))?;
    Ok(target.join("release/fedp2p-testnet"))
}

/// Runs a command that must succeed.
fn done(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}: {}", command.get_program().to_string_lossy(), String::from_utf8_lossy(&said)))
}

/// Copies what a build needs, as a workspace of its own.
fn copy(workspace: &Path, to: &Path) -> Result<(), String> {
    if to.exists() {
        std::fs::remove_dir_all(to).map_err(|error| error.to_string())?;
    }
    for part in COPIED {
        let target = to.join(part);
        let parent = target.parent().ok_or("a part of the workspace lies in it")?;
        std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        done(Command::new("cp").arg("-r").arg(workspace.join(part)).arg(&target))?;
    }
    let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).map_err(|error| error.to_string())?;
    let members = |line: &str| match line.split_once(" = ") {
        Some(("members", _)) => "members = [\"protocols\", \"crdt\", \"node/core\", \"testnet\"]".to_owned(),
        Some(("default-members", _)) => "default-members = [\"testnet\"]".to_owned(),
        _ => line.to_owned(),
    };
    let manifest: Vec<String> = manifest.lines().map(members).collect();
    std::fs::write(to.join("Cargo.toml"), manifest.join("\n")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_bug_still_applies() {
        let workspace = workspace().unwrap();
        let names = names(&workspace).unwrap();
        assert!(names.len() >= 10);
        for name in names {
            let patch = workspace.join("testnet/planted").join(format!("{name}.patch"));
            apply(&patch, &workspace, &["--dry-run"]).unwrap();
            let head = Head::read(&std::fs::read_to_string(&patch).unwrap());
            assert!(!head.about.is_empty(), "{name} says what is wrong with it");
            for scenario in head.scenarios {
                assert!(fedp2p_testnet::scenario::find(&scenario).is_some(), "{name}: {scenario}");
            }
        }
    }
}
