//! What is to be done with the files of a tool, and doing it: all of it or nothing.
//!
//! Before a file is changed, exactly what is in it is put beside it. As long as nobody else changes the file, removing
//! puts that back; else only our entries are taken out of what the file has become, and that is put beside it as well.

use std::path::{Path, PathBuf};

use fedp2p_protocols::api::{self, ErrorCode};
use serde::Serialize;
use similar::TextDiff;

use super::merge::{Change, Unusable};
use super::record::{Done, Record, Written, hash};
use super::target::{Scope, Target};
use super::{Edit, SERVER, disk, generic};
use crate::error::Error;

/// What a backup is called: the name of the file and this, and a number if there is one already.
const BACKUP: &str = "before-fedp2p";
/// Permissions of a new file for the user alone, and of one for a project.
const MODES: [u32; 2] = [0o600, 0o644];
/// What a program may do in addition.
const EXECUTABLE: u32 = 0o100;
/// What is in a file of settings that says nothing.
const NOTHING: &str = "{}";

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
    mode: Mode,
    /// An earlier backup, which is in the file again.
    obsolete: Option<PathBuf>,
}

/// The permissions of a file that is written.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Those of what is there, or these.
    KeptOr(u32),
    /// These.
    Set(u32),
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
    /// Files that were written before and that this is not about.
    others: Vec<Written>,
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
            Some(text) => match self.mode {
                Mode::KeptOr(mode) => disk::write(&self.path, text, mode),
                Mode::Set(mode) => disk::write_with(&self.path, text, mode),
            },
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
        let base = base(written, before.as_deref(), &change);
        let backup = base.as_deref().map(|base| backup_for(&path, base, written)).transpose()?;
        let after = change.put(base.as_deref(), backup.as_deref()).map_err(|why| refused(&path, &why))?;
        let action = match &before {
            None => Action::Create,
            Some(before) if *before == after => Action::Keep,
            Some(_) => Action::Change,
        };
        let mode = mode(&path, &change, &target.scope)?;
        steps.push(Step { path, action, backup, before, after: Some(after), base, mode, obsolete: None });
    }
    let is_new = |written: &&Written| steps.iter().all(|step| step.path != written.path);
    // Only a tool whose files are not known has others.
    let others = known
        .filter(|_| target.tool.name == generic::TOOL.name)
        .map(|done| done.files.iter().filter(is_new).cloned().collect());
    let folders = known.map(|done| done.folders.clone()).unwrap_or_default();
    let (tool, scope) = (target.tool.name, target.scope.clone());
    Ok(Plan { steps, tool, scope, removes: false, folders, others: others.unwrap_or_default() })
}

/// The permissions that a file gets.
fn mode(path: &Path, change: &Change, scope: &Scope) -> Result<Mode, Error> {
    let new = MODES[usize::from(*scope != Scope::User)];
    if !change.is_executable() {
        return Ok(Mode::KeptOr(new));
    }
    let there = disk::mode_of(path).map_err(Error::system(format!("look at {}", path.display())))?;
    Ok(Mode::Set(there.unwrap_or(new) | EXECUTABLE))
}

/// Returns what has to be done so that nothing of ours is left in the files of a tool.
///
/// # Errors
/// If a file cannot be read or does not parse, or it cannot be told what in it is ours.
pub(crate) fn removing(target: &Target<'_>, record: &Record) -> Result<Plan, Error> {
    let known = record.find(target.tool.name, &target.scope);
    let (places, others) = places(target, known)?;
    let mut steps = Vec::new();
    for (path, change) in places {
        let written = known.and_then(|done| done.written(&path));
        steps.extend(clearing(path, &change, written)?);
    }
    let folders = known.map(|done| done.folders.clone()).unwrap_or_default();
    Ok(Plan { steps, tool: target.tool.name, scope: target.scope.clone(), removes: true, folders, others })
}

/// Returns what has to be done so that nothing of ours is left in a file; nothing if it is not there.
fn clearing(path: PathBuf, change: &Change, written: Option<&Written>) -> Result<Option<Step>, Error> {
    let Some(before) = disk::read(&path)? else { return Ok(None) };
    let take = |text: &str, original: Option<&str>| change.take(text, original).map_err(|why| refused(&path, &why));
    let is_as_written = written.is_some_and(|written| written.hash == hash(&before));
    // Whatever somebody has done to a file that is ours as a whole, nothing of it is what was there before.
    let is_known = is_as_written || (written.is_some() && change.owns(&before));
    let backup = written.and_then(|written| written.backup.as_deref());
    let saved = backup.map(disk::read).transpose()?.flatten();
    // What was in a file that was not there is nothing, not unknown.
    let original = saved.as_deref().or(written.filter(|written| written.backup.is_none()).map(|_| NOTHING));
    let (after, action) = match &saved {
        _ if !is_known => {
            let after = take(&before, original)?;
            let action = match &after {
                None => Action::Delete,
                Some(after) if *after == before => Action::Keep,
                Some(_) => Action::TakeOut,
            };
            (after, action)
        }
        None if backup.is_none() => (None, Action::Delete),
        None => (take(&before, None)?, Action::TakeOut),
        Some(saved) => match take(saved, None)? {
            Some(after) if after == *saved => (Some(after), Action::Restore),
            // It was set up twice, and ours was in it the second time.
            after => (after, Action::TakeOut),
        },
    };
    let changed = !is_as_written && action != Action::Keep && change.put(None, None).as_ref() != Ok(&before);
    let copied = changed || action == Action::TakeOut;
    let copy = copied.then(|| backup_for(&path, &before, None)).transpose()?;
    let obsolete = backup.filter(|_| action == Action::Restore).map(Path::to_owned);
    let there = obsolete.as_deref().map(disk::mode_of).transpose();
    let there = there.map_err(Error::system(format!("look at {}", path.display())))?.flatten();
    let mode = there.filter(|_| change.is_executable()).map_or(Mode::KeptOr(MODES[0]), Mode::Set);
    let base = copied.then(|| before.clone());
    Ok(Some(Step { path, action, backup: copy, before: Some(before), after, base, mode, obsolete }))
}

/// Files of a tool and the changes to them.
type Places = Vec<(PathBuf, Change)>;

/// The files of a tool and the changes to them: those that were written, or those that would be. Then those that were
/// written and that this is not about.
fn places(target: &Target<'_>, known: Option<&Done>) -> Result<(Places, Vec<Written>), Error> {
    let edits = (target.tool.edits)(target)?.into_iter();
    let mut edits: Places =
        edits.map(|edit| Ok((disk::follow(&edit.path)?, edit.change))).collect::<Result<_, Error>>()?;
    let Some(done) = known else { return Ok((edits, Vec::new())) };
    let (mut places, mut unmatched) = (Vec::new(), Vec::new());
    for written in &done.files {
        match edits.iter().position(|(path, _)| *path == written.path) {
            Some(at) => places.push(edits.remove(at)),
            None => unmatched.push(written),
        }
    }
    if target.tool.name == generic::TOOL.name {
        // Its user names the file: what was named before stays as it is.
        places.append(&mut edits);
        return Ok((places, unmatched.into_iter().cloned().collect()));
    }
    for written in unmatched {
        // The folder is another one by now, if a variable has been changed.
        match edits.iter().position(|(path, _)| path.file_name() == written.path.file_name()) {
            Some(at) => places.push((written.path.clone(), edits.remove(at).1)),
            None if disk::read(&written.path)?.is_some_and(|text| text.contains(SERVER)) => {
                return Err(lost(target, &written.path));
            }
            None => {}
        }
    }
    Ok((places, Vec::new()))
}

/// Returns what a file is like before our entries come.
fn base(written: Option<&Written>, now: Option<&str>, change: &Change) -> Option<String> {
    let now = now?;
    let ours = written.filter(|written| written.hash == hash(now) || change.owns(now));
    match ours.map(|written| written.backup.as_deref()) {
        Some(None) => None,
        Some(Some(backup)) => Some(disk::read(backup).ok().flatten().unwrap_or_else(|| now.to_owned())),
        None => Some(now.to_owned()),
    }
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

/// Says why a file cannot be changed, and what to do.
fn refused(path: &Path, why: &Unusable) -> Error {
    let error = disk::unusable(path, &why.to_string());
    match (why, error) {
        (Unusable::Taken(name), Error::Refused(error)) => {
            let hint = format!("give your server {name:?} another name there, then try again; nothing was changed");
            error.hint(hint).into()
        }
        (_, error) => error,
    }
}

fn lost(target: &Target<'_>, path: &Path) -> Error {
    let message = format!("{} was set up for {}, which does not lead there any more", path.display(), target.tool.name);
    let hint = "put back the link that led there, or take \"fedp2p\" out of that file by hand, then try again; nothing \
                was changed";
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
        let mut files = std::mem::take(&mut self.others);
        if !self.removes {
            files.extend(self.steps.iter().map(written));
        }
        let done = (!self.removes || !files.is_empty()).then(|| Done {
            tool: self.tool.to_owned(),
            project: if let Scope::Project(project) = &self.scope { Some(project.clone()) } else { None },
            files,
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
        if !self.removes {
            self.folders.extend(disk::make_folder_of(&step.path)?);
        }
        if let (Some(backup), Some(base)) = (&step.backup, &step.base) {
            let there = disk::mode_of(&step.path).map_err(Error::system(format!("look at {}", step.path.display())))?;
            disk::write(backup, base, there.unwrap_or(MODES[0]))?;
        }
        if step.action == Action::Keep { Ok(()) } else { step.set(step.after.as_deref()) }
    }

    /// Removes backups that are not needed any more, and folders of ours that are empty.
    fn clean_up(&self) {
        for backup in self.steps.iter().filter_map(|step| step.obsolete.as_ref()) {
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

#[cfg(test)]
mod tests;
