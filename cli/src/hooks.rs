//! The hooks of the guard in a git repository: set, and taken out byte for byte.
//!
//! A hook that is there already is moved aside and run first. A hook of ours is known by its second line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::repository::Repository;
use crate::shell::quoted;

/// The second line of our hooks.
const MARK: &str = "# Set by \"fedp2p guard install\"; \"fedp2p guard remove\" takes it out.";
/// What a hook that was there before is called meanwhile.
const ASIDE: &str = "before-fedp2p";
/// The file in the git directory that says which tree was let past the guard.
const PASSED: &str = "fedp2p-passed";

/// When git runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Before a commit, which it can stop.
    Before,
    /// Before a merge commits by itself, which it can stop.
    BeforeMerge,
    /// Before a patch from a mailbox is committed, which it can stop.
    BeforePatch,
    /// After a commit.
    After,
    /// After a merge.
    AfterMerge,
    /// After a patch from a mailbox was committed.
    AfterPatch,
}

impl Hook {
    /// All.
    pub(crate) const ALL: [Self; 6] =
        [Self::Before, Self::BeforeMerge, Self::BeforePatch, Self::After, Self::AfterMerge, Self::AfterPatch];

    /// What git calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Before => "pre-commit",
            Self::BeforeMerge => "pre-merge-commit",
            Self::BeforePatch => "pre-applypatch",
            Self::After => "post-commit",
            Self::AfterMerge => "post-merge",
            Self::AfterPatch => "post-applypatch",
        }
    }

    /// Whether it can stop what it is run for.
    fn stops(self) -> bool {
        matches!(self, Self::Before | Self::BeforeMerge | Self::BeforePatch)
    }

    /// The script. `program` is where this program is, and `flags` lead it to the same home.
    fn script(self, program: &str, flags: &str) -> String {
        let name = self.name();
        let then = if self.stops() { "|| exit $?" } else { "|| true" };
        // Only a refusal stops a commit, not a guard that cannot look. A name that is none must not blind it.
        let run = |words: &str| {
            format!(
                "{program}{flags} guard {words} >&2\nended=$?\n\
                 if [ $ended -eq 2 ] && [ -n \"$FEDP2P_AGENT\" ]; then\n\
                 \x20 (unset FEDP2P_AGENT; {program}{flags} guard {words} >&2)\n\x20 ended=$?\nfi"
            )
        };
        let check = |words: &str| format!("{}\nif [ $ended -eq 1 ]; then exit 1; fi", run(words));
        // A rebase commits again what was committed before.
        let unless_rebasing = "if [ -e \"$(git rev-parse --git-dir)/rebase-apply/rebasing\" ]; then exit 0; fi";
        let ask = match self {
            // Git does not tell its hooks that a commit takes the place of the last one; how it was called does.
            Self::Before => check("check --called-by $PPID"),
            Self::BeforeMerge => check("check --merge"),
            Self::BeforePatch => format!("{unless_rebasing}\n{}", check("check")),
            Self::AfterPatch => format!("{unless_rebasing}\n{}", run("record")),
            // What was only moved forward is committed by others.
            Self::AfterMerge => format!(
                "if [ \"$1\" = 1 ]; then exit 0; fi\n\
                 case \"$(git reflog -1 --format=%gs)\" in *Fast-forward*) exit 0 ;; esac\n{}",
                run("record")
            ),
            // A rebase commits again what was committed before, and what is committed while it waits.
            Self::After => format!(
                "git_dir=$(git rev-parse --git-dir)\n\
                 passed=$(cat \"$git_dir/{PASSED}\" 2>/dev/null)\n\
                 rm -f \"$git_dir/{PASSED}\"\n\
                 if [ -d \"$git_dir/rebase-merge\" ] || [ -d \"$git_dir/rebase-apply\" ]; then\n\
                 \x20 if [ \"$passed\" != \"$(git rev-parse 'HEAD^{{tree}}')\" ]; then exit 0; fi\n\
                 fi\n{}",
                run("record")
            ),
        };
        format!(
            "#!/bin/sh\n{MARK}\naside=\"$(dirname \"$0\")/{name}.{ASIDE}\"\n\
             if [ -x \"$aside\" ]; then \"$aside\" \"$@\" {then}; fi\n\
             if ! command -v {program} >/dev/null 2>&1; then\n\
             \x20 echo \"fedp2p guard: nothing was checked: the program is not there\" >&2\n\
             \x20 exit 0\nfi\n{ask}\nexit 0\n"
        )
    }
}

/// Sets the hooks and returns whether anything has changed.
///
/// # Errors
/// If the hooks of the repository lie where others share them, a hook was moved aside before and another stands in its
/// place, or a file cannot be written.
pub(crate) fn install(repository: &Repository, flags: &str) -> Result<bool, Error> {
    let folder = folder(repository)?;
    fs::create_dir_all(&folder).map_err(Error::system(format!("make {}", folder.display())))?;
    // By its full path, as git runs hooks in an environment of its own.
    let program = std::env::current_exe().ok().and_then(|path| path.to_str().map(quoted));
    let program = program.unwrap_or_else(|| "fedp2p".to_owned());
    let mut changed = false;
    for hook in Hook::ALL {
        let (path, aside) = paths(&folder, hook);
        let script = hook.script(&program, flags);
        let there = read(&path)?;
        if there.as_deref() == Some(script.as_bytes()) {
            continue;
        }
        if there.as_deref().is_some_and(|there| !is_ours(there)) {
            if aside.exists() {
                return Err(Error::usage(
                    format!("{} was moved aside before, and now there is another hook", aside.display()),
                    format!("join the two in {} and remove {}", path.display(), aside.display()),
                ));
            }
            fs::rename(&path, &aside).map_err(Error::system(format!("move {} aside", path.display())))?;
        }
        write(&path, &script).map_err(Error::system(format!("write {}", path.display())))?;
        changed = true;
    }
    Ok(changed)
}

/// Takes the hooks out, puts back what was there before, and returns whether anything has changed.
///
/// # Errors
/// If a file cannot be moved or removed.
pub(crate) fn remove(repository: &Repository) -> Result<bool, Error> {
    let folder = folder(repository)?;
    let mut changed = false;
    for hook in Hook::ALL {
        let (path, aside) = paths(&folder, hook);
        if !read(&path)?.is_some_and(|there| is_ours(&there)) {
            continue;
        }
        let done = if aside.exists() { fs::rename(&aside, &path) } else { fs::remove_file(&path) };
        done.map_err(Error::system(format!("take {} out", path.display())))?;
        changed = true;
    }
    if let Some(path) = passed(repository)? {
        // It is there only if a commit that was let pass was not made.
        drop(fs::remove_file(path));
    }
    Ok(changed)
}

/// Leaves a mark that what is staged was let past the guard: the hook after the commit, which inside a rebase is silent
/// about commits that are only made again, records the commit of this tree and takes the mark away.
///
/// # Errors
/// If git cannot be run, or the mark cannot be written.
pub(crate) fn let_past(repository: &Repository) -> Result<(), Error> {
    let (path, tree) = (passed(repository)?, repository.git(["write-tree"])?);
    let (Some(path), Some(tree)) = (path, tree) else { return Ok(()) };
    fs::write(&path, format!("{tree}\n")).map_err(Error::system(format!("write {}", path.display())))
}

/// Where the mark lies: each work tree has its own.
fn passed(repository: &Repository) -> Result<Option<PathBuf>, Error> {
    Ok(repository.git(["rev-parse", "--path-format=absolute", "--git-path", PASSED])?.map(PathBuf::from))
}

fn is_ours(script: &[u8]) -> bool {
    script.split(|byte| *byte == b'\n').nth(1) == Some(MARK.as_bytes())
}

fn paths(folder: &Path, hook: Hook) -> (PathBuf, PathBuf) {
    let name = hook.name();
    (folder.join(name), folder.join(format!("{name}.{ASIDE}")))
}

/// Where git looks for the hooks of this repository.
fn folder(repository: &Repository) -> Result<PathBuf, Error> {
    let asked = |arguments: [&str; 4]| -> Result<PathBuf, Error> {
        let path = repository.git(arguments)?;
        path.map(PathBuf::from).ok_or_else(|| Error::usage("git does not say where its hooks are", "update git"))
    };
    let folder = asked(["rev-parse", "--path-format=absolute", "--git-path", "hooks"])?;
    let common = repository.git(["rev-parse", "--path-format=absolute", "--git-common-dir"])?.unwrap_or_default();
    if folder.starts_with(&repository.root) || folder.starts_with(&common) {
        return Ok(folder);
    }
    Err(Error::usage(
        format!("the hooks of this repository lie in {}, which other repositories may share", folder.display()),
        "give it hooks of its own: git config core.hooksPath .git/hooks",
    ))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system(format!("read {}", path.display()))(error)),
    }
}

fn write(path: &Path, script: &str) -> io::Result<()> {
    fs::write(path, script)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
