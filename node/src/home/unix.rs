//! What [`Home`](super::Home) needs to know of users and permissions, as Unix has them. Another platform gets a
//! sibling of this module with the same functions.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

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
