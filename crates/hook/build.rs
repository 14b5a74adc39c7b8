//! Links the unwinder into `ducat-hook` where GNU ld and GCC are the linkers.
//!
//! Loading libgcc_s.so is a quarter of the time that the whole process takes, and a hook process is started on every tool call. rustc names
//! the library by itself, so the linker is shown a script of that name first, which means GCC's archive of the same code. Linking all
//! of libc statically would be as fast, and three times as large.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|told| told == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || env::var("HOST") != env::var("TARGET") {
        return;
    }
    let archive = Command::new("cc")
        .arg("-print-file-name=libgcc_eh.a")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    // Without one, the name alone is printed, and libgcc_s.so is linked as ever.
    let Some(archive) = archive.map(|path| PathBuf::from(path.trim())).filter(|path| path.is_absolute() && path.exists()) else {
        return;
    };
    let Some(folder) = env::var_os("OUT_DIR") else { return };
    let script = format!("INPUT({} -lgcc)\n", archive.display());
    if fs::write(Path::new(&folder).join("libgcc_s.so"), script).is_ok() {
        println!("cargo:rustc-link-search=native={}", Path::new(&folder).display());
    }
}
