//! What [`Home`](super::Home) needs to know of users and permissions, as Unix has them. Another platform gets a
//! sibling of this module with the same functions.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Error;

/// Returns the number of the user who runs this process.
pub(super) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns the number of the user whom `path` belongs to, if it exists.
pub(super) fn owner(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|metadata| metadata.uid())
}

/// Makes `path` and what is missing above it, for this user only. A folder that exists is left as it is.
pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)
        }
        Err(error) => Err(error),
    }
}

/// Returns whether `path` exists, having checked that nobody else can enter or replace it.
pub(super) fn check_private_folder(path: &Path) -> Result<bool, Error> {
    let path = path.to_owned();
    let metadata = match std::fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::Runtime { path, source }),
    };
    if !metadata.is_dir() {
        return Err(Error::NotAFolder { path });
    }
    if metadata.uid() != user() {
        let owner = metadata.uid();
        return Err(Error::OtherUser { path, owner });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Open { path, mode });
    }
    Ok(true)
}

/// The path that these bytes are.
pub(super) fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Writes a file for this user only, whole or not at all.
pub(super) fn write_private_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    drop(file);
    std::fs::rename(&new, path)
}

/// Reads a file of at most `limit` bytes that nobody else can read or write, if it exists, or says what is wrong with it.
pub(super) fn read_private_file(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, &'static str> {
    // A pipe in its place must not hold us up.
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty());
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) => return Err("it is no file of its own"),
        Err(_) => return Err("it cannot be read"),
    };
    let metadata = file.metadata().map_err(|_| "it cannot be read")?;
    if !metadata.is_file() {
        return Err("it is no file of its own");
    }
    if metadata.uid() != user() {
        return Err("it belongs to another user");
    }
    if metadata.mode() & 0o077 != 0 {
        return Err("it is open to other users");
    }
    let mut text = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut text).map_err(|_| "it cannot be read")?;
    if text.len() > limit { Err("it is too long") } else { Ok(Some(text)) }
}
