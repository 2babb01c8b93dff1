//! Running a replica from its sources in the cluster's stead.

pub mod child;
pub mod place;
pub mod sources;
