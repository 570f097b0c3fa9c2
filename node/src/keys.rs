//! The secret keys of a home folder: files of mode 0600, one line of base32 each.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fedp2p_protocols::id::{base32, from_base32};
use fedp2p_protocols::op::NodeKey;
use rand_core::{OsRng, RngCore};

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// It cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold a key.
    #[error("{} does not hold a key", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it.
    #[error("{} can be read by others (mode {mode:o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// A whole key file is 52 characters and a line end; anything longer is none.
const MAX_FILE_BYTES: u64 = 128;

/// Returns the key in a file, or nothing if there is no such file.
///
/// # Errors
/// If the file is not private or does not hold a key.
pub(crate) fn load(path: &Path) -> Result<Option<NodeKey>, KeyError> {
    let fail = |source| KeyError::File { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    check_private(path, &file)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(fail)?;
    let seed = from_base32(text.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let seed = seed.ok_or_else(|| KeyError::Damaged { path: path.to_owned() })?;
    Ok(Some(NodeKey::from_seed(seed)))
}

/// Makes a new key and keeps it in a file, which is there whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn create(path: &Path) -> Result<NodeKey, KeyError> {
    let fail = |source| KeyError::File { path: path.to_owned(), source };
    let mut seed = [0; 32];
    OsRng.fill_bytes(&mut seed);
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    let mut file = options.open(&temporary).map_err(fail)?;
    writeln!(file, "{}", base32(&seed)).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&temporary, path).map_err(fail)?;
    // The database that names this key must not outlive it.
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    }
    Ok(NodeKey::from_seed(seed))
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |source| KeyError::File { path: path.to_owned(), source };
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        assert!(load(&path).unwrap().is_none());
        let key = create(&path).unwrap();
        assert_eq!(load(&path).unwrap().unwrap().id(), key.id());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_half_written_or_readable_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        create(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..20]).unwrap();
        assert!(matches!(load(&path), Err(KeyError::Damaged { .. })));
        std::fs::write(&path, &whole).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load(&path), Err(KeyError::Open { mode: 0o644, .. })));
    }
}
