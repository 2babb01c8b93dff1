//! jazz

pub mod driver;
pub mod storage;
pub mod transport;
