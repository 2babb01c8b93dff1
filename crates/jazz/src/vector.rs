//! Vectors of numbers, as embeddings are.

use cojson::NewValue;
use cojson::content::{FileInfo, chunk_item, end_item};
use cojson::transaction::Privacy;

use crate::create::Owner;
use crate::error::{LoadError, SchemaError, WriteError};
use crate::file::{CHUNK_BYTES, new_file};
use crate::load::Child;
use crate::node::Node;
use crate::value::{Co, CoValue, Raw, Shape};

const NAME: &str = "CoVector";
pub(crate) const MIME_TYPE: &str = "application/vector+octet-stream";

/// A vector of 32-bit numbers. It is written once and doesn't change.
///
/// Never made itself: it is the type in `Co<CoVector>` and `Ref<CoVector>`.
#[derive(Debug)]
pub enum CoVector {}

impl CoValue for CoVector {
    type Snapshot = Vec<f32>;

    const SHAPE: Shape = Shape::Vector;

    fn snapshot(raw: Raw<'_>) -> Result<Vec<f32>, SchemaError> {
        let problem = |problem: &str| Err(SchemaError::new(NAME, "", problem));
        let bytes = match raw {
            Raw::Bytes(Some(bytes)) => bytes,
            Raw::Bytes(None) => return problem("not all of it is here"),
            _ => return problem("not a vector"),
        };
        match numbers(bytes) {
            Some(numbers) => Ok(numbers.collect()),
            None => problem("expected four bytes for each number"),
        }
    }

    fn children(_: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        Ok(Vec::new())
    }
}

/// The numbers that bytes hold, if these are four for each.
pub(crate) fn numbers(bytes: &[u8]) -> Option<impl Iterator<Item = f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
    rest.is_empty().then_some(numbers)
}

impl Co<CoVector> {
    /// The numbers.
    pub fn get(&self) -> Result<Vec<f32>, LoadError> {
        self.read(CoVector::snapshot)
    }
}

impl Node {
    /// Makes a vector.
    pub fn create_vector(&self, owner: &impl Owner, numbers: &[f32]) -> Result<Co<CoVector>, WriteError> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let info = FileInfo::new(MIME_TYPE).sized(bytes.len() as u64);
        let new: NewValue = new_file(owner, &info);
        let owner = new.owner.clone();
        let id = self.write(|core, cx| {
            let id = core.create(cx, new)?;
            let chunks = bytes.chunks(CHUNK_BYTES).map(chunk_item);
            for item in chunks.chain([end_item()]) {
                core.write(cx, &id, &[item], Privacy::Private, None)?;
            }
            Ok(id)
        })?;
        Ok(Co::new(self, id, owner))
    }
}
