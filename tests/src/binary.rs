//! Where the program is. It belongs to another package, so Cargo does not say; it is built once for each test process,
//! which takes no time if nothing has changed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Returns the program, built with the profile and in the target folder of this test.
///
/// # Panics
/// If it cannot be built.
pub fn fedp2p() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
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
    let built = command.output().unwrap();
    assert!(built.status.success(), "the program cannot be built:\n{}", String::from_utf8_lossy(&built.stderr));
    folder.join("fedp2p")
}
