//! What every process starts as: ties its life to the runtime's, makes itself a process group of its own, then becomes
//! the program. Called in a process of its own, by a hidden command of the program that hosts the runtime.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Becomes `program` with the arguments. Only returns if it can't.
///
/// The kernel kills the process when the runtime's spawning thread ends, so nothing outlives the runtime, however that
/// ends.
pub fn exec(program: &OsString, arguments: &[OsString]) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        return error.into();
    }
    if let Err(error) = rustix::process::setsid() {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}
