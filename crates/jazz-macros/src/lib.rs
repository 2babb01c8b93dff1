//! jazz-macros
