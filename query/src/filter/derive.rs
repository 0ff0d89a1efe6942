//! Making columns of fields without an index, when a filter reads the payloads of a segment anyway,
//! and of any field of a memtable.
//!
//! The first filter on such a field pays for the payloads that it needs; the column that is left in
//! memory answers the next ones, as the column of an index would.
//!
//! ```text
//! rows left open ── turns (engine) ─┬─ after the answer (`Later`) ─┬─ payloads ── drafts ── kept
//!                                   └─ at once, on all threads ────┘
//! ```
//!
//! # Invariants
//! - A column is made of the payloads as the payload part has them, of all rows: it holds for every
//!   snapshot.
//! - A request waits for a column only where there is no later.
//! - What is left for later keeps no segment: it is given up with the segment.
//! - The column of a memtable has the rows that there were when it was made. Those after them are
//!   read, until that was as much work as making the column anew, of all rows.

use std::ops::Range;
use std::sync::Arc;

use engine::{DerivedColumn, DerivedTurn, LaterSource, Source};
use format_spec::schema::FieldType;
use format_spec::value::ValueRef;
use format_spec::{FieldFigures, Kinds};
use index::{ColumnDraft, FieldPath, Picked, Row};
use rayon::prelude::*;

use super::ask::{Ask, ValueTest};
use super::bind::{Bound, Field, Test};
use super::zones::{self, Known};
use crate::budget::Budget;
use crate::cost;
use crate::error::{QueryError, damaged_payload};
use crate::later::Work;

/// Rows whose payloads one thread reads at a time.
const CHUNK_ROWS: u32 = 2_048;
/// Rows of a payload block, at most, where no statistics tell.
const BLOCK_ROWS: u32 = 64;

/// The column in memory that answers what is asked of a field, if there is one.
pub(crate) fn find(
    field: &Field<'_>,
    source: &Source,
    known: Option<&Known<'_>>,
) -> Option<Arc<DerivedColumn>> {
    let columns = source.derived()?;
    let (best, others) = types(&field.ask, figures(known))?;
    let path = field.path.to_string();
    let mut all = std::iter::once(&best).chain(others);
    let column = all.find_map(|&field_type| columns.get(&path, field_type))?;
    // A snapshot of a memtable may be older than the column.
    (column.view().stats().rows <= source.rows()).then_some(column)
}

fn figures<'k>(known: Option<&Known<'k>>) -> Option<&'k FieldFigures> {
    match known {
        Some(Known::Field { field, .. }) => Some(field.figures()),
        Some(Known::Unknown | Known::Missing) | None => None,
    }
}

/// The type of column that answers best, and others that do; `None` if none does.
fn types(
    ask: &Ask<'_>,
    figures: Option<&FieldFigures>,
) -> Option<(FieldType, &'static [FieldType])> {
    Some(match ask {
        // Every column knows the rows that are empty or null; that of booleans is the smallest.
        Ask::IsEmpty(_) | Ask::IsNull(_) => {
            let others = &[FieldType::Integer, FieldType::Float, FieldType::Keyword];
            (FieldType::Bool, others)
        }
        // How many values an array has, no column tells.
        Ask::Count(_) => return None,
        Ask::Any(test) => match test {
            ValueTest::Keyword(_)
            | ValueTest::AnyKeyword(_)
            | ValueTest::ExceptKeyword(_)
            | ValueTest::AnyUuid(_)
            | ValueTest::ExceptUuid(_)
            | ValueTest::Datetime(_)
            | ValueTest::Prefix(_)
            | ValueTest::Substring(_) => (FieldType::Keyword, &[]),
            // Cutting texts into tokens costs more than reading them.
            ValueTest::Text(_) => return None,
            ValueTest::Geo(_) => (FieldType::Geo, &[]),
            ValueTest::Integer(_) | ValueTest::AnyInteger(_) | ValueTest::ExceptInteger(_) => {
                (FieldType::Integer, &[])
            }
            ValueTest::Bool(_) => (FieldType::Bool, &[]),
            ValueTest::Range(_) => {
                let others = Kinds::UINT.union(Kinds::FLOAT).union(Kinds::NAN);
                if figures.is_some_and(|figures| !figures.kinds.meets(others)) {
                    (FieldType::Integer, &[FieldType::Float])
                } else {
                    (FieldType::Float, &[FieldType::Integer])
                }
            }
        },
    })
}

/// About how many bytes the column of a field has, if there are figures.
fn bytes_of(field_type: FieldType, rows: u32, figures: Option<&FieldFigures>) -> u64 {
    let bitmaps = u64::from(rows) / 4;
    let values = figures.map_or(0, |figures| {
        if field_type == FieldType::Bool {
            0
        } else if field_type == FieldType::Keyword {
            figures.text_bytes + 20 * figures.values
        } else if field_type == FieldType::Geo {
            20 * figures.values
        } else {
            12 * figures.values
        }
    });
    bitmaps + values
}

/// A column in the making.
struct Making {
    path: FieldPath,
    draft: ColumnDraft,
    turn: DerivedTurn,
    /// Bytes of what was picked.
    bytes: u64,
}

impl Making {
    fn keep(self, most: u64) -> Result<(), QueryError> {
        if self.bytes > most {
            self.turn.refuse();
        } else {
            self.turn.keep(self.draft)?;
        }
        Ok(())
    }
}

/// Makes the columns whose turn it is, now that `open` rows are to be read for `filter`; tells
/// whether there are any by now. They are left for later if there is one.
pub(crate) fn make(
    filter: &Bound<'_>,
    source: &Source,
    open: u32,
    budget: &Budget<'_>,
) -> Result<bool, QueryError> {
    let Some(columns) = source.derived() else {
        return Ok(false);
    };
    let (rows, mut making) = (source.rows(), Vec::new());
    each_wanted(filter, source, &mut |wanted| {
        // Asked a second time for one field, the turn is taken already.
        let (path, bytes) = (wanted.path.to_string(), wanted.bytes);
        let turn = columns.turn(&path, wanted.field_type, (open, rows), bytes);
        making.extend(turn.map(|turn| Making {
            path: wanted.path.clone(),
            draft: Picked::draft(wanted.field_type),
            turn,
            bytes: 0,
        }));
    })?;
    if making.is_empty() {
        return Ok(false);
    }
    let most = columns.bytes_max();
    if let Some(later) = budget.later() {
        later.leave(Box::new(AllMaking {
            source: source.for_later(),
            making,
            most,
            next: 0,
        }));
        return Ok(false);
    }
    read_all(source, &mut making, budget)?;
    making
        .into_iter()
        .try_for_each(|making| making.keep(most))?;
    Ok(true)
}

/// Columns of one source in the making: some rows at a time, then column by column.
struct AllMaking {
    source: LaterSource,
    making: Vec<Making>,
    /// Bytes that a column may have.
    most: u64,
    /// The first row that is not read yet.
    next: Row,
}

impl Work for AllMaking {
    /// What fails gives the turns back: a request that reads the damage tells of it.
    fn step(self: Box<Self>) -> Option<Box<dyn Work>> {
        let left = self.advance().ok().flatten();
        left.map(|left| Box::new(left) as Box<dyn Work>)
    }
}

impl AllMaking {
    fn advance(mut self) -> Result<Option<Self>, QueryError> {
        let Some(source) = self.source.open() else {
            return Ok(None);
        };
        if self.next < source.rows() {
            self.read(&source)?;
        } else if let Some(making) = self.making.pop() {
            making.keep(self.most)?;
        }
        Ok((!self.making.is_empty()).then_some(self))
    }

    /// Reads some rows more.
    fn read(&mut self, source: &Source) -> Result<(), QueryError> {
        let end = self.next.saturating_add(CHUNK_ROWS).min(source.rows());
        let paths: Vec<&FieldPath> = self.making.iter().map(|making| &making.path).collect();
        let picked = pick(source, &paths, self.next..end, &Budget::UNLIMITED)?;
        pour(&[picked], &mut self.making)?;
        self.next = end;
        let most = self.most;
        let too_large = self.making.extract_if(.., |making| making.bytes > most);
        too_large.for_each(|making| making.turn.refuse());
        Ok(())
    }
}

/// Notes that some payloads here and there were read for `filter`, each with its whole block: for
/// the next filter it may be worth while to make the columns.
/// Where they can be made later, they are.
pub(crate) fn note(
    filter: &Bound<'_>,
    source: &Source,
    payloads: u32,
    budget: &Budget<'_>,
) -> Result<(), QueryError> {
    let Some(columns) = source.derived().filter(|_| payloads > 0) else {
        return Ok(());
    };
    let rows = source.rows();
    let of_block = if source.segment_id().is_some() {
        let blocks = zones::open(source)?.map_or(0, |view| view.zones());
        rows / blocks.clamp(rows / BLOCK_ROWS, rows).max(1)
    } else {
        1
    };
    let read = payloads.saturating_mul(of_block).min(rows);
    each_wanted(filter, source, &mut |wanted| {
        columns.note(&wanted.path.to_string(), wanted.field_type, read);
    })?;
    if budget.later().is_some() {
        make(filter, source, 0, budget)?;
    }
    Ok(())
}

/// Reads the payloads of all rows into columns.
fn read_all(source: &Source, making: &mut [Making], budget: &Budget<'_>) -> Result<(), QueryError> {
    let rows = source.rows();
    let paths: Vec<FieldPath> = making.iter().map(|making| making.path.clone()).collect();
    let paths: Vec<&FieldPath> = paths.iter().collect();
    let pool = budget.helpers(cost::payload_walk_ns(rows));
    let at_once = 2 * pool.map_or(1, rayon::ThreadPool::current_num_threads);
    let starts = (0..rows).step_by(CHUNK_ROWS as usize);
    let chunks: Vec<Range<Row>> = starts
        .map(|start| start..start.saturating_add(CHUNK_ROWS).min(rows))
        .collect();
    for chunks in chunks.chunks(at_once) {
        budget.check()?;
        let pick = |chunk: &Range<Row>| pick(source, &paths, chunk.clone(), budget);
        let picked: Result<Vec<Picked>, QueryError> = match pool {
            Some(pool) => pool.install(|| chunks.par_iter().map(pick).collect()),
            None => chunks.iter().map(pick).collect(),
        };
        pour(&picked?, making)?;
    }
    Ok(())
}

/// A column that a filter would have use for.
struct Wanted<'a> {
    path: &'a FieldPath,
    field_type: FieldType,
    /// About what it takes.
    bytes: u64,
}

/// Gives the columns to `take` that there are not, of the fields of a filter that are answered from
/// payloads.
fn each_wanted<'a>(
    filter: &'a Bound<'_>,
    source: &Source,
    take: &mut impl FnMut(Wanted<'a>),
) -> Result<(), QueryError> {
    for test in filter.tests() {
        let field = match test {
            Test::Field(field) => field,
            Test::Filter(inner) => {
                each_wanted(inner, source, take)?;
                continue;
            }
            Test::HasId(_)
            | Test::HasVector { .. }
            | Test::Slice(_)
            | Test::Nested(..)
            | Test::Never => continue,
        };
        if let Some(indexed) = &field.column
            && super::column::open_current(source, indexed, field.settings)?.is_some()
        {
            continue;
        }
        let known = zones::open(source)?.map(|view| zones::find(&view, &field.path));
        let column = find(field, source, known.as_ref());
        let there = column.is_some_and(|column| column.view().stats().rows == source.rows());
        if there || matches!(known, Some(Known::Missing)) {
            continue;
        }
        let figures = figures(known.as_ref());
        if let Some((field_type, _)) = types(&field.ask, figures) {
            take(Wanted {
                path: &field.path,
                field_type,
                bytes: bytes_of(field_type, source.rows(), figures),
            });
        }
    }
    Ok(())
}

/// What `paths` select of the payloads of some rows.
fn pick(
    source: &Source,
    paths: &[&FieldPath],
    rows: Range<Row>,
    budget: &Budget<'_>,
) -> Result<Picked, QueryError> {
    let mut payloads = source.unpatched_payloads();
    let mut picked = Picked::new(paths.len());
    for row in rows {
        let payload = ValueRef::new(payloads.get(row)?).map_err(damaged_payload)?;
        picked.push(paths, payload).map_err(damaged_payload)?;
    }
    budget.note_cold(payloads.cold_reads());
    Ok(picked)
}

fn pour(picked: &[Picked], making: &mut [Making]) -> Result<(), QueryError> {
    for picked in picked {
        for (nth, making) in making.iter_mut().enumerate() {
            making.bytes += picked.bytes(nth) as u64;
            picked
                .pour(nth, &mut making.draft)
                .map_err(damaged_payload)?;
        }
    }
    Ok(())
}
