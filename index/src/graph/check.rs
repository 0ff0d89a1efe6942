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
pub(crate) fn repair(
    links: &mut Links,
    entry: Row,
    members: impl Iterator<Item = Row>,
    len: u32,
) -> u32 {
    let mut tree = Tree {
        parents: vec![NONE; len as usize],
        entry,
        order: Vec::new(),
        anywhere: 0,
    };
    tree.reach(links, entry);
    let mut linked = 0;
    let mut near = Near {
        seen: Visited::default(),
        rows: Vec::new(),
        at: 0,
        len,
    };
    for row in members {
        if tree.holds(row) {
            continue;
        }
        let from = tree.place_near(links, row, &mut near);
        tree.link(links, from, row);
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
    len: u32,
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
