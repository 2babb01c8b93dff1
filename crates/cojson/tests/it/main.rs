//! Tests of the crate at its public seams, most of them against vectors that the reference packages made.

mod support;
mod vectors_primitives;
