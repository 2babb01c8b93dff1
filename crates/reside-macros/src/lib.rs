//! reside-macros
