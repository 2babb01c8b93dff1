//! Readers and writers that compute the digest of what passes through them.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::reference::Digest;

/// Returns the digest of a whole text.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_hash(Sha256::digest(bytes).into())
}

/// Hashes and counts what is read or written.
#[derive(Debug)]
pub(crate) struct Hashing<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Returns what it wrapped, the digest and the number of bytes.
    pub(crate) fn finish(self) -> (T, Digest, u64) {
        (
            self.inner,
            Digest::from_hash(self.hash.finalize().into()),
            self.bytes,
        )
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.passed(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.passed(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
