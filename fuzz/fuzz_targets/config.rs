//! The command's configuration. The command is no library, so its modules are compiled in here.

#![no_main]
#![allow(dead_code)]

#[path = "../../crates/reside-cli/src/config.rs"]
mod config;
#[path = "../../crates/reside-cli/src/env.rs"]
mod env;
#[path = "../../crates/reside-cli/src/error.rs"]
mod error;
#[path = "../../crates/reside-cli/src/files.rs"]
mod files;
#[path = "../../crates/reside-cli/src/names.rs"]
mod names;
#[path = "../../crates/reside-cli/src/paths.rs"]
mod paths;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::Config::read_and_write(data));
