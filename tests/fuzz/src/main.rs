#![expect(clippy::print_stdout, reason = "a command says what it does")]
#![expect(clippy::unwrap_used, reason = "a command that cannot go on says why")]
//! `fedp2p-fuzz list` names the targets, `seeds TARGET FOLDER` writes what a guided run begins with, `replay TARGET
//! FILE…` runs inputs once and says how deep each came.

use std::path::Path;

use fedp2p_fuzz::{find, targets};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => targets::ALL.iter().for_each(|target| println!("{}", target.name)),
        ["seeds", name, folder] => {
            let target = find(name).expect("`list` names the targets");
            std::fs::create_dir_all(folder).unwrap();
            for bytes in (target.seeds)() {
                let name = blake3::hash(&bytes).to_hex();
                std::fs::write(Path::new(folder).join(&name[..16]), bytes).unwrap();
            }
        }
        ["replay", name, files @ ..] => {
            let target = find(name).expect("`list` names the targets");
            for file in files {
                let bytes = std::fs::read(file).unwrap();
                println!("{file}: {}", (target.run)(&bytes));
            }
        }
        _ => println!("fedp2p-fuzz list | seeds TARGET FOLDER | replay TARGET FILE…"),
    }
}
