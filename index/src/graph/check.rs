//! Whether every row can be reached, and linking those that cannot.
//!
//! Pruning keeps a graph navigable, not connected: a row can lose its last incoming link, above
//! all among rows with equal vectors. What cannot be reached can never be found.

use std::collections::VecDeque;

use crate::graph::links::Links;
use crate::rowset::RowSet;
use crate::visited::Visited;
use crate::{Adjacency, Row};

/// How much of a graph can be reached from its entry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Connectivity {
    /// The rows that can be reached through the base layer.
    pub reachable: u32,
    /// The rows in the graph: those with a list, and the entry.
    pub rows: u32,
}

/// Counts the rows that can be reached from the entry through base lists.
pub fn check_connectivity<A: Adjacency + ?Sized>(graph: &A) -> Connectivity {
    let Some((entry, _)) = graph.entry() else {
        return Connectivity {
            reachable: 0,
            rows: 0,
        };
    };
    let mut seen = RowSet::new(graph.len());
    seen.insert(entry);
    let mut queue = VecDeque::from([entry]);
    while let Some(row) = queue.pop_front() {
        for next in graph.base(row) {
            if seen.insert(*next) {
                queue.push_back(*next);
            }
        }
    }
    let mut rows = seen.clone();
    for row in 0..graph.len() {
        if !graph.base(row).is_empty() {
            rows.insert(row);
        }
    }
    Connectivity {
        reachable: seen.count(),
        rows: rows.count(),
    }
}

/// No row: the end of a path of parents.
const NONE: Row = Row::MAX;

/// Rows looked at for one from which an unreachable row can be linked nearby.
///
/// Groups of equal vectors fill up their neighbourhood; beyond this the link comes from anywhere.
const LOOK_MOST: usize = 1_024;

/// Links every row of `members` that cannot be reached from `entry`; returns how many.
///
/// A link may replace another, but never one through which a row was first reached: these form a
/// tree that spans all rows reached so far, so that no repair undoes another. There is always a
/// place, since a tree over n rows uses n - 1 of their n * cap places.
pub(crate) fn repair(links: &mut Links, entry: Row, members: &[Row], len: usize) -> u32 {
    let mut tree = Tree {
        parents: vec![NONE; len],
        entry,
        order: Vec::new(),
        anywhere: 0,
    };
    tree.reach(links, entry);
    let mut near = Near {
        seen: Visited::default(),
        rows: Vec::new(),
        at: 0,
        len,
    };
    let mut linked = 0;
    for row in members {
        if tree.holds(*row) {
            continue;
        }
        let from = tree.place_near(links, *row, &mut near);
        tree.link(links, from, *row);
        linked += 1;
    }
    linked
}

/// How each row was first reached.
struct Tree {
    parents: Vec<Row>,
    entry: Row,
    /// Rows in the order in which they were reached.
    order: Vec<Row>,
    /// Rows of `order` before this have no place left.
    anywhere: usize,
}

impl Tree {
    fn holds(&self, row: Row) -> bool {
        row == self.entry || self.parents[row as usize] != NONE
    }

    /// Adds `from`, whose parent is set, and all that can be reached from it.
    fn reach(&mut self, links: &Links, from: Row) {
        let mut at = self.order.len();
        self.order.push(from);
        while let Some(row) = self.order.get(at).copied() {
            at += 1;
            for next in links.list(row) {
                if !self.holds(*next) {
                    self.parents[*next as usize] = row;
                    self.order.push(*next);
                }
            }
        }
    }

    /// The place in the list of `from` that can be given away: a spare one, or the last link that
    /// is not of the tree.
    fn place(&self, links: &Links, from: Row) -> Option<usize> {
        let list = links.list(from);
        if list.len() < links.cap() {
            return Some(list.len());
        }
        list.iter()
            .rposition(|next| self.parents[*next as usize] != from)
    }

    /// A reached row with a place, near `row` in the graph if there is one.
    fn place_near(&mut self, links: &Links, row: Row, near: &mut Near) -> Row {
        near.begin(row);
        while let Some(next) = near.next() {
            if self.holds(next) && self.place(links, next).is_some() {
                return next;
            }
            near.look(links.list(next));
        }
        while self.place(links, self.order[self.anywhere]).is_none() {
            self.anywhere += 1;
        }
        self.order[self.anywhere]
    }

    fn link(&mut self, links: &mut Links, from: Row, row: Row) {
        if let Some(place) = self.place(links, from) {
            links.put(from, place, row);
            self.parents[row as usize] = from;
            self.reach(links, row);
        }
    }
}

/// The rows around a row, in the order of their hops from it.
struct Near {
    seen: Visited,
    rows: Vec<Row>,
    at: usize,
    len: usize,
}

impl Near {
    fn begin(&mut self, row: Row) {
        self.seen.begin(self.len);
        self.rows.clear();
        self.at = 0;
        self.look(&[row]);
    }

    fn next(&mut self) -> Option<Row> {
        let next = self.rows.get(self.at).copied();
        self.at += 1;
        next
    }

    fn look(&mut self, rows: &[Row]) {
        for row in rows {
            if self.rows.len() < LOOK_MOST && self.seen.insert(*row) {
                self.rows.push(*row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::testing::Plain;
    use crate::{AcceptAll, BuildSettings, Scratch, SearchSettings, search};

    fn settings(m: u32) -> BuildSettings {
        BuildSettings {
            m,
            ef_construct: 24,
            seed: 1,
        }
    }

    fn assert_connected(space: &Plain, m: u32) {
        let graph = space.build(settings(m), None);
        let rows = space.vectors.len() as u32;
        let all = Connectivity {
            reachable: rows,
            rows,
        };
        assert_eq!(check_connectivity(&graph), all, "m {m}");
    }

    #[test]
    fn equal_vectors_can_all_be_reached() {
        for rows in [1, 2, 3, 10, 100, 3_000] {
            for m in [2, 4, 16] {
                assert_connected(
                    &Plain {
                        vectors: vec![vec![1.0, 2.0]; rows],
                    },
                    m,
                );
            }
        }
    }

    #[test]
    fn a_search_finds_every_one_of_many_equal_vectors() {
        let space = Plain {
            vectors: vec![vec![0.5; 4]; 1_500],
        };
        let graph = space.build(settings(8), None);
        let settings = SearchSettings::with_ef(1_500, 1_500);
        let found = search(
            &graph,
            &space.query(0),
            &AcceptAll,
            settings,
            &mut Scratch::new(),
        );
        assert_eq!(found.neighbors.len(), 1_500);
    }

    #[test]
    fn no_rows_are_connected() {
        let graph = Plain {
            vectors: Vec::new(),
        }
        .build(settings(4), None);
        assert_eq!(
            check_connectivity(&graph),
            Connectivity {
                reachable: 0,
                rows: 0
            }
        );
    }

    #[test]
    fn repair_links_lists_without_links() {
        let mut links = Links::new(1_000, 3);
        let members: Vec<Row> = (0..1_000).step_by(2).collect();
        assert_eq!(repair(&mut links, 500, &members, 1_000), 499);
        assert_eq!(repair(&mut links, 500, &members, 1_000), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn every_row_can_be_reached(
            places in prop::collection::vec((0u8..6, 0u8..6), 1..400),
            repeats in 1usize..4,
            m in 2u32..8,
        ) {
            // Few places for many rows: groups of equal vectors of every size.
            let vectors: Vec<Vec<f32>> = places.iter()
                .flat_map(|(x, y)| vec![vec![f32::from(*x), f32::from(*y) * 10.0]; repeats])
                .collect();
            assert_connected(&Plain { vectors }, m);
        }

        #[test]
        fn every_row_of_separate_clusters_can_be_reached(
            rows in 1u32..900,
            clusters in 1u32..30,
            m in 2u32..6,
            seed in any::<u64>(),
        ) {
            let mut space = Plain::clustered(rows, clusters, 3, seed);
            for (row, vector) in space.vectors.iter_mut().enumerate() {
                vector[0] += 1_000.0 * (row as u32 % clusters) as f32;
            }
            assert_connected(&space, m);
        }
    }
}
