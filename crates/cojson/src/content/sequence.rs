//! The reading order of a list: finding a position and putting something in take about the same time anywhere, however
//! long the list is.

/// A block with more nodes than this is cut in half.
const MAX_BLOCK: usize = 256;

/// Nodes, numbered as they come, in an order; some are shown.
#[derive(Debug, PartialEq)]
pub(super) struct Sequence {
    blocks: Vec<Block>,
    /// The blocks in order. There is always one.
    order: Vec<u32>,
    /// By node.
    places: Vec<Place>,
    shown: usize,
}

#[derive(Debug, Default, PartialEq)]
struct Block {
    nodes: Vec<u32>,
    shown: usize,
}

#[derive(Debug, PartialEq)]
struct Place {
    block: u32,
    is_shown: bool,
}

/// Where a new node goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Before(u32),
    After(u32),
    End,
}

impl Default for Sequence {
    fn default() -> Self {
        Self {
            blocks: vec![Block::default()],
            order: vec![0],
            places: Vec::new(),
            shown: 0,
        }
    }
}

impl Sequence {
    /// How many nodes are shown.
    pub fn len(&self) -> usize {
        self.shown
    }

    /// Puts in a new node; its number is the count of those before it.
    pub fn insert(&mut self, at: At, is_shown: bool) -> u32 {
        let node = self.places.len() as u32;
        let (block, offset) = match at {
            At::Before(other) => self.find(other),
            At::After(other) => {
                let (block, offset) = self.find(other);
                (block, offset + 1)
            }
            At::End => {
                let last = *self.order.last().expect("there is always a block");
                (last, self.blocks[last as usize].nodes.len())
            }
        };
        self.places.push(Place { block, is_shown });
        self.shown += usize::from(is_shown);
        let place = &mut self.blocks[block as usize];
        place.nodes.insert(offset, node);
        place.shown += usize::from(is_shown);
        if place.nodes.len() > MAX_BLOCK {
            self.split(block);
        }
        node
    }

    /// Shows a node no longer.
    pub fn hide(&mut self, node: u32) {
        let place = &mut self.places[node as usize];
        if std::mem::take(&mut place.is_shown) {
            self.blocks[place.block as usize].shown -= 1;
            self.shown -= 1;
        }
    }

    /// The shown node at a position, looked for from the nearer end.
    pub fn nth(&self, position: usize) -> Option<u32> {
        let from_end = self.shown.checked_sub(position + 1)?;
        if position <= from_end {
            let (block, skip) = skip_blocks(self.in_order(), position)?;
            self.shown_in(block).nth(skip)
        } else {
            let (block, skip) = skip_blocks(self.in_order().rev(), from_end)?;
            self.shown_in(block).rev().nth(skip)
        }
    }

    /// All shown nodes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.in_order().flat_map(|block| self.shown_in(block))
    }

    fn in_order(&self) -> impl DoubleEndedIterator<Item = &Block> {
        self.order.iter().map(|block| &self.blocks[*block as usize])
    }

    fn shown_in(&self, block: &Block) -> impl DoubleEndedIterator<Item = u32> {
        let nodes = block.nodes.iter().copied();
        nodes.filter(|node| self.places[*node as usize].is_shown)
    }

    fn find(&self, node: u32) -> (u32, usize) {
        let block = self.places[node as usize].block;
        let nodes = &self.blocks[block as usize].nodes;
        let offset = nodes.iter().rposition(|other| *other == node);
        (block, offset.expect("a node is in its block"))
    }

    fn split(&mut self, block: u32) {
        let new = self.blocks.len() as u32;
        let nodes = self.blocks[block as usize].nodes.split_off(MAX_BLOCK / 2);
        let mut shown = 0;
        for node in &nodes {
            let place = &mut self.places[*node as usize];
            place.block = new;
            shown += usize::from(place.is_shown);
        }
        self.blocks[block as usize].shown -= shown;
        self.blocks.push(Block { nodes, shown });
        let position = self.order.iter().rposition(|other| *other == block);
        let position = position.expect("every block is in the order");
        self.order.insert(position + 1, new);
    }
}

/// The block in which `count` shown nodes end, and how many of them are in it.
fn skip_blocks<'a>(blocks: impl Iterator<Item = &'a Block>, mut count: usize) -> Option<(&'a Block, usize)> {
    for block in blocks {
        match count.checked_sub(block.shown) {
            Some(left) => count = left,
            None => return Some((block, count)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows random steps with a plain vector beside.
    #[test]
    fn agrees_with_a_vector() {
        let mut state = 0x9e37_79b9_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut sequence = Sequence::default();
        let mut all: Vec<(u32, bool)> = Vec::new();
        for step in 0..3000 {
            let position = random(all.len() + 1);
            let is_shown = random(4) > 0;
            let at = match (all.get(position), position.checked_sub(1)) {
                (None, _) => At::End,
                (Some((next, _)), None) => At::Before(*next),
                (Some((next, _)), Some(_)) if step % 2 == 0 => At::Before(*next),
                (Some(_), Some(before)) => At::After(all[before].0),
            };
            all.insert(position, (sequence.insert(at, is_shown), is_shown));
            let hidden = random(all.len());
            if step % 3 == 0 {
                sequence.hide(all[hidden].0);
                all[hidden].1 = false;
            }
        }
        let shown: Vec<u32> = all
            .iter()
            .filter(|(_, is_shown)| *is_shown)
            .map(|(node, _)| *node)
            .collect();
        assert_eq!(sequence.iter().collect::<Vec<_>>(), shown);
        assert_eq!(sequence.len(), shown.len());
        for (position, node) in shown.iter().enumerate() {
            assert_eq!(sequence.nth(position), Some(*node));
        }
        assert_eq!(sequence.nth(shown.len()), None);
    }
}
