//! What is to be done with the files of a tool, and doing it: all of it or nothing.
//!
//! Before a file is changed, what is in it is put beside it. As long as nobody else changes the file, removing puts
//! exactly that back; else only our entries are taken out of what the file has become.

use std::path::{Path, PathBuf};

use fedp2p_protocols::api::{self, ErrorCode};
use serde::Serialize;
use similar::TextDiff;

use super::merge::{Change, Unusable};
use super::record::{Done, Record, Written, hash};
use super::target::{Scope, Target};
use super::{Edit, SERVER, disk};
use crate::error::Error;

/// What a backup is called: the name of the file and this, and a number if there is one already.
const BACKUP: &str = "before-fedp2p";
/// Permissions of a new file for the user alone, and of one for a project.
const MODES: [u32; 2] = [0o600, 0o644];
/// What a program may do in addition.
const EXECUTABLE: u32 = 0o100;

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is made.
    Create,
    /// Our entries come into it.
    Change,
    /// It is as it should be.
    Keep,
    /// It becomes byte for byte what it was.
    Restore,
    /// It goes, as it was not there before.
    Delete,
    /// Somebody else has changed it: our entries are taken out of it.
    TakeOut,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Step {
    /// The file, with links followed.
    pub(crate) path: PathBuf,
    /// What becomes of it.
    pub(crate) action: Action,
    /// Where what was in it lies.
    pub(crate) backup: Option<PathBuf>,
    before: Option<String>,
    after: Option<String>,
    /// What the backup has to hold.
    base: Option<String>,
    mode: u32,
}

/// What is to be done with the files of a tool.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One for each file.
    pub(crate) steps: Vec<Step>,
    tool: &'static str,
    scope: Scope,
    removes: bool,
    folders: Vec<PathBuf>,
}

impl Step {
    /// What changes in the file, as a diff.
    pub(crate) fn diff(&self) -> String {
        let text = |side: &Option<String>| side.clone().unwrap_or_default();
        let (before, after) = (text(&self.before), text(&self.after));
        let name = self.path.display().to_string();
        let head = |side: &Option<String>| if side.is_some() { name.clone() } else { "/dev/null".to_owned() };
        let (from, to) = (head(&self.before), head(&self.after));
        TextDiff::from_lines(&before, &after).unified_diff().header(&from, &to).to_string()
    }

    /// Makes sure that the file is still what the plan was made from.
    fn check(&self) -> Result<(), Error> {
        if disk::read(&self.path)? == self.before {
            return Ok(());
        }
        let message = format!("{} was changed by somebody else just now", self.path.display());
        Err(api::Error::new(ErrorCode::Conflict, message).hint("try again; nothing was changed").into())
    }

    fn set(&self, text: Option<&str>) -> Result<(), Error> {
        match text {
            Some(text) => disk::write(&self.path, text, self.mode),
            None => disk::remove(&self.path),
        }
    }
}

/// Returns what has to be done so that a tool is set up.
///
/// # Errors
/// If a file cannot be read, does not parse, or belongs to another tool's set-up.
pub(crate) fn setting_up(target: &Target<'_>, record: &Record) -> Result<Plan, Error> {
    let known = record.find(target.tool.name, &target.scope);
    let mut steps = Vec::new();
    for Edit { path, change } in (target.tool.edits)(target)? {
        let path = disk::follow(&path)?;
        let before = disk::read(&path)?;
        if let Some(owner) = record.owner(&path).filter(|owner| Some(*owner) != known) {
            return Err(belongs_to(owner, &path));
        }
        let written = known.and_then(|done| done.written(&path));
        let base = base(written, before.as_deref(), &change).map_err(|why| disk::unusable(&path, &why.to_string()))?;
        let after = change.put(base.as_deref()).map_err(|why| disk::unusable(&path, &why.to_string()))?;
        let backup = match &base {
            Some(base) => Some(backup_for(&path, base, written)?),
            None => None,
        };
        let action = match &before {
            None => Action::Create,
            Some(before) if *before == after => Action::Keep,
            Some(_) => Action::Change,
        };
        let mode = MODES[usize::from(target.scope != Scope::User)];
        let mode = if change.is_executable() { mode | EXECUTABLE } else { mode };
        steps.push(Step { path, action, backup, before, after: Some(after), base, mode });
    }
    let folders = known.map(|done| done.folders.clone()).unwrap_or_default();
    Ok(Plan { steps, tool: target.tool.name, scope: target.scope.clone(), removes: false, folders })
}

/// Returns what has to be done so that nothing of ours is left in the files of a tool.
///
/// # Errors
/// If a file cannot be read or does not parse.
pub(crate) fn removing(target: &Target<'_>, record: &Record) -> Result<Plan, Error> {
    let known = record.find(target.tool.name, &target.scope);
    let mut steps = Vec::new();
    for (path, change) in places(target, known)? {
        let Some(before) = disk::read(&path)? else { continue };
        let written = known.and_then(|done| done.written(&path));
        let untouched = written.is_some_and(|written| written.hash == hash(&before));
        let saved = written.and_then(|written| written.backup.clone()).filter(|_| untouched);
        let restored = saved.as_deref().map(disk::read).transpose()?.flatten();
        let is_new = untouched && written.is_some_and(|written| written.backup.is_none());
        let (after, action) = if is_new {
            (None, Action::Delete)
        } else if restored.is_some() {
            (restored, Action::Restore)
        } else {
            let after = change.take(&before).map_err(|why| disk::unusable(&path, &why.to_string()))?;
            let action = match &after {
                None => Action::Delete,
                Some(after) if *after == before => Action::Keep,
                Some(_) => Action::TakeOut,
            };
            (after, action)
        };
        let backup = saved.filter(|_| action == Action::Restore);
        steps.push(Step { path, action, backup, before: Some(before), after, base: None, mode: MODES[0] });
    }
    let folders = known.map(|done| done.folders.clone()).unwrap_or_default();
    Ok(Plan { steps, tool: target.tool.name, scope: target.scope.clone(), removes: true, folders })
}

/// The files of a tool and the changes to them: those that were written, or those that would be.
fn places(target: &Target<'_>, known: Option<&Done>) -> Result<Vec<(PathBuf, Change)>, Error> {
    let mut edits = (target.tool.edits)(target)?;
    let Some(done) = known else {
        return edits.into_iter().map(|edit| Ok((disk::follow(&edit.path)?, edit.change))).collect();
    };
    let mut places = Vec::new();
    for written in &done.files {
        // The folder may be another one by now, if a variable has been changed.
        let at = edits.iter().position(|edit| edit.path.file_name() == written.path.file_name());
        places.extend(at.map(|at| (written.path.clone(), edits.remove(at).change)));
    }
    Ok(places)
}

/// Returns what a file was like without our entries.
fn base(written: Option<&Written>, now: Option<&str>, change: &Change) -> Result<Option<String>, Unusable> {
    let Some(now) = now else { return Ok(None) };
    match written.filter(|written| written.hash == hash(now)).map(|written| written.backup.as_deref()) {
        Some(None) => return Ok(None),
        Some(Some(backup)) => {
            if let Ok(Some(saved)) = disk::read(backup) {
                return Ok(Some(saved));
            }
        }
        None => {}
    }
    // Nothing of ours is in a file that does not name us.
    if now.contains(SERVER) { change.take(now) } else { Ok(Some(now.to_owned())) }
}

/// Returns where `base` lies, or where it can be put.
fn backup_for(path: &Path, base: &str, written: Option<&Written>) -> Result<PathBuf, Error> {
    let known = written.and_then(|written| written.backup.as_deref());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut candidates = known.map(Path::to_owned).into_iter().chain((1..).map(|number| {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        path.with_file_name(format!("{name}.{BACKUP}{number}"))
    }));
    loop {
        let candidate = candidates.next().expect("there is always another number");
        match disk::read(&candidate) {
            Ok(Some(there)) if there != base => {}
            Ok(_) => return Ok(candidate),
            Err(error) if !candidate.exists() => return Err(error),
            Err(_) => {}
        }
    }
}

fn belongs_to(owner: &Done, path: &Path) -> Error {
    let project = owner.project.as_ref().map(|folder| format!(" --project={}", folder.display())).unwrap_or_default();
    let message = format!("{} was set up for {}{project} already", path.display(), owner.tool);
    let hint = format!("take that out first: \"fedp2p setup {}{project} --remove\"", owner.tool);
    api::Error::new(ErrorCode::Conflict, message).hint(hint).into()
}

impl Plan {
    /// Whether anything is different afterwards.
    pub(crate) fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.action != Action::Keep)
    }

    /// Does it and remembers it. If one file cannot be written, the others are put back.
    ///
    /// # Errors
    /// If it cannot be done.
    pub(crate) fn carry_out(mut self, record: &mut Record, home: &Path) -> Result<Vec<Step>, Error> {
        self.steps.iter().try_for_each(Step::check)?;
        for at in 0..self.steps.len() {
            if let Err(error) = self.carry_out_step(at) {
                for step in &self.steps[..at] {
                    // What cannot be put back is in the backup.
                    drop(step.set(step.before.as_deref()));
                }
                return Err(error);
            }
        }
        let written = |step: &Step| Written {
            path: step.path.clone(),
            backup: step.backup.clone(),
            hash: hash(step.after.as_deref().unwrap_or_default()),
        };
        let done = (!self.removes).then(|| Done {
            tool: self.tool.to_owned(),
            project: if let Scope::Project(project) = &self.scope { Some(project.clone()) } else { None },
            files: self.steps.iter().map(written).collect(),
            folders: self.folders.clone(),
        });
        let had_record = record.find(self.tool, &self.scope).is_some();
        record.replace(self.tool, &self.scope, done);
        if had_record || !self.removes {
            record.save(home)?;
        }
        if self.removes {
            self.clean_up();
        }
        Ok(self.steps)
    }

    fn carry_out_step(&mut self, at: usize) -> Result<(), Error> {
        let step = &self.steps[at];
        if self.removes {
            return step.set(step.after.as_deref());
        }
        let missing = disk::make_folder_of(&step.path)?;
        self.folders.extend(missing);
        if let (Some(backup), Some(base)) = (&step.backup, &step.base) {
            let mode = std::fs::metadata(&step.path).map(|metadata| mode_of(&metadata)).unwrap_or(step.mode);
            disk::write(backup, base, mode)?;
        }
        if step.action == Action::Keep { Ok(()) } else { step.set(step.after.as_deref()) }
    }

    /// Removes backups that are not needed any more, and folders of ours that are empty.
    fn clean_up(&self) {
        for backup in self.steps.iter().filter_map(|step| step.backup.as_ref()) {
            drop(disk::remove(backup));
        }
        let mut folders = self.folders.clone();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        for folder in folders {
            // Whoever has put something there since keeps it.
            drop(std::fs::remove_dir(folder));
        }
    }
}

fn mode_of(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o7777
}

#[cfg(test)]
mod tests;
