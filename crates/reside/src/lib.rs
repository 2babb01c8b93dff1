//! reside
