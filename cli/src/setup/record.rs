//! What was set up on this machine: which files were written, what was in them before, and what was written.
//!
//! It lies in the home folder of the node. Without it everything still works, but files then are not restored byte for
//! byte, and `doctor` does not know what to look at.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk;
use super::target::Scope;
use crate::error::Error;

/// The version of the file.
const VERSION: u32 = 1;
/// What it is called.
const NAME: &str = "setup.json";

/// Everything that was set up.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// One for each tool and scope.
    pub(crate) tools: Vec<Done>,
}

/// What was set up for one tool in one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The tool's name.
    pub(crate) tool: String,
    /// The project's folder; absent if it was set up for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<PathBuf>,
    /// The files that were written.
    pub(crate) files: Vec<Written>,
    /// The folders that were made for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) folders: Vec<PathBuf>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where what was in it before lies; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backup: Option<PathBuf>,
    /// The BLAKE3 hash of what was written.
    pub(crate) hash: String,
}

impl Done {
    /// For whom it was set up.
    pub(crate) fn scope(&self) -> Scope {
        self.project.clone().map_or(Scope::User, Scope::Project)
    }

    /// What was written into this file.
    pub(crate) fn written(&self, path: &Path) -> Option<&Written> {
        self.files.iter().find(|written| written.path == path)
    }
}

impl Record {
    /// Reads the record of a node.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub(crate) fn open(home: &Path) -> Result<Self, Error> {
        let path = home.join(NAME);
        let Some(text) = disk::read(&path)? else { return Ok(Self { version: VERSION, tools: Vec::new() }) };
        let record: Self = serde_json::from_str(&text).map_err(|error| disk::unusable(&path, &error.to_string()))?;
        if record.version != VERSION {
            return Err(disk::unusable(&path, "another version of fedp2p wrote it"));
        }
        Ok(record)
    }

    /// Writes it.
    ///
    /// # Errors
    /// If that is not possible.
    pub(crate) fn save(&self, home: &Path) -> Result<(), Error> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home);
        made.map_err(Error::system(format!("make the home folder {}", home.display())))?;
        let mut text = Vec::new();
        serde_json::to_writer_pretty(&mut text, self).expect("paths and words can be written");
        writeln!(text).expect("memory can be written");
        let text = String::from_utf8(text).expect("JSON is text");
        disk::write(&home.join(NAME), &text, 0o600)
    }

    /// What was set up for a tool in a scope.
    pub(crate) fn find(&self, tool: &str, scope: &Scope) -> Option<&Done> {
        self.tools.iter().find(|done| done.tool == tool && done.scope() == *scope)
    }

    /// The tool in whose name a file was written.
    pub(crate) fn owner(&self, path: &Path) -> Option<&Done> {
        self.tools.iter().find(|done| done.written(path).is_some())
    }

    /// Forgets what was set up for a tool in a scope, and remembers this in its place.
    pub(crate) fn replace(&mut self, tool: &str, scope: &Scope, done: Option<Done>) {
        self.tools.retain(|known| known.tool != tool || known.scope() != *scope);
        self.tools.extend(done);
    }
}

/// The hash by which a file is known again.
pub(crate) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
