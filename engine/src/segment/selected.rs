//! Selected: the rows of a new segment, and the order in which they are written.
//!
//! Rows come source after source, in their order there; where indexes of the schema say how rows
//! are to lie ([`index::RowOrder`]), they are put in that order, those equal in it as they come.
//!
//! # Invariants
//! - The order follows from the schema and the payloads of the sources, patches folded in.
//! - Whatever is written of the rows is written in this one order, and [`Selected::maps`] is of it.

use std::collections::BTreeMap;

use format_spec::{FieldIndex, Row, ValueRef};
use index::{GONE, RowOrder};

use crate::error::{Error, Result};
use crate::segment::build::{CHECK_EVERY, Checkpoint};
use crate::segment::gather::{Pick, each_gathered};
use crate::source::Source;

/// No tenant: behind all others.
const NO_TENANT: u32 = u32::MAX;

/// Rows of some sources, in the order they are to be written.
#[derive(Debug)]
pub(crate) struct Selected<'a> {
    sources: &'a [Source],
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// Source after source; for each its rows, which ascend.
    AsTheyCome(Vec<Vec<Row>>),
    Other(Vec<Pick>),
}

/// A row and where it belongs.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Keyed {
    tenant: u32,
    without_principal: bool,
    principal: u64,
    pick: Pick,
}

impl<'a> Selected<'a> {
    /// All rows of sources, dead ones too, as they lie.
    pub(crate) fn whole(sources: &'a [Source]) -> Self {
        let all = |source: &Source| (0..source.rows()).collect();
        Self {
            sources,
            order: Order::AsTheyCome(sources.iter().map(all).collect()),
        }
    }

    /// The live rows of sources, in the order that the indexes `fields` ask for.
    ///
    /// # Errors
    /// `Corrupt` when payloads that say where rows belong do not verify; what `check` returns.
    pub(crate) fn live(
        sources: &'a [Source],
        fields: &[FieldIndex],
        check: Checkpoint<'_>,
    ) -> Result<Self> {
        let live = |source: &Source| {
            let rows = 0..source.rows();
            rows.filter(|&row| source.is_live(row)).collect()
        };
        let rows: Vec<Vec<Row>> = sources.iter().map(live).collect();
        let came = Self {
            sources,
            order: Order::AsTheyCome(rows),
        };
        let Some(order) = RowOrder::of(fields) else {
            return Ok(came);
        };
        let mut keyed = came.keyed(&order, check)?;
        if keyed.is_sorted() {
            return Ok(came);
        }
        // No two are equal, because of their picks.
        keyed.sort_unstable();
        Ok(Self {
            sources,
            order: Order::Other(keyed.iter().map(|keyed| keyed.pick).collect()),
        })
    }

    /// Where each row belongs.
    fn keyed(&self, order: &RowOrder, check: Checkpoint<'_>) -> Result<Vec<Keyed>> {
        let corrupt = |error| Error::corrupt("payload", error);
        let mut tenants = BTreeMap::new();
        let mut keyed = Vec::with_capacity(self.len());
        let mut picks = self.iter();
        self.each_payload(check, |payload| {
            let payload = ValueRef::new(payload).map_err(corrupt)?;
            let key = order.key(payload).map_err(corrupt)?;
            let number = tenants.len() as u32;
            let tenant = key
                .tenant
                .map(|name| *tenants.entry(name).or_insert(number));
            keyed.extend(picks.next().map(|pick| Keyed {
                tenant: tenant.unwrap_or(NO_TENANT),
                without_principal: key.principal.is_none(),
                principal: key.principal.unwrap_or_default(),
                pick,
            }));
            Ok::<_, Error>(())
        })?;
        // From the order in which they were met to the order of their names.
        let mut ranks = vec![0; tenants.len()];
        for (number, rank) in tenants.into_values().zip(0..) {
            ranks[number as usize] = rank;
        }
        for keyed in &mut keyed {
            if let Some(rank) = ranks.get(keyed.tenant as usize) {
                keyed.tenant = *rank;
            }
        }
        Ok(keyed)
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        match &self.order {
            Order::AsTheyCome(rows) => rows.iter().map(Vec::len).sum(),
            Order::Other(picks) => picks.len(),
        }
    }

    /// Whether rows are written source after source, in their order there.
    pub(crate) fn is_as_they_come(&self) -> bool {
        matches!(self.order, Order::AsTheyCome(_))
    }

    /// The rows, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Pick> + '_ {
        let (rows, picks): (&[Vec<Row>], &[Pick]) = match &self.order {
            Order::AsTheyCome(rows) => (rows, &[]),
            Order::Other(picks) => (&[], picks),
        };
        let came = (0..).zip(rows).flat_map(|(source, rows)| {
            let pick = move |&row: &Row| Pick { source, row };
            rows.iter().map(pick)
        });
        came.chain(picks.iter().copied())
    }

    /// The rows, in order, each with its source.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'a Source, Row)> + '_ {
        let with_source = |pick: Pick| (&self.sources[pick.source as usize], pick.row);
        self.iter().map(with_source)
    }

    /// Gives the payload of every row to `take`, in order.
    ///
    /// # Errors
    /// `Corrupt` when a source does not verify; what `check` or `take` return.
    pub(crate) fn each_payload<E: From<Error>>(
        &self,
        check: Checkpoint<'_>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut done = 0;
        let mut take = |payload: &[u8]| -> Result<(), E> {
            take(payload)?;
            done += 1;
            if done % CHECK_EVERY == 0 {
                check(done)?;
            }
            Ok(())
        };
        match &self.order {
            Order::AsTheyCome(rows) => {
                for (source, rows) in self.sources.iter().zip(rows) {
                    let mut payloads = source.mapped_payloads();
                    for &row in rows {
                        take(payloads.get(row)?)?;
                    }
                }
                Ok(())
            }
            Order::Other(picks) => each_gathered(self.sources, picks, check, take),
        }
    }

    /// For each source, the row of the new segment that each of its rows becomes, or [`GONE`].
    pub(crate) fn maps(&self) -> Vec<Vec<Row>> {
        let none = |source: &Source| vec![GONE; source.rows() as usize];
        let mut maps: Vec<Vec<Row>> = self.sources.iter().map(none).collect();
        for (pick, new) in self.iter().zip(0..) {
            maps[pick.source as usize][pick.row as usize] = new;
        }
        maps
    }

    /// For each source, whether its rows are read about from start to end.
    pub(crate) fn ascend(&self) -> Vec<bool> {
        let mut last = vec![0; self.sources.len()];
        let mut falls = vec![0; self.sources.len()];
        for Pick { source, row } in self.iter() {
            let last = &mut last[source as usize];
            falls[source as usize] += u32::from(row < *last);
            *last = row;
        }
        // Patches that gave rows another tenant are few.
        let few = |(falls, source): (u32, &Source)| falls <= source.rows() / 64;
        falls.into_iter().zip(self.sources).map(few).collect()
    }
}
