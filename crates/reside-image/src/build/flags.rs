//! Flags that cargo hands to the compiler beside the crate's own: static linking, where its configuration doesn't ask for
//! it already, and names for the folders of this machine, so that a program is the same wherever it is built.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::Metadata;

const STATIC: [&str; 2] = ["-C", "target-feature=+crt-static"];
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
    configurations(directory).any(|text| text.contains(MARK))
}

/// The texts of cargo's configurations that hold for a directory.
fn configurations(directory: &Path) -> impl Iterator<Item = String> {
    let directories = directory.ancestors().map(|ancestor| ancestor.join(".cargo"));
    let files = directories
        .chain(cargo_home())
        .flat_map(|directory| [directory.join("config.toml"), directory.join("config")]);
    files.filter_map(|file| read(&file))
}

fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| env::home_dir().map(|home| home.join(".cargo")))
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

/// What is added to the flags of the crate's own configuration.
#[derive(Debug, Default)]
pub(super) struct Flags {
    flags: Vec<String>,
    target: Option<String>,
}

impl Flags {
    /// Links statically. The target is named so that programs which run while building, as procedural macros, stay as
    /// they are.
    pub(super) fn link_statically(&mut self, directory: &Path) -> io::Result<()> {
        self.flags.extend(STATIC.map(str::to_owned));
        self.target = Some(host(directory)?);
        Ok(())
    }

    /// Lets the program know the folders of this machine, which panics name, by other names. Of several that fit, the
    /// compiler takes the last.
    pub(super) fn hide_paths(&mut self, metadata: &Metadata) {
        let mut hide = |path: &Path, name: &str| {
            self.flags
                .push(format!("--remap-path-prefix={}={name}", path.display()));
        };
        if let Some(home) = cargo_home() {
            hide(&home, "/cargo");
        }
        hide(metadata.workspace_root.as_std_path(), "/src");
        hide(metadata.target_directory.as_std_path(), "/target");
    }

    /// Adds them to what holds already: cargo takes flags from one place only, and the crate's own stay.
    pub(super) fn add_to(self, command: &mut Command, directory: &Path) {
        if let Some((_, flags, separator)) = flags_of_environment() {
            let own = flags
                .split(separator)
                .filter(|flag| !flag.is_empty())
                .map(str::to_owned);
            let all: Vec<String> = own.chain(self.flags).collect();
            command.env(VARIABLES[0].0, all.join(VARIABLES[0].1));
        } else if !self.flags.is_empty() {
            let is_by_target = |text: String| text.contains("[target.") && text.contains("rustflags");
            let key = match configurations(directory).any(is_by_target) {
                true => "target.'cfg(all())'.rustflags",
                false => "build.rustflags",
            };
            let flags: Vec<String> = self.flags.iter().map(|flag| format!("{flag:?}")).collect();
            command.args(["--config", &format!("{key}=[{}]", flags.join(","))]);
        }
        if let Some(target) = self.target {
            command.args(["--target", &target]);
        }
    }
}

/// Asks cargo which machine it builds for when nothing else is said; a directory can have a toolchain of its own.
fn host(directory: &Path) -> io::Result<String> {
    let output = Command::new(cargo()).arg("-vV").current_dir(directory).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(|host| host.trim().to_owned())
        .ok_or_else(|| io::Error::other("`cargo -vV` names no host"))
}
