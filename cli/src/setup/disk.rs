//! Reads and writes files of tools: whole or not at all, with the permissions that they had, through links.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fedp2p_protocols::api::{self, ErrorCode};
use tempfile::NamedTempFile;

use crate::error::Error;

/// Largest file that is changed, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Most links that are followed from one path.
const MAX_LINKS: usize = 16;

/// Returns where `path` leads to when it is a link, whether there is something or not.
///
/// # Errors
/// If a link cannot be read, or they lead round in a circle.
pub(crate) fn follow(path: &Path) -> Result<PathBuf, Error> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(Error::system(format!("look at {}", path.display()))(error)),
        }
    }
    Err(unusable(&path, "its links lead round in a circle"))
}

/// Returns what is in a file, or nothing if there is none.
///
/// # Errors
/// If it cannot be read, is no text, or is too large.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(unusable(path, "it is no file")),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            return Err(unusable(path, &format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        _ => {}
    }
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| unusable(path, "it is not UTF-8 text")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system(format!("read {}", path.display()))(error)),
    }
}

/// Says that a file cannot be changed.
pub(crate) fn unusable(path: &Path, why: &str) -> Error {
    let message = format!("{} cannot be changed: {why}", path.display());
    api::Error::new(ErrorCode::Invalid, message)
        .hint("mend that file or put it aside, then try again; nothing was changed")
        .into()
}

/// Writes a file whole. It has the permissions of what was there, or `mode` if nothing was.
///
/// # Errors
/// If it cannot be written; then what was there is there still.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let there = mode_of(path).map_err(Error::system(format!("look at {}", path.display())))?;
    write_with(path, text, there.unwrap_or(mode))
}

/// Writes a file whole, with these permissions.
///
/// # Errors
/// If it cannot be written; then what was there is there still.
pub(crate) fn write_with(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let done = || -> io::Result<()> {
        let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    done().map_err(Error::system(format!("write {}", path.display())))
}

/// Returns the permissions of a file, or nothing if there is none.
///
/// # Errors
/// If the system does not say.
pub(crate) fn mode_of(path: &Path) -> io::Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.permissions().mode() & 0o7777)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the folder of a file and returns those that were missing.
///
/// # Errors
/// If one cannot be made.
pub(crate) fn make_folder_of(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let missing: Vec<PathBuf> = folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    fs::create_dir_all(folder).map_err(Error::system(format!("make {}", folder.display())))?;
    Ok(missing)
}

/// Removes a file, which may be gone.
///
/// # Errors
/// If it is there and cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::system(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_keeps_its_permissions_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", &link).unwrap();
        let path = follow(&link).unwrap();
        assert_eq!(path, real);
        write(&path, "new", 0o600).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn a_link_to_nothing_is_followed_and_a_circle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(folder.path().join("none"), &link).unwrap();
        assert_eq!(follow(&link).unwrap(), folder.path().join("none"));
        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(follow(&circle).is_err());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read(&path).is_err());
        assert!(read(folder.path()).is_err());
    }
}
