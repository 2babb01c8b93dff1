//! jazz
