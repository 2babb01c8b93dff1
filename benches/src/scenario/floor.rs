//! The floor: how often one thread can do what no implementation can avoid, and what a plain HTTP server answers.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey, verify_batch};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::Error;
use crate::calls::Calls;
use crate::scenario::s1;

/// How long each primitive is repeated.
const PERIOD: Duration = Duration::from_millis(300);
/// Signatures that are verified together.
const BATCH: usize = 64;
/// A message as a session signs it: the text of a hash.
const MESSAGE: &[u8] = br#""hash_z6hnVnUGDCvTWpFHEVp6XbzXzCkVp6XbzXzCkVp6Xb""#;

/// Measures once.
pub fn run(calls: Calls, directory: &Path) -> Result<Value, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
    let key = SigningKey::from_bytes(&seed);
    let verifying = key.verifying_key();
    let signature = key.sign(MESSAGE);
    let (messages, signatures, keys) = batch(&key);
    let (ours, theirs) = (
        StaticSecret::from(seed),
        PublicKey::from(&StaticSecret::from([7; 32])),
    );
    let text = [42_u8; 1024];
    let mut cipher = XSalsa20::new(&seed.into(), &[1; 24].into());
    let mut buffer = text;
    let plain = s1::plain(calls, directory)?;
    Ok(json!({
        "ed25519_sign_per_s": per_second(1, || { let _ = black_box(key.sign(black_box(MESSAGE))); }),
        "ed25519_verify_per_s": per_second(1, || { let _ = black_box(verifying.verify(black_box(MESSAGE), &signature)); }),
        "ed25519_verify_strict_per_s":
            per_second(1, || { let _ = black_box(verifying.verify_strict(black_box(MESSAGE), &signature)); }),
        "ed25519_verify_in_batches_per_s":
            per_second(BATCH, || { let _ = black_box(verify_batch(&messages, &signatures, &keys)); }),
        "x25519_per_s": per_second(1, || { let _ = black_box(ours.diffie_hellman(black_box(&theirs))); }),
        "blake3_1kb_per_s": per_second(1, || { black_box(blake3::hash(black_box(&text))); }),
        "xsalsa20_1kb_per_s": per_second(1, || cipher.apply_keystream(black_box(&mut buffer))),
        "http": plain,
    }))
}

fn batch(key: &SigningKey) -> (Vec<&'static [u8]>, Vec<Signature>, Vec<VerifyingKey>) {
    (
        vec![MESSAGE; BATCH],
        vec![key.sign(MESSAGE); BATCH],
        vec![key.verifying_key(); BATCH],
    )
}

/// How often in a second, if each run counts for so many.
fn per_second(weight: usize, mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut runs = 0_usize;
    while start.elapsed() < PERIOD {
        for _ in 0..16 {
            run();
        }
        runs += 16;
    }
    ((runs * weight) as f64 / start.elapsed().as_secs_f64()).round()
}
