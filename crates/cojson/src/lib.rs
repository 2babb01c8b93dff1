//! cojson
