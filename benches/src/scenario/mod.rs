//! The scenarios, one file each: what is run, in which processes, and what is measured.

pub mod floor;
pub mod s1;
pub mod s2;
pub mod s34;
pub mod s5;
pub mod s6;
pub mod s7;
pub mod s8;
