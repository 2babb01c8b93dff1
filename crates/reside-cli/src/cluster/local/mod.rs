//! A cluster on this machine: making, running, watching, stopping and deleting one.

pub mod background;
mod bring_up;
pub mod foreground;
mod live;
mod programs;
mod readiness;
mod settings;
mod state;
mod system_images;
pub mod updates;

pub use settings::Settings;
pub use state::{LocalCluster, State};
pub use system_images::SystemImages;
