//! jazz-sync
