//! What power loss can leave behind, state by state.
//!
//! Everything pending is a *unit*: a sector written and not synced, a file grown and not synced,
//! a name changed in a directory that was not synced. A crash keeps any subset of the units; of a
//! kept sector it may keep only a prefix (a torn write), and a length may end up anywhere between
//! the old and the new one. Nothing else constrains it: no order between files, none between the
//! sectors of a file, none between a file and its name.

use std::fmt;
use std::sync::Arc;

use super::sectors::SECTOR_BYTES;
use super::state::{Inode, InodeId, Names, Node, State, change_names, split_mix};
use crate::storage::parent;

/// How many states of one moment to look at.
#[derive(Clone, Debug)]
pub struct CrashRule {
    /// Up to this many units every subset is a state; with more, a selection.
    pub exhaustive_max: usize,
    /// How many random states a selection has besides the systematic ones.
    pub random: usize,
    /// Where the random ones start.
    pub seed: u64,
    /// Whether to tear sectors and cut lengths as well.
    pub torn: bool,
}

impl Default for CrashRule {
    /// All subsets of 10 units; else none, all, each single, each all but one, each prefix and 256
    /// random ones.
    fn default() -> Self {
        Self {
            exhaustive_max: 10,
            random: 256,
            seed: 0,
            torn: true,
        }
    }
}

/// One thing that is not durable yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PendingUnit {
    /// New bytes of a sector.
    Sector {
        /// The file's number on this disk; it may have no name.
        file: u64,
        /// Which of its sectors.
        sector: u64,
    },
    /// A new length.
    Length {
        /// The file's number on this disk.
        file: u64,
        /// Durable.
        from: u64,
        /// Pending.
        to: u64,
    },
    /// A name added or removed.
    Name {
        /// Which.
        path: String,
        /// Whether it was added.
        added: bool,
    },
}

/// What a crash keeps. Printed, it names the state: the same workload and the same choice give
/// the same disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CrashChoice {
    /// A flag a unit, in the order of [`pending`](super::SimDisk::pending); missing ones are lost.
    pub keep: Vec<bool>,
    /// A kept sector of which only this many bytes were written.
    pub torn: Option<(usize, usize)>,
    /// A kept length that ended up at this value instead.
    pub length: Option<(usize, u64)>,
}

impl CrashChoice {
    /// Only what was synced.
    pub fn nothing() -> Self {
        Self::default()
    }

    fn keeps(&self, unit: usize) -> bool {
        self.keep.get(unit).copied().unwrap_or_default()
    }
}

impl fmt::Display for CrashChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: String = self
            .keep
            .iter()
            .map(|&keep| if keep { '1' } else { '0' })
            .collect();
        write!(f, "keep {kept}")?;
        if let Some((unit, bytes)) = self.torn {
            write!(f, " torn {unit} at {bytes}")?;
        }
        if let Some((unit, len)) = self.length {
            write!(f, " length {unit} is {len}")?;
        }
        Ok(())
    }
}

/// Where a unit is kept.
#[derive(Copy, Clone, Debug)]
enum Place {
    /// Index into the file's dirty sectors.
    Sector(InodeId, usize),
    Length(InodeId),
    /// Index into the name changes.
    Name(usize),
}

/// All units in the order of time.
fn places(state: &State) -> Vec<Place> {
    let mut stamped: Vec<(u64, Place)> = Vec::new();
    for (&id, inode) in &state.inodes {
        let sectors = inode.dirty.iter().enumerate();
        stamped.extend(sectors.map(|(index, write)| (write.at, Place::Sector(id, index))));
        if inode.durable.len != inode.cached.len {
            stamped.push((inode.grown_at, Place::Length(id)));
        }
    }
    let names = state.name_changes.iter().enumerate();
    stamped.extend(names.map(|(index, change)| (change.at, Place::Name(index))));
    stamped.sort_by_key(|(at, _)| *at);
    stamped.into_iter().map(|(_, place)| place).collect()
}

/// All units in the order of time, for people and for the enumeration.
pub(super) fn pending(state: &State) -> Vec<PendingUnit> {
    let unit = |place: Place| match place {
        Place::Sector(file, index) => PendingUnit::Sector {
            file,
            sector: state.inodes[&file].dirty[index].sector,
        },
        Place::Length(file) => {
            let inode = &state.inodes[&file];
            PendingUnit::Length {
                file,
                from: inode.durable.len,
                to: inode.cached.len,
            }
        }
        Place::Name(index) => {
            let change = &state.name_changes[index];
            PendingUnit::Name {
                path: change.path.clone(),
                added: change.node.is_some(),
            }
        }
    };
    places(state).into_iter().map(unit).collect()
}

/// The disk after power loss: all that is left is durable.
pub(super) fn crash(state: &State, choice: &CrashChoice) -> State {
    let mut inodes = state.inodes.clone();
    let mut names = Arc::clone(&state.durable_names);
    // What is only in the cache is gone, before the kept units are put on top.
    for inode in inodes.values_mut() {
        if !inode.cached.is_same(&inode.durable) || !inode.dirty.is_empty() {
            *inode = Arc::new(Inode {
                durable: inode.durable.clone(),
                unreadable: inode.unreadable.clone(),
                ..Inode::default()
            });
        }
    }
    let mut lengths = Vec::new();
    for (unit, place) in places(state).into_iter().enumerate() {
        if !choice.keeps(unit) {
            continue;
        }
        match place {
            Place::Name(index) => {
                change_names(Arc::make_mut(&mut names), &state.name_changes[index]);
            }
            Place::Length(id) => {
                let chosen = choice
                    .length
                    .filter(|(of, _)| *of == unit)
                    .map(|(_, len)| len);
                lengths.push((id, chosen.unwrap_or(state.inodes[&id].cached.len)));
            }
            Place::Sector(id, index) => {
                let Some(inode) = inodes.get_mut(&id) else {
                    continue;
                };
                let inode = Arc::make_mut(inode);
                let write = &state.inodes[&id].dirty[index];
                let bytes = match choice.torn.filter(|(of, _)| *of == unit) {
                    None => Arc::clone(&write.bytes),
                    Some((_, torn)) => {
                        let torn = torn.min(SECTOR_BYTES);
                        let mut mixed = inode.durable.sectors.copy(write.sector);
                        mixed[..torn].copy_from_slice(&write.bytes[..torn]);
                        Arc::new(mixed)
                    }
                };
                inode.durable.sectors.set(write.sector, bytes);
            }
        }
    }
    for (id, len) in lengths {
        if let Some(inode) = inodes.get_mut(&id) {
            Arc::make_mut(inode).durable.len = len;
        }
    }
    settle(state, inodes, names)
}

/// A fresh state of what is left: names without a directory go, files without a name go.
fn settle(
    state: &State,
    mut inodes: std::collections::BTreeMap<InodeId, Arc<Inode>>,
    mut names: Arc<Names>,
) -> State {
    // In path order a directory comes before what is in it, so one pass sees every orphan.
    let mut orphans = Vec::new();
    for path in names.keys() {
        let above = parent(path);
        let lost = !above.is_empty()
            && (names.get(above) != Some(&Node::Dir) || orphans.contains(&above.to_owned()));
        if lost {
            orphans.push(path.clone());
        }
    }
    for orphan in orphans {
        Arc::make_mut(&mut names).remove(&orphan);
    }
    inodes.retain(|id, _| names.values().any(|node| *node == Node::File(*id)));
    for inode in inodes.values_mut() {
        if !inode.cached.is_same(&inode.durable) {
            let inode = Arc::make_mut(inode);
            inode.cached = inode.durable.clone();
        }
    }
    State {
        inodes,
        next_inode: state.next_inode,
        durable_names: Arc::clone(&names),
        names,
        capacity: state.capacity,
        ..State::default()
    }
}

/// The states of this moment that `rule` asks for.
pub(super) fn crash_states(
    units: &[PendingUnit],
    rule: &CrashRule,
) -> impl Iterator<Item = CrashChoice> + use<> {
    let count = units.len();
    let plain = |keep: Vec<bool>| CrashChoice {
        keep,
        ..CrashChoice::default()
    };
    let (exhaustive, seed) = (count <= rule.exhaustive_max, rule.seed);
    let subsets = (0..if exhaustive { 1_u64 << count } else { 0 })
        .map(move |mask| plain((0..count).map(|unit| mask >> unit & 1 == 1).collect()));
    let selected = (0..if exhaustive { 0 } else { 2 + 3 * count })
        .map(move |number| plain(systematic(count, number)));
    let shapes: Vec<PendingUnit> = units.to_vec();
    let torn = rule.torn;
    let random = (0..if exhaustive { 0 } else { rule.random })
        .map(move |number| drawn(&shapes, seed.wrapping_add(number as u64), torn));
    let cut = if rule.torn {
        partial(units)
    } else {
        Vec::new()
    };
    subsets.chain(selected).chain(cut).chain(random)
}

/// None, all, each single, each all but one, each prefix, by number.
fn systematic(count: usize, number: usize) -> Vec<bool> {
    let unit = number.saturating_sub(2) % count.max(1);
    let keep = |at: usize| match (number, number.saturating_sub(2) / count.max(1)) {
        (0, _) => false,
        (1, _) => true,
        (_, 0) => at == unit,
        (_, 1) => at != unit,
        _ => at < unit,
    };
    (0..count).map(keep).collect()
}

/// Where a sector is torn: at its ends, in its middle, and within the small headers that files and
/// records begin with.
const TEARS: [usize; 5] = [1, 64, 160, SECTOR_BYTES / 2, SECTOR_BYTES - 1];

/// Torn sectors and lengths in between: each unit alone, last of its prefix, and with all others.
fn partial(units: &[PendingUnit]) -> Vec<CrashChoice> {
    let mut choices = Vec::new();
    for (unit, what) in units.iter().enumerate() {
        let single: Vec<bool> = (0..units.len()).map(|at| at == unit).collect();
        let prefix: Vec<bool> = (0..units.len()).map(|at| at <= unit).collect();
        let all = vec![true; units.len()];
        for keep in [single, prefix, all] {
            match *what {
                PendingUnit::Sector { .. } => {
                    choices.extend(TEARS.map(|bytes| CrashChoice {
                        keep: keep.clone(),
                        torn: Some((unit, bytes)),
                        length: None,
                    }));
                }
                PendingUnit::Length { from, to, .. } if to > from + 1 => {
                    choices.extend([from + 1, from + (to - from) / 2].map(|len| CrashChoice {
                        keep: keep.clone(),
                        torn: None,
                        length: Some((unit, len)),
                    }));
                }
                PendingUnit::Length { .. } | PendingUnit::Name { .. } => {}
            }
        }
    }
    choices
}

/// A random state; half of them tear a sector or cut a length.
fn drawn(units: &[PendingUnit], seed: u64, torn: bool) -> CrashChoice {
    let mut random = seed;
    // Some states lose a little, some nearly everything.
    let odds = split_mix(&mut random) % 7 + 1;
    let keep = units
        .iter()
        .map(|_| split_mix(&mut random) % 8 < odds)
        .collect();
    let mut choice = CrashChoice {
        keep,
        ..CrashChoice::default()
    };
    if torn && !units.is_empty() && split_mix(&mut random).is_multiple_of(2) {
        let unit = usize::try_from(split_mix(&mut random)).unwrap_or(0) % units.len();
        let draw = split_mix(&mut random);
        choice.keep[unit] = true;
        match units[unit] {
            PendingUnit::Sector { .. } => {
                let bytes = usize::try_from(draw).unwrap_or(0) % SECTOR_BYTES;
                choice.torn = Some((unit, bytes));
            }
            PendingUnit::Length { from, to, .. } if to > from => {
                choice.length = Some((unit, from + draw % (to - from)));
            }
            PendingUnit::Length { .. } | PendingUnit::Name { .. } => {}
        }
    }
    choice
}
