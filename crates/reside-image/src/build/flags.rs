//! How cargo is told to link statically, where the crate's own configuration doesn't say so already.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
};

const FLAGS: [&str; 2] = ["-C", "target-feature=+crt-static"];
const MARK: &str = "+crt-static";
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// In order of precedence: cargo takes the first that is set and ignores the rest and its configuration.
const VARIABLES: [(&str, &str); 2] = [("CARGO_ENCODED_RUSTFLAGS", "\x1f"), ("RUSTFLAGS", " ")];

/// The cargo to run: the one that runs us, if one does.
pub(super) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Tells whether the flags that hold for a directory ask for static linking somewhere. If so, they are left alone, so
/// that what ordinary builds have compiled is used again.
pub(super) fn mentions_static(directory: &Path) -> bool {
    if let Some((_, flags, _)) = flags_of_environment() {
        return flags.contains(MARK);
    }
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let directories = directory
        .ancestors()
        .map(|ancestor| ancestor.join(".cargo"))
        .chain(home);
    let files = directories.flat_map(|directory| [directory.join("config.toml"), directory.join("config")]);
    files
        .into_iter()
        .any(|file| read(&file).is_some_and(|text| text.contains(MARK)))
}

fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file)
        .ok()?
        .take(CONFIG_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

fn flags_of_environment() -> Option<(&'static str, String, &'static str)> {
    VARIABLES
        .iter()
        .find_map(|(name, separator)| Some((*name, env::var(name).ok()?, *separator)))
}

/// Adds static linking to what the crate's configuration says. The target is named so that programs which run while
/// building, as procedural macros, stay as they are.
pub(super) fn link_statically(command: &mut Command, directory: &Path) -> io::Result<()> {
    let host = host(directory)?;
    match flags_of_environment() {
        Some((name, flags, separator)) => {
            let mut all: Vec<&str> = flags.split(separator).filter(|flag| !flag.is_empty()).collect();
            all.extend(FLAGS);
            command.env(name, all.join(separator));
        }
        None => {
            let flags = format!("target.{host}.rustflags=[\"{}\",\"{}\"]", FLAGS[0], FLAGS[1]);
            command.args(["--config", &flags]);
        }
    }
    command.args(["--target", &host]);
    Ok(())
}

/// Asks cargo which machine it builds for when nothing else is said; a directory can have a toolchain of its own.
fn host(directory: &Path) -> io::Result<String> {
    let output = Command::new(cargo()).arg("-vV").current_dir(directory).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(|host| host.trim().to_owned())
        .ok_or_else(|| io::Error::other("`cargo -vV` names no host"))
}
