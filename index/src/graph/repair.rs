//! Neighbour lists taken over from an earlier graph, without the rows that are gone.
//!
//! A list that loses rows is chosen anew from the rows that are left and from those that were the
//! neighbours of the lost ones: whoever led through a lost row then leads past it (the
//! consolidation of FreshDiskANN, arXiv 2105.09613, section 4.2).
//!
//! # Invariants
//! - A list is found from the earlier graph alone: lists can be taken over in any order.

use crate::graph::build::Placer;
use crate::graph::links::List;
use crate::graph::prune;
use crate::neighbor::Neighbor;
use crate::{Adjacency, Row, Space};

/// Candidates for a list that lost rows, the nearest ones.
const CANDIDATES_MOST: usize = 96;

/// An earlier graph, and the rows it has in the new one.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Earlier<'a, A: ?Sized> {
    pub(crate) graph: &'a A,
    /// For each row of `graph`, its row in the new graph or [`GONE`](crate::GONE).
    pub(crate) rows: &'a [Row],
    /// The levels of the new graph's rows.
    pub(crate) levels: &'a [u8],
}

/// How many rows a list had and how many of them are gone.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Loss {
    pub(crate) had: usize,
    pub(crate) gone: usize,
}

impl<A: Adjacency + ?Sized> Earlier<'_, A> {
    /// The row of the new graph that `row` of the earlier one is, if it is in `layer`.
    fn kept(&self, layer: u8, row: Row) -> Option<Row> {
        let new = *self.rows.get(row as usize)?;
        let level = *self.levels.get(new as usize)?;
        (level >= layer && level != format_spec::graph::NOT_IN_GRAPH).then_some(new)
    }

    fn neighbours(&self, layer: u8, row: Row) -> &[Row] {
        if layer == 0 {
            self.graph.base(row)
        } else {
            self.graph.upper(layer, row)
        }
    }

    /// The list in `layer` of `target`, which is `row` in the earlier graph, with `room` as
    /// [`prune::select`] has it.
    pub(crate) fn list<S: Space + ?Sized>(
        &self,
        space: &S,
        (layer, row, target): (u8, Row, Row),
        room: (usize, usize),
        placer: &mut Placer,
        list: &mut List,
    ) -> Loss {
        let Placer {
            scratch,
            candidates,
            ..
        } = placer;
        scratch.begin(space.len(), 0);
        scratch.visited.insert(target);
        candidates.clear();
        let mut prepared = S::Prepared::default();
        space.prepare(target, &mut prepared);
        let mut loss = Loss::default();
        let mut take = |row: Row| {
            let new = self.kept(layer, row);
            if let Some(new) = new.filter(|new| scratch.visited.insert(*new)) {
                candidates.push(Neighbor {
                    distance: space.distance(&prepared, new),
                    row: new,
                });
            }
            new.is_some()
        };
        for next in self.neighbours(layer, row) {
            loss.had += 1;
            loss.gone += usize::from(!take(*next));
        }
        if loss.gone == 0 {
            split(candidates, room, list);
            return loss;
        }
        for next in self.neighbours(layer, row) {
            if self.kept(layer, *next).is_none() {
                for beyond in self.neighbours(layer, *next) {
                    take(*beyond);
                }
            }
        }
        candidates.sort_unstable();
        candidates.truncate(CANDIDATES_MOST);
        let own = space.distance(&prepared, target);
        prune::select(space, own, candidates, room, list);
        loss
    }
}

/// Tells the chosen rows of a whole list from its fillers.
///
/// Both are in order of distance, and the fillers begin with a row that is nearer than most of the
/// chosen ones: they begin where the distance falls most. Other falls are small, from codes made
/// anew or links made for connectivity.
fn split(rows: &[Neighbor], (_, cap): (usize, usize), list: &mut List) {
    list.clear();
    let rows = &rows[..rows.len().min(cap)];
    let fall = |at: &usize| rows[at - 1].distance - rows[*at].distance;
    let falls = (1..rows.len()).filter(|at| fall(at) > 0.0);
    let start = falls.max_by(|a, b| fall(a).total_cmp(&fall(b)));
    let (chosen, fillers) = rows.split_at(start.unwrap_or(rows.len()));
    list.chosen.extend_from_slice(chosen);
    list.fillers.extend_from_slice(fillers);
    list.chosen.sort_unstable();
    list.fillers.sort_unstable();
}
