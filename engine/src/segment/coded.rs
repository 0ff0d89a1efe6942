//! Coded graphs in memory: made from graph and codes of a segment when there is time and room.
//!
//! # Invariants
//! - The bytes of all coded graphs of a data directory stay within a budget; a segment that finds
//!   no room for codes in the nodes gets lists alone, and one that finds none for these is searched
//!   without. What it got it keeps until it is opened anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use format_spec::PartKind;
use index::{CodedGraph, NodeLayout};
use parking_lot::{Mutex, MutexGuard};
use quant::{CodeBits, SignRows};

use super::Segment;
use crate::error::Result;
use crate::pool::Pool;

/// Room for coded graphs, shared by all shards.
#[derive(Debug)]
pub(crate) struct CodedRoom {
    most: u64,
    taken: AtomicU64,
    making: Mutex<()>,
}

impl CodedRoom {
    /// Room for `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            most,
            taken: AtomicU64::new(0),
            making: Mutex::new(()),
        }
    }

    /// One coded graph is made at a time, so that no two threads make the same.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.making.lock()
    }

    /// Takes room, if there is that much.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<CodedPlace> {
        let more = |taken: u64| taken.checked_add(bytes).filter(|&sum| sum <= self.most);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.taken.fetch_update(set, get, more).ok()?;
        Some(CodedPlace {
            room: Arc::clone(self),
            bytes,
        })
    }

    /// Bytes taken.
    #[cfg(test)]
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Room that was taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct CodedPlace {
    room: Arc<CodedRoom>,
    bytes: u64,
}

impl Drop for CodedPlace {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A coded graph and its room; without a graph where there are no sound parts to make it from.
#[derive(Debug)]
pub(crate) struct Coded {
    pub(crate) graph: Option<CodedGraph>,
    pub(crate) _place: Option<CodedPlace>,
}

impl Segment {
    /// The graph over one name's vectors with codes in its nodes, if it is in memory.
    pub(crate) fn coded(&self, vector_index: usize) -> Option<&CodedGraph> {
        self.coded.get(vector_index)?.get()?.graph.as_ref()
    }

    /// Whether a coded graph over one name's vectors could be made.
    pub(crate) fn wants_coded(&self, vector_index: usize) -> bool {
        let open = self.coded.get(vector_index);
        let open = open.is_some_and(|coded| coded.get().is_none());
        let graph = self.graphs.get(vector_index).and_then(Option::as_ref);
        let stays_on_disk = graph.is_some_and(|lazy| lazy.part.is_cold());
        open && !stays_on_disk && self.has_graph(vector_index) && self.has_codes(vector_index)
    }

    /// Whether a coded graph is in memory although the graph is to stay on disk.
    pub(crate) fn keeps_coded_of_cold(&self) -> bool {
        let mut graphs = self.graphs.iter().zip(&self.coded);
        graphs.any(|(graph, coded)| {
            let cold = graph.as_ref().is_some_and(|lazy| lazy.part.is_cold());
            cold && coded.get().is_some_and(|coded| coded.graph.is_some())
        })
    }

    /// Makes the coded graph over one name's vectors; false when there is no room for it.
    ///
    /// # Errors
    /// `Corrupt` when graph or codes do not verify; no threads.
    pub(crate) fn make_coded(
        &self,
        vector_index: usize,
        room: &Arc<CodedRoom>,
        pool: &Pool,
    ) -> Result<bool> {
        let _turn = room.turn();
        let Some(cell) = self
            .coded
            .get(vector_index)
            .filter(|cell| cell.get().is_none())
        else {
            return Ok(true);
        };
        let mut made = Coded {
            graph: None,
            _place: None,
        };
        if let (Some(graph), Some(shape)) =
            (self.graph(vector_index)?, self.code_shape(vector_index)?)
        {
            let longest = graph.head().m0 as usize;
            // The fastest that there is room for.
            let layouts = [NodeLayout::Codes, NodeLayout::Lists].into_iter();
            let mut placed = layouts.filter_map(|layout| {
                let bytes = CodedGraph::bytes_for(layout, graph.len(), longest, shape);
                Some((layout, room.take(bytes)?))
            });
            let Some((layout, place)) = placed.next() else {
                return Ok(false);
            };
            let packed = self.pack(vector_index, layout, shape, pool)?;
            made = Coded {
                _place: packed.is_some().then_some(place),
                graph: packed,
            };
            // Its base layer is not read again.
            if let Some(Some(lazy)) = self.graphs.get(vector_index) {
                lazy.part.let_pages_go();
            }
        }
        // The turn keeps others from being first.
        drop(cell.set(Arc::new(made)));
        Ok(true)
    }

    /// Packs a graph; `None` if the codes that go with it are damaged.
    fn pack(
        &self,
        vector_index: usize,
        layout: NodeLayout,
        (padded, bits): (usize, CodeBits),
        pool: &Pool,
    ) -> Result<Option<CodedGraph>> {
        let Some(graph) = self.graph(vector_index)? else {
            return Ok(None);
        };
        let longest = graph.head().m0 as usize;
        let with_codes = layout == NodeLayout::Codes;
        if !with_codes && bits != CodeBits::One {
            return Ok(Some(CodedGraph::pack_lists(&graph, longest, None)));
        }
        let Some((_, codes)) = self.code_rows(vector_index)? else {
            return Ok(None);
        };
        let blocks = (0..codes.block_count()).map(|block| codes.block(block));
        Ok(Some(if with_codes {
            CodedGraph::pack(&graph, longest, blocks, padded, pool.get()?)
        } else {
            let signs = SignRows::of_blocks(blocks, padded);
            CodedGraph::pack_lists(&graph, longest, Some(signs))
        }))
    }

    /// Takes over the coded graphs of `before`, the same segment with other parts, as far as their
    /// graph and codes are still listed.
    pub(crate) fn keep_coded(&self, before: &Self) {
        let same = |segment: &Self, kind: PartKind, name: &str| {
            let parts = segment.entry.parts.iter();
            let mut found = parts.filter(|part| part.kind == kind && part.name == name);
            found.next().map(|part| part.id)
        };
        for (index, cell) in self.coded.iter().enumerate() {
            let coded = before.coded.get(index).and_then(OnceLock::get);
            let part = self.vectors_part(index);
            let (Some(coded), Some(part)) = (coded, part) else {
                continue;
            };
            let name = &part.entry().name;
            let kept = [PartKind::Graph, PartKind::Codes]
                .iter()
                .all(|&kind| same(self, kind, name) == same(before, kind, name));
            if kept {
                drop(cell.set(Arc::clone(coded)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let room = Arc::new(CodedRoom::new(10));
        let first = room.take(6);
        assert!(first.is_some() && room.take(5).is_none());
        drop(first);
        assert!(room.take(10).is_some());
        assert_eq!(room.taken(), 0);
    }
}
