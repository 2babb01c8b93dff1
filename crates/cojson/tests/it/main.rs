//! Tests of the crate at its public seams, most of them against vectors that the reference packages made.

mod support;
mod vectors_content;
mod vectors_groups;
mod vectors_invalid;
mod vectors_primitives;
