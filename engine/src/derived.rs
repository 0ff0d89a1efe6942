//! Derived columns: what the payloads of a segment have of a field without an index, kept in memory
//! as a column once queries have read the payloads for it anyway.
//!
//! ```text
//! rows read for want of a column ── as many as making it reads? ── turn ── draft ── kept
//!                                                                          room: least used go
//! ```
//!
//! # Invariants
//! - A derived column has what the payload part has, as the column of an index: readers evaluate
//!   patched rows on their payload. That of a memtable has its first rows, which do not change.
//! - The columns of a data directory have no more bytes than their room; the least recently used go
//!   first, and those of a payload part that is no longer served go with it.
//! - One thread makes a column, and others read payloads meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use format_spec::columns::{ColumnLayout, ColumnView};
use format_spec::container::{PartHeader, PartIdentity, PartLayout, PartWriter};
use format_spec::{CollectionId, FieldType, PartId, PartKind, SeqNo, ShardId};
use index::ColumnDraft;
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// A share of the room that one column may have: one that all others give way to helps one filter.
const SHARE: u64 = 4;
/// Fields of a segment that are counted; more are forgotten at once.
const WISHES_MAX: usize = 256;
/// Memory for the books of one column.
const BOOK_BYTES: u64 = 256;

/// A column in memory.
#[derive(Debug)]
pub struct DerivedColumn {
    bytes: Vec<u8>,
    layout: ColumnLayout,
}

impl DerivedColumn {
    fn new(draft: ColumnDraft) -> Result<Self> {
        // The part is in no file, so no other can be taken for it.
        let (kind, part_id) = (PartKind::Column, PartId(1));
        let (collection, shard) = (CollectionId(0), ShardId(0));
        let header = PartHeader::new(kind, part_id, collection, shard).derived_from([0; 32]);
        let written = draft.finish(PartWriter::new(Vec::new(), header), SeqNo(0));
        let (mut bytes, summary) =
            written.map_err(|error| Error::invalid("derive column", error.to_string()))?;
        bytes.shrink_to_fit();
        let identity = PartIdentity {
            kind,
            part_id,
            collection,
            shard,
            len: summary.len,
        };
        let opened =
            PartLayout::open(&bytes, &identity).and_then(|part| ColumnLayout::open(&part, &bytes));
        let layout = opened.map_err(|error| Error::corrupt("derived column", error))?;
        Ok(Self { bytes, layout })
    }

    /// The values.
    pub fn view(&self) -> ColumnView<'_> {
        self.layout.view(&self.bytes)
    }

    fn bytes(&self) -> u64 {
        self.bytes.capacity() as u64 + BOOK_BYTES
    }
}

/// Room for derived columns, shared by all shards of a data directory.
#[derive(Debug)]
pub(crate) struct DerivedRoom {
    most: u64,
    owners: AtomicU64,
    books: Mutex<Books>,
}

/// Whose column it is, of which field and type.
type Key = (u64, String, u8);

#[derive(Default, Debug)]
struct Books {
    bytes: u64,
    uses: u64,
    columns: BTreeMap<Key, Held>,
}

#[derive(Debug)]
struct Held {
    column: Arc<DerivedColumn>,
    /// The number of its last use.
    used: u64,
}

impl Books {
    fn forget(&mut self, key: &Key) {
        if let Some(held) = self.columns.remove(key) {
            self.bytes -= held.column.bytes();
        }
    }
}

impl DerivedRoom {
    /// Room for `most` bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            most,
            owners: AtomicU64::new(0),
            books: Mutex::default(),
        }
    }

    fn fits(&self, bytes: u64) -> bool {
        bytes.saturating_mul(SHARE) <= self.most
    }

    fn get(&self, key: &Key) -> Option<Arc<DerivedColumn>> {
        let mut books = self.books.lock();
        books.uses += 1;
        let used = books.uses;
        let held = books.columns.get_mut(key)?;
        held.used = used;
        Some(Arc::clone(&held.column))
    }

    /// Keeps a column, if it fits; others give way.
    fn keep(&self, key: Key, column: Arc<DerivedColumn>) -> bool {
        let bytes = column.bytes();
        if !self.fits(bytes) {
            return false;
        }
        let mut books = self.books.lock();
        books.forget(&key);
        while books.bytes + bytes > self.most {
            let oldest = books.columns.iter().min_by_key(|(_, held)| held.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            books.forget(&oldest);
        }
        books.bytes += bytes;
        books.uses += 1;
        let used = books.uses;
        books.columns.insert(key, Held { column, used });
        true
    }

    fn bytes_of(&self, owner: u64) -> u64 {
        let books = self.books.lock();
        let own = books.columns.range(range_of(owner));
        own.map(|(_, held)| held.column.bytes()).sum()
    }

    fn forget(&self, owner: u64) {
        let mut books = self.books.lock();
        let own = books.columns.range(range_of(owner));
        let own: Vec<Key> = own.map(|(key, _)| key.clone()).collect();
        for key in &own {
            books.forget(key);
        }
    }
}

/// The keys of one owner.
fn range_of(owner: u64) -> std::ops::Range<Key> {
    (owner, String::new(), 0)..(owner + 1, String::new(), 0)
}

/// The derived columns of one payload part or memtable.
#[derive(Debug)]
pub struct DerivedColumns {
    room: Arc<DerivedRoom>,
    owner: u64,
    wishes: Mutex<BTreeMap<(String, u8), Wish>>,
}

/// A column that there is not.
#[derive(Default, Debug)]
struct Wish {
    /// Rows that were read for want of it.
    rows: u64,
    making: bool,
    /// It was made, and was too large.
    refused: bool,
}

impl DerivedColumns {
    /// None yet.
    pub(crate) fn new(room: &Arc<DerivedRoom>) -> Self {
        let owner = room.owners.fetch_add(1, Ordering::Relaxed);
        Self {
            room: Arc::clone(room),
            owner,
            wishes: Mutex::default(),
        }
    }

    /// The column of this type of a field, by its path, if it is in memory.
    pub fn get(&self, path: &str, field_type: FieldType) -> Option<Arc<DerivedColumn>> {
        let key = (self.owner, path.to_owned(), field_type.tag());
        self.room.get(&key)
    }

    /// Notes that `rows` payloads of a segment of `of` rows are about to be read because there is
    /// no such column. Gives the turn to make it once that comes to half of what making it reads,
    /// unless another thread has it or a column of about `bytes` has no room.
    pub fn turn(
        self: &Arc<Self>,
        path: &str,
        field_type: FieldType,
        (rows, of): (u32, u32),
        bytes: u64,
    ) -> Option<DerivedTurn> {
        if !self.room.fits(bytes) {
            return None;
        }
        let key = (path.to_owned(), field_type.tag());
        self.wish(key.clone(), |wish| {
            wish.rows += u64::from(rows);
            if wish.rows * 2 < u64::from(of) || wish.making || wish.refused {
                return None;
            }
            wish.making = true;
            let columns = Arc::clone(self);
            Some(DerivedTurn { columns, key })
        })
    }

    /// Notes that `rows` payloads were read because there is no such column.
    pub fn note(&self, path: &str, field_type: FieldType, rows: u32) {
        self.wish((path.to_owned(), field_type.tag()), |wish| {
            wish.rows += u64::from(rows);
        });
    }

    fn wish<T>(&self, key: (String, u8), change: impl FnOnce(&mut Wish) -> T) -> T {
        let mut wishes = self.wishes.lock();
        if wishes.len() >= WISHES_MAX {
            wishes.retain(|_, wish| wish.making);
        }
        change(wishes.entry(key).or_default())
    }

    /// Bytes of its columns.
    pub fn bytes(&self) -> u64 {
        self.room.bytes_of(self.owner)
    }

    /// Bytes that one column may have.
    pub fn bytes_max(&self) -> u64 {
        self.room.most / SHARE
    }
}

impl Drop for DerivedColumns {
    fn drop(&mut self) {
        self.room.forget(self.owner);
    }
}

/// The turn to make a column; given back when dropped.
#[derive(Debug)]
pub struct DerivedTurn {
    columns: Arc<DerivedColumns>,
    key: (String, u8),
}

impl DerivedTurn {
    /// Keeps the column of the payloads that were pushed, those of all rows as the payload part has
    /// them.
    ///
    /// # Errors
    /// `Invalid` when it cannot be written.
    pub fn keep(self, draft: ColumnDraft) -> Result<()> {
        let column = DerivedColumn::new(draft)
            .inspect_err(|_| self.note(|wish| wish.refused = true))
            .map(Arc::new)?;
        let (path, tag) = self.key.clone();
        let kept = self
            .columns
            .room
            .keep((self.columns.owner, path, tag), column);
        self.note(|wish| {
            wish.refused = !kept;
            wish.rows = 0;
        });
        Ok(())
    }

    /// Notes that the column would be too large.
    pub fn refuse(self) {
        self.note(|wish| wish.refused = true);
    }

    fn note(&self, change: impl FnOnce(&mut Wish)) {
        if let Some(wish) = self.columns.wishes.lock().get_mut(&self.key) {
            change(wish);
        }
    }
}

impl Drop for DerivedTurn {
    fn drop(&mut self) {
        self.note(|wish| wish.making = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::{Value, ValueRef};
    use index::FieldPath;

    const ROWS: u32 = 1_000;

    fn draft() -> ColumnDraft {
        let mut draft =
            ColumnDraft::new(FieldPath::parse("a").unwrap(), &FieldType::Integer.into());
        for row in 0..ROWS {
            let payload = Value::Object(vec![("a".to_owned(), Value::Int(row.into()))]).to_bytes();
            draft.push(ValueRef::new(&payload).unwrap()).unwrap();
        }
        draft
    }

    fn make(columns: &Arc<DerivedColumns>, path: &str) {
        let turn = columns.turn(path, FieldType::Integer, (ROWS, ROWS), 0);
        turn.unwrap().keep(draft()).unwrap();
    }

    fn has(columns: &DerivedColumns, path: &str) -> bool {
        columns.get(path, FieldType::Integer).is_some()
    }

    #[test]
    fn a_column_is_made_once_its_payloads_were_read_about_as_often() {
        let columns = Arc::new(DerivedColumns::new(&Arc::new(DerivedRoom::new(1 << 20))));
        let turn = |rows| columns.turn("a", FieldType::Integer, (rows, ROWS), 0);
        assert!(turn(300).is_none());
        let first = turn(200).unwrap();
        assert!(turn(ROWS).is_none(), "another thread has the turn");
        drop(first);
        turn(1).unwrap().keep(draft()).unwrap();
        let column = columns.get("a", FieldType::Integer).unwrap();
        assert_eq!(column.view().stats().values, u64::from(ROWS));
        assert!(columns.get("a", FieldType::Float).is_none());
        assert!(
            columns
                .turn("a", FieldType::Float, (ROWS, ROWS), 1 << 19)
                .is_none()
        );
    }

    #[test]
    fn the_least_recently_used_give_way_and_all_go_with_their_part() {
        let one = DerivedColumn::new(draft()).unwrap().bytes();
        let room = Arc::new(DerivedRoom::new(5 * one));
        let new = || Arc::new(DerivedColumns::new(&room));
        let (here, there) = (new(), new());
        for path in ["a", "b", "c"] {
            make(&here, path);
        }
        make(&there, "a");
        make(&there, "b");
        assert!(has(&here, "a"));
        make(&there, "c");
        assert!(has(&here, "a") && !has(&here, "b") && has(&here, "c"));
        assert_eq!((here.bytes(), there.bytes()), (2 * one, 3 * one));
        drop(here);
        assert_eq!(room.books.lock().bytes, 3 * one);
        drop(there);
        assert_eq!(room.books.lock().bytes, 0);
    }

    #[test]
    fn a_column_too_large_is_not_made_again() {
        let one = DerivedColumn::new(draft()).unwrap().bytes();
        let room = Arc::new(DerivedRoom::new(SHARE * one - 1));
        let columns = Arc::new(DerivedColumns::new(&room));
        make(&columns, "a");
        assert!(!has(&columns, "a"));
        assert!(
            columns
                .turn("a", FieldType::Integer, (ROWS, ROWS), 0)
                .is_none()
        );
    }
}
