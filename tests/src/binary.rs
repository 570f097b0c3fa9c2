//! Where the program is. It belongs to another package, so Cargo does not say; it is built once for each test process,
//! which takes no time if nothing has changed. A run that is to last longer than a program stays the newest is told by
//! `FEDP2P_PROGRAM` where one is, and builds none.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Returns the program, built with the profile and in the target folder of this test.
///
/// # Panics
/// If it cannot be built, or is not where it is said to be.
pub fn fedp2p() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("FEDP2P_PROGRAM").map_or_else(build, given))
}

fn given(path: OsString) -> PathBuf {
    std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("FEDP2P_PROGRAM={}: {error}", path.display()))
}

fn build() -> PathBuf {
    // TARGET/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).expect("a test lies two folders deep in the target folder");
    let profile = folder.file_name().unwrap().to_str().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", "fedp2p", "--manifest-path"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    command.arg("--target-dir").arg(folder.parent().unwrap());
    command.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    // What Cargo tells this test of its own package would look like a change to build scripts that ask for it, and half
    // of the dependencies would be built anew each time.
    let own = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
        command.env_remove(name);
    }
    let built = command.output().unwrap();
    assert!(built.status.success(), "the program cannot be built:\n{}", String::from_utf8_lossy(&built.stderr));
    folder.join("fedp2p")
}
