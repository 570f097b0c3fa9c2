//! Where a database lies and what the machine has been through: how a copy and a power cut are noticed.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Where a database lies. A copy differs in at least one part.
///
/// The device's number is left out because it may change with a reboot, and a needless new log epoch costs every peer
/// a log. A move of the folder counts as a copy: nothing tells them apart afterwards, and a new log epoch is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The canonical path.
    pub(super) path: Vec<u8>,
    /// The number of the file on its disk, where there is one.
    pub(super) inode: Option<u64>,
    /// When the file was made, in nanoseconds since 1970, where the disk remembers it. A file that is put back after
    /// it was removed often gets its old number again.
    pub(super) born: Option<u64>,
}

impl Place {
    /// Returns the place of the file at `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let canonical = fs::canonicalize(path)?;
        let metadata = fs::metadata(&canonical)?;
        Ok(Self {
            inode: inode(&metadata),
            born: born(&metadata),
            path: canonical.into_os_string().into_encoded_bytes(),
        })
    }
}

fn born(metadata: &fs::Metadata) -> Option<u64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(metadata))
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> Option<u64> {
    None
}

/// Returns a name of the time since the machine was switched on, where the system gives one.
///
/// Without it every unclean stop has to be taken for a power cut.
pub(super) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// Makes sure that the file exists and that only its owner can read it.
///
/// SQLite gives its log and index files the mode of the database, so this holds for them as well.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    restrict(&file)
}

/// Sets the mode whatever the umask made of it, and whatever a careless copy left behind.
#[cfg(unix)]
fn restrict(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o777 == 0o600 {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_: &fs::File) -> io::Result<()> {
    Ok(())
}
