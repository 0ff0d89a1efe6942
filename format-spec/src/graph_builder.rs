//! Writing graphs, list by list.
//!
//! # Invariants
//! - The base layer goes straight to the sink; levels and upper lists, a few per cent of it, are
//!   held until `finish`.
//! - A graph with too few or too many lists is never finished.

use std::io::Write;

use crate::container::{PartSummary, PartWriter, WriteError};
use crate::graph::{
    BASE, GraphHead, LEVELS, M_MAX, M0_MAX, META, NO_ENTRY, NOT_IN_GRAPH, UPPER_LISTS,
    UPPER_NEIGHBOURS, UPPER_OFFSETS, UPPER_ROWS,
};
use crate::ids::Row;

/// Writes a graph part: `new`, then `base` once a row in row order, then `upper` once a layer above
/// the base for each row in row order (layer 1 first), then `finish`.
#[derive(Debug)]
pub struct GraphBuilder<W> {
    part: PartWriter<W>,
    head: GraphHead,
    levels: Vec<u8>,
    /// Rows the base layer has.
    based: usize,
    upper_offsets: Vec<u32>,
    upper_neighbours: Vec<u8>,
}

impl<W: Write> GraphBuilder<W> {
    /// Begins the graph of `levels.len()` rows; rows that are not in the graph have the level
    /// [`NOT_IN_GRAPH`].
    ///
    /// # Errors
    /// The sink's; `Invalid` if the head, the entry or the levels break the chapter's rules, or if
    /// the part names no source.
    pub fn new(
        mut part: PartWriter<W>,
        head: GraphHead,
        levels: Vec<u8>,
    ) -> Result<Self, WriteError> {
        if head.m == 0 || head.m > M_MAX {
            return Err(WriteError::invalid("m", head.m.into(), "1 to 1024"));
        }
        if head.m0 == 0 || head.m0 > M0_MAX {
            return Err(WriteError::invalid("m0", head.m0.into(), "1 to 2048"));
        }
        if part.header().source_hash.is_none() {
            return Err(WriteError::invalid(
                "source_hash",
                0,
                "a graph names its vectors part",
            ));
        }
        if u32::try_from(levels.len()).is_err() {
            return Err(WriteError::invalid(
                "rows",
                levels.len() as u64,
                "at most 2^32 - 1",
            ));
        }
        let max_level = levels
            .iter()
            .copied()
            .filter(|&level| level != NOT_IN_GRAPH)
            .max();
        let entry_level = head.entry.and_then(|row| levels.get(row as usize)).copied();
        if entry_level != max_level || (max_level.is_none() && head.entry.is_some()) {
            let value = head.entry.map_or(u64::MAX, u64::from);
            return Err(WriteError::invalid(
                "entry",
                value,
                "a node of the highest level",
            ));
        }
        part.begin_section(BASE)?;
        let upper_offsets = vec![0];
        Ok(Self {
            part,
            head,
            levels,
            based: 0,
            upper_offsets,
            upper_neighbours: Vec::new(),
        })
    }

    /// The neighbours of the next row in the base layer; none if it is not in the graph.
    ///
    /// # Errors
    /// The sink's; `Invalid` if there are more than m0 or more rows than levels.
    pub fn base(&mut self, neighbours: &[Row]) -> Result<(), WriteError> {
        let row = self.based as u64;
        if neighbours.len() > self.head.m0 as usize || self.based >= self.levels.len() {
            return Err(WriteError::invalid(
                "base row",
                row,
                "one list a row, of at most m0",
            ));
        }
        self.based += 1;
        let mut slots = Vec::with_capacity(4 + 4 * self.head.m0 as usize);
        let count = u32::try_from(neighbours.len()).unwrap_or(u32::MAX);
        slots.extend_from_slice(&count.to_le_bytes());
        slots.extend(neighbours.iter().flat_map(|row| row.to_le_bytes()));
        slots.resize(4 + 4 * self.head.m0 as usize, 0);
        Ok(self.part.write(&slots)?)
    }

    /// The neighbours of the next upper list.
    ///
    /// # Errors
    /// `Invalid` if there are more than m, or 2^32 in all.
    pub fn upper(&mut self, neighbours: &[Row]) -> Result<(), WriteError> {
        let list = self.upper_offsets.len() as u64 - 1;
        self.upper_neighbours
            .extend(neighbours.iter().flat_map(|row| row.to_le_bytes()));
        let end = u32::try_from(self.upper_neighbours.len() / 4);
        let (Ok(end), true) = (end, neighbours.len() <= self.head.m as usize) else {
            return Err(WriteError::invalid(
                "upper list",
                list,
                "at most m neighbours",
            ));
        };
        self.upper_offsets.push(end);
        Ok(())
    }

    /// Writes what is left of the part.
    ///
    /// # Errors
    /// The sink's; `Invalid` if lists are missing or too many.
    pub fn finish(mut self) -> Result<(W, PartSummary), WriteError> {
        if self.based != self.levels.len() {
            return Err(WriteError::invalid(
                "base rows",
                self.based as u64,
                "one list a row",
            ));
        }
        let mut lists = 0_u32;
        let mut nodes = 0_u32;
        let mut rows = Vec::new();
        let mut firsts = Vec::new();
        for (row, &level) in (0..=u32::MAX).zip(&self.levels) {
            nodes += u32::from(level != NOT_IN_GRAPH);
            if level != 0 && level != NOT_IN_GRAPH {
                rows.extend_from_slice(&row.to_le_bytes());
                firsts.extend_from_slice(&lists.to_le_bytes());
                lists = lists.checked_add(level.into()).ok_or(WriteError::invalid(
                    "level",
                    level.into(),
                    "less than 2^32 in all",
                ))?;
            }
        }
        firsts.extend_from_slice(&lists.to_le_bytes());
        if self.upper_offsets.len() != lists as usize + 1 {
            let given = self.upper_offsets.len() as u64 - 1;
            return Err(WriteError::invalid(
                "upper lists",
                given,
                "one a row and upper layer",
            ));
        }
        let offsets: Vec<u8> = self
            .upper_offsets
            .iter()
            .flat_map(|o| o.to_le_bytes())
            .collect();
        let upper = u32::try_from(rows.len() / 4).unwrap_or(u32::MAX);
        let meta = self.meta(nodes, upper, lists);
        let sections = [
            (LEVELS, &self.levels),
            (UPPER_ROWS, &rows),
            (UPPER_LISTS, &firsts),
            (UPPER_OFFSETS, &offsets),
            (UPPER_NEIGHBOURS, &self.upper_neighbours),
            (META, &meta),
        ];
        for (tag, bytes) in sections {
            self.part.begin_section(tag)?;
            self.part.write(bytes)?;
        }
        Ok(self.part.finish()?)
    }

    fn meta(&self, nodes: u32, upper: u32, lists: u32) -> Vec<u8> {
        let max_level = self
            .head
            .entry
            .and_then(|row| self.levels.get(row as usize))
            .copied();
        let figures = [
            u32::try_from(self.levels.len()).unwrap_or(u32::MAX),
            nodes,
            self.head.m,
            self.head.m0,
            self.head.ef_construct,
            self.head.entry.unwrap_or(NO_ENTRY),
            max_level.unwrap_or(0).into(),
            upper,
            lists,
            self.upper_offsets.last().copied().unwrap_or(0),
        ];
        let mut meta: Vec<u8> = figures
            .iter()
            .flat_map(|figure| figure.to_le_bytes())
            .collect();
        meta.extend_from_slice(&self.head.seed.to_le_bytes());
        meta.extend_from_slice(&[0; 16]);
        meta
    }
}
