//! A look at a program's ELF header: which processor it is for, and whether it stands on its own.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADERS_MAX: u16 = 1024;
const PT_INTERP: u32 = 3;

/// A processor that programs are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit POWER, little-endian.
    Ppc64le,
    /// IBM Z.
    S390x,
}

impl Architecture {
    /// Returns the name that images use, which is Go's.
    pub fn as_oci(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
            Self::Ppc64le => "ppc64le",
            Self::S390x => "s390x",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_oci())
    }
}

/// Why a file can't be the only file of an image.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It can't be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It isn't a Linux program.
    #[error("it is not a 64-bit ELF program")]
    NotElf,
    /// It is for a processor that we don't know.
    #[error("it is made for an unknown processor (ELF machine {0})")]
    UnknownMachine(u16),
    /// It asks for a dynamic loader and libraries, which the image won't have.
    #[error(
        "it is linked dynamically, but nothing else will be in its image; link it with `-C target-feature=+crt-static`"
    )]
    Dynamic,
}

/// Checks that a file is a statically linked program.
pub fn inspect(path: &Path) -> Result<Architecture, ProgramError> {
    inspect_reader(File::open(path)?)
}

fn inspect_reader(mut file: impl Read + Seek) -> Result<Architecture, ProgramError> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).map_err(short_is_no_elf)?;
    if !header.starts_with(b"\x7fELF\x02") || !matches!(header[5], 1 | 2) {
        return Err(ProgramError::NotElf);
    }
    let fields = Fields {
        little_endian: header[5] == 1,
    };
    let (kind, machine) = (fields.u16(&header, 16), fields.u16(&header, 18));
    if !matches!(kind, 2 | 3) {
        return Err(ProgramError::NotElf); // an object file or a core dump
    }
    let architecture = match machine {
        62 => Architecture::Amd64,
        183 => Architecture::Arm64,
        243 => Architecture::Riscv64,
        21 if fields.little_endian => Architecture::Ppc64le,
        22 => Architecture::S390x,
        other => return Err(ProgramError::UnknownMachine(other)),
    };
    let (offset, size, count) = (
        fields.u64(&header, 32),
        fields.u16(&header, 54),
        fields.u16(&header, 56),
    );
    if size < 56 || count == 0 || count > PROGRAM_HEADERS_MAX {
        return Err(ProgramError::NotElf);
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut program_header = vec![0; size.into()];
    for _ in 0..count {
        file.read_exact(&mut program_header).map_err(short_is_no_elf)?;
        if fields.u32(&program_header, 0) == PT_INTERP {
            return Err(ProgramError::Dynamic);
        }
    }
    Ok(architecture)
}

fn short_is_no_elf(error: io::Error) -> ProgramError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        ProgramError::NotElf
    } else {
        ProgramError::Io(error)
    }
}

/// Reads numbers; the places asked for lie inside of what was read.
struct Fields {
    little_endian: bool,
}

impl Fields {
    fn bytes<const N: usize>(&self, from: &[u8], at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&from[at..at + N]);
        if !self.little_endian {
            bytes.reverse();
        }
        bytes
    }

    fn u16(&self, from: &[u8], at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(from, at))
    }

    fn u32(&self, from: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(from, at))
    }

    fn u64(&self, from: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(from, at))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn elf(kind: u16, machine: u16, program_headers: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&(program_headers.len() as u16).to_le_bytes());
        for kind in program_headers {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn static_programs_are_told_from_others() {
        let inspect = |bytes: Vec<u8>| inspect_reader(Cursor::new(bytes));
        assert_eq!(inspect(elf(2, 62, &[1, 2])).unwrap(), Architecture::Amd64);
        assert_eq!(inspect(elf(3, 183, &[6, 1])).unwrap(), Architecture::Arm64); // static, position independent
        assert!(matches!(
            inspect(elf(3, 62, &[6, PT_INTERP, 1])),
            Err(ProgramError::Dynamic)
        ));
        assert!(matches!(inspect(elf(1, 62, &[1])), Err(ProgramError::NotElf)));
        assert!(matches!(
            inspect(elf(2, 9999, &[1])),
            Err(ProgramError::UnknownMachine(9999))
        ));
        assert!(matches!(inspect(elf(2, 62, &[])), Err(ProgramError::NotElf)));
        assert!(matches!(
            inspect(b"#!/bin/sh\n".to_vec()),
            Err(ProgramError::NotElf)
        ));
        let mut cut = elf(2, 62, &[1, 1]);
        cut.truncate(HEADER_BYTES + 60);
        assert!(matches!(inspect(cut), Err(ProgramError::NotElf)));
        let mut far = elf(2, 62, &[1]);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(inspect(far).is_err());
        assert!(inspect_reader(File::open("/proc/self/exe").unwrap()).is_ok());
    }
}
