//! reside-local
