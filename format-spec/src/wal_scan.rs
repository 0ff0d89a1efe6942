//! Reads a WAL file from front to back and says how it ends.
//!
//! Zeros after the last record are the normal end, because files are preallocated. Anything else is
//! a torn tail, which power loss explains, or corruption, which a later record proves: chapter 3
//! has the rule.
//!
//! # Invariants
//! - A record is yielded only when its header, body, padding and place all verify.
//! - Every byte of the file is looked at before the outcome is [`ScanOutcome::CleanEnd`].

use crate::bytes::all_zero;
use crate::error::{DecodeError, Why};
use crate::wal::{
    FILE_HEADER_LEN, FLAG_IGNORABLE, FLAG_RUN, FileHeader, KIND_OPS, KIND_SEAL, KIND_SYNC_MARKER,
    RECORD_ALIGN, RECORD_HEADER_LEN, Record, RecordHeader, Seal, WalIdentity,
};

/// How a WAL file ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ScanOutcome {
    /// Zeros, or nothing, after the last record.
    CleanEnd {
        /// A seal closes the file.
        sealed: bool,
    },
    /// Bytes that are no record, and nothing says they were ever synced: a write that power loss
    /// cut off. Nothing acknowledged is lost.
    TornTail {
        /// Where the last valid record ends.
        at: u64,
    },
    /// Bytes that are no record although they were synced, or a record that cannot stand here.
    Corrupt {
        /// Where the damaged record starts.
        at: u64,
        /// What is wrong with it.
        field: &'static str,
        /// The record that proves it.
        proof_at: u64,
    },
    /// A valid record of a kind this code does not know and may not skip.
    Unsupported {
        /// Where it starts.
        at: u64,
        /// Its kind.
        kind: u8,
    },
}

/// Reads a WAL file from front to back: first the records, then how it ends.
///
/// Records of unknown kinds that may be ignored are stepped over; markers and the seal are yielded.
#[derive(Clone, Debug)]
pub struct WalScanner<'a> {
    bytes: &'a [u8],
    header: FileHeader,
    at: u64,
    records: u64,
    seq_last: u64,
    in_run: bool,
    outcome: Option<ScanOutcome>,
}

impl<'a> WalScanner<'a> {
    /// Starts on the bytes of a whole file.
    ///
    /// # Errors
    /// A damaged header, another identity, or a length other than the one in the header. See
    /// [`crate::wal::is_void`] for a file whose making was cut off.
    pub fn new(bytes: &'a [u8], expect: &WalIdentity) -> Result<Self, DecodeError> {
        let header = FileHeader::decode(bytes)?;
        let checks = [
            ("file number", 32, header.identity.number == expect.number),
            (
                "collection",
                48,
                header.identity.collection == expect.collection,
            ),
            ("shard", 64, header.identity.shard == expect.shard),
        ];
        for (field, at, same) in checks {
            if !same {
                return Err(DecodeError::new(at, field, Why::Identity));
            }
        }
        let (need, have) = (header.file_len, bytes.len() as u64);
        if have < need {
            return Err(DecodeError::new(
                have,
                "file length",
                Why::Truncated { need, have },
            ));
        }
        if have > need {
            let why = Why::Trailing { bytes: have - need };
            return Err(DecodeError::new(need, "file length", why));
        }
        let at = FILE_HEADER_LEN as u64;
        Ok(Self {
            bytes,
            header,
            at,
            records: 0,
            seq_last: 0,
            in_run: false,
            outcome: None,
        })
    }

    /// The file header.
    #[must_use]
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Where the last valid record ends.
    #[must_use]
    pub const fn end_of_records(&self) -> u64 {
        self.at
    }

    /// How the file ends; `None` before the last record was yielded.
    #[must_use]
    pub const fn outcome(&self) -> Option<ScanOutcome> {
        self.outcome
    }

    /// Steps over what is left and says how the file ends.
    #[must_use]
    pub fn finish(mut self) -> ScanOutcome {
        loop {
            if let Some(outcome) = self.outcome {
                return outcome;
            }
            self.next();
        }
    }

    fn rest(&self) -> &'a [u8] {
        usize::try_from(self.at)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .unwrap_or_default()
    }

    fn step(&mut self) -> Result<Record<'a>, ScanOutcome> {
        loop {
            let record = match Record::read(self.rest(), self.header.file_id, self.at) {
                Ok(Some(record)) => record,
                Ok(None) if all_zero(self.rest()) => {
                    return Err(ScanOutcome::CleanEnd { sealed: false });
                }
                Ok(None) => return Err(self.classify("record header")),
                Err(error) => return Err(self.classify(error.field)),
            };
            self.accept(&record)?;
            if record.header.kind <= KIND_SEAL {
                return Ok(record);
            }
        }
    }

    /// Checks what a valid record must be to stand after those before it, and moves past it.
    fn accept(&mut self, record: &Record<'a>) -> Result<(), ScanOutcome> {
        let at = record.offset;
        let header = &record.header;
        let misplaced = |field| ScanOutcome::Corrupt {
            at,
            field,
            proof_at: at,
        };
        match header.kind {
            KIND_OPS => {
                if header.seq_first <= self.seq_last {
                    return Err(misplaced("first seqno"));
                }
                if self.in_run && header.flags & FLAG_RUN == 0 {
                    return Err(misplaced("flags"));
                }
                self.in_run = header.run_goes_on();
                self.seq_last = header.seq_last;
            }
            KIND_SYNC_MARKER | KIND_SEAL => {
                if header.seq_last < self.seq_last {
                    return Err(misplaced("last seqno"));
                }
                let expected = Seal {
                    records: self.records,
                    seq_last: header.seq_last,
                };
                if header.kind == KIND_SEAL && Seal::decode(record.body) != Ok(expected) {
                    return Err(misplaced("seal"));
                }
                self.seq_last = header.seq_last;
            }
            _ if header.flags & FLAG_IGNORABLE == 0 => {
                return Err(ScanOutcome::Unsupported {
                    at,
                    kind: header.kind,
                });
            }
            _ => {}
        }
        self.records += 1;
        self.at = record.end();
        if header.kind == KIND_SEAL {
            self.outcome = Some(self.after_seal(at));
        }
        Ok(())
    }

    fn after_seal(&self, seal_at: u64) -> ScanOutcome {
        if all_zero(self.rest()) {
            return ScanOutcome::CleanEnd { sealed: true };
        }
        ScanOutcome::Corrupt {
            at: self.at,
            field: "zeros after the seal",
            proof_at: seal_at,
        }
    }

    /// Torn or corrupt: a later header that verifies and says that `self.at` was synced decides.
    fn classify(&self, field: &'static str) -> ScanOutcome {
        let at = self.at;
        let mut offset = at + RECORD_ALIGN as u64;
        let mut rest = self.rest();
        while let Some((_, next)) = rest.split_first_chunk::<RECORD_ALIGN>() {
            rest = next;
            let Some(head) = rest.first_chunk::<RECORD_HEADER_LEN>() else {
                break;
            };
            if may_be_header(head)
                && let Ok(header) = RecordHeader::decode(head, self.header.file_id, offset)
                && header.synced_upto > at
            {
                return ScanOutcome::Corrupt {
                    at,
                    field,
                    proof_at: offset,
                };
            }
            offset += RECORD_ALIGN as u64;
        }
        ScanOutcome::TornTail { at }
    }
}

/// A cheap look at kind and reserved bytes, so that most offsets cost no checksum.
fn may_be_header(head: &[u8; RECORD_HEADER_LEN]) -> bool {
    matches!(head.as_slice(), [.., kind, _, 0, 0, 0, 0, 0, 0] if *kind != 0)
}

impl<'a> Iterator for WalScanner<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.outcome.is_some() {
            return None;
        }
        match self.step() {
            Ok(record) => Some(record),
            Err(outcome) => {
                self.outcome = Some(outcome);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CollectionId, PointId, ShardId};
    use crate::wal::{FLAG_COMMIT, FileHeader, append_record, is_void};
    use crate::wal_builder::OpsBuilder;
    use proptest::prelude::*;

    const FILE_LEN: usize = 2048;
    const FILE_ID: u64 = 0x5eed;
    const IDENTITY: WalIdentity = WalIdentity {
        number: 3,
        collection: CollectionId(77),
        shard: ShardId(1),
    };

    /// A file under construction, whose last records may be unsynced.
    #[derive(Debug)]
    struct File {
        bytes: Vec<u8>,
        seq: u64,
        synced: u64,
        records: u64,
    }

    impl File {
        fn new() -> Self {
            let header = FileHeader {
                identity: IDENTITY,
                file_id: FILE_ID,
                previous_number: 2,
                previous_file_id: 5,
                file_len: FILE_LEN as u64,
            };
            let bytes = header.encode();
            Self {
                synced: bytes.len() as u64,
                bytes,
                seq: 0,
                records: 0,
            }
        }

        fn end(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn record(&mut self, header: RecordHeader, body: &[u8]) -> u64 {
            let at = self.end();
            let header = RecordHeader {
                synced_upto: self.synced,
                ..header
            };
            append_record(&mut self.bytes, FILE_ID, at, &header, body).unwrap();
            self.records += 1;
            at
        }

        fn ops(&mut self, flags: u8) -> u64 {
            let mut builder = OpsBuilder::new();
            builder.delete(&[PointId::Number(self.seq)]).unwrap();
            self.seq += 1;
            let (seq_first, seq_last) = (self.seq, self.seq);
            let header = RecordHeader {
                seq_first,
                seq_last,
                kind: KIND_OPS,
                flags,
                ..Default::default()
            };
            self.record(header, builder.finish().bytes())
        }

        fn empty(&mut self, kind: u8, body: &[u8]) -> u64 {
            let (seq_first, seq_last) = (self.seq, self.seq);
            self.record(
                RecordHeader {
                    seq_first,
                    seq_last,
                    kind,
                    ..Default::default()
                },
                body,
            )
        }

        fn marker(&mut self) -> u64 {
            self.synced = self.end();
            self.empty(KIND_SYNC_MARKER, &[])
        }

        fn seal(&mut self) -> u64 {
            self.synced = self.end();
            let seal = Seal {
                records: self.records,
                seq_last: self.seq,
            };
            self.empty(KIND_SEAL, &seal.encode())
        }

        fn finish(&self) -> Vec<u8> {
            let mut bytes = self.bytes.clone();
            bytes.resize(FILE_LEN, 0);
            bytes
        }
    }

    fn scan(bytes: &[u8]) -> (Vec<u64>, ScanOutcome) {
        let mut scanner = WalScanner::new(bytes, &IDENTITY).unwrap();
        let offsets = scanner.by_ref().map(|record| record.offset).collect();
        (offsets, scanner.finish())
    }

    #[test]
    fn zeros_after_the_last_record_are_the_normal_end() {
        let mut file = File::new();
        assert_eq!(
            scan(&file.finish()),
            (vec![], ScanOutcome::CleanEnd { sealed: false })
        );
        let offsets = vec![file.ops(0), file.ops(0), file.marker()];
        assert_eq!(
            scan(&file.finish()),
            (offsets, ScanOutcome::CleanEnd { sealed: false })
        );
    }

    #[test]
    fn torn_tail_is_end_of_log() {
        let mut file = File::new();
        let first = file.ops(0);
        let marker = file.marker();
        let torn = file.ops(0);
        let mut bytes = file.finish();
        bytes[torn as usize + 60] ^= 1;
        assert_eq!(
            scan(&bytes),
            (vec![first, marker], ScanOutcome::TornTail { at: torn })
        );
    }

    #[test]
    fn damage_before_a_synced_offset_is_corruption() {
        let mut file = File::new();
        let first = file.ops(0);
        let second = file.ops(0);
        let marker = file.marker();
        let mut bytes = file.finish();
        bytes[second as usize + 60] ^= 1;
        let (offsets, outcome) = scan(&bytes);
        assert_eq!(offsets, [first]);
        let expected = ScanOutcome::Corrupt {
            at: second,
            field: "body crc",
            proof_at: marker,
        };
        assert_eq!(outcome, expected);
    }

    // Two records of one batch, neither synced: the disk may have kept only the later one.
    #[test]
    fn a_hole_before_an_unsynced_record_is_a_torn_tail() {
        let mut file = File::new();
        let first = file.ops(0);
        file.ops(0);
        let mut bytes = file.finish();
        let end = bytes.len();
        bytes[first as usize..first as usize + 64].fill(0);
        assert_eq!(scan(&bytes), (vec![], ScanOutcome::TornTail { at: first }));
        bytes[first as usize..end].fill(0);
        assert_eq!(scan(&bytes).1, ScanOutcome::CleanEnd { sealed: false });
    }

    #[test]
    fn a_zeroed_synced_record_is_corruption() {
        let mut file = File::new();
        let first = file.ops(0);
        let marker = file.marker();
        let mut bytes = file.finish();
        bytes[first as usize..marker as usize].fill(0);
        assert!(matches!(scan(&bytes).1, ScanOutcome::Corrupt { at, .. } if at == first));
    }

    #[test]
    fn nothing_may_follow_a_seal() {
        let mut file = File::new();
        file.ops(0);
        let seal = file.seal();
        let end = file.end();
        let mut bytes = file.finish();
        assert_eq!(scan(&bytes).1, ScanOutcome::CleanEnd { sealed: true });
        bytes[FILE_LEN - 1] = 1;
        let field = "zeros after the seal";
        let expected = ScanOutcome::Corrupt {
            at: end,
            field,
            proof_at: seal,
        };
        assert_eq!(scan(&bytes).1, expected);
    }

    #[test]
    fn a_seal_that_counts_other_records_is_corruption() {
        let mut file = File::new();
        file.ops(0);
        file.records += 1;
        let seal = file.seal();
        let expected = ScanOutcome::Corrupt {
            at: seal,
            field: "seal",
            proof_at: seal,
        };
        assert_eq!(scan(&file.finish()).1, expected);
    }

    #[test]
    fn a_run_is_not_interrupted() {
        let mut file = File::new();
        file.ops(FLAG_RUN);
        file.marker();
        file.ops(FLAG_RUN | FLAG_COMMIT);
        file.ops(FLAG_RUN);
        let single = file.ops(0);
        let expected = ScanOutcome::Corrupt {
            at: single,
            field: "flags",
            proof_at: single,
        };
        assert_eq!(scan(&file.finish()).1, expected);
    }

    #[test]
    fn sequence_numbers_grow() {
        let mut file = File::new();
        file.ops(0);
        file.seq -= 1;
        let again = file.ops(0);
        let field = "first seqno";
        let expected = ScanOutcome::Corrupt {
            at: again,
            field,
            proof_at: again,
        };
        assert_eq!(scan(&file.finish()).1, expected);
    }

    #[test]
    fn an_unknown_kind_is_skipped_only_when_ignorable() {
        let mut file = File::new();
        let header = RecordHeader {
            kind: 9,
            flags: FLAG_IGNORABLE,
            ..Default::default()
        };
        file.record(header, b"later");
        let known = file.ops(0);
        let clean = ScanOutcome::CleanEnd { sealed: false };
        assert_eq!(scan(&file.finish()), (vec![known], clean));
        let at = file.record(RecordHeader { flags: 0, ..header }, b"later");
        let unsupported = ScanOutcome::Unsupported { at, kind: 9 };
        assert_eq!(scan(&file.finish()), (vec![known], unsupported));
    }

    #[test]
    fn a_file_of_another_place_or_length_is_refused() {
        let bytes = File::new().finish();
        for other in [
            WalIdentity {
                number: 4,
                ..IDENTITY
            },
            WalIdentity {
                collection: CollectionId(1),
                ..IDENTITY
            },
            WalIdentity {
                shard: ShardId(0),
                ..IDENTITY
            },
        ] {
            assert_eq!(
                WalScanner::new(&bytes, &other).unwrap_err().why,
                Why::Identity
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(WalScanner::new(&longer, &IDENTITY).is_err());
        assert!(WalScanner::new(&bytes[..FILE_LEN - 8], &IDENTITY).is_err());
    }

    #[test]
    fn a_file_cut_off_while_it_was_made_is_void() {
        let mut file = File::new();
        assert!(is_void(&[]) && is_void(&file.finish()[..9]));
        let mut torn = file.finish();
        torn[90] ^= 1;
        assert!(is_void(&torn));
        assert!(
            !is_void(&file.finish()),
            "it is whole, and has no records yet"
        );
        file.ops(0);
        assert!(!is_void(&file.finish()));
    }

    // A record moved to another offset, or kept from another file, must not verify.
    #[test]
    fn a_moved_or_foreign_record_does_not_verify() {
        let mut file = File::new();
        let first = file.ops(0);
        let bytes = file.finish();
        let record = &bytes[first as usize..];
        assert!(Record::read(record, FILE_ID, first).unwrap().is_some());
        assert!(Record::read(record, FILE_ID, first + 8).is_err());
        assert!(Record::read(record, FILE_ID + 1, first).is_err());
    }

    fn any_file() -> impl Strategy<Value = File> {
        prop::collection::vec(0..4_u8, 0..12).prop_map(|steps| {
            let mut file = File::new();
            for step in steps {
                match step {
                    0 => file.marker(),
                    _ => file.ops(0),
                };
            }
            file.marker();
            file
        })
    }

    proptest! {
        // Every flip before the last marker is proved to be corruption by it; one in the marker or
        // after it cannot lose an operation.
        #[test]
        fn a_flip_is_corruption_or_loses_nothing(
            file in any_file(), at: prop::sample::Index, bit in 0..8_u8,
        ) {
            let clean = file.finish();
            let (records, _) = scan(&clean);
            let marker = *records.last().unwrap();
            let at = FILE_HEADER_LEN + at.index(FILE_LEN - FILE_HEADER_LEN);
            let mut bytes = clean;
            bytes[at] ^= 1 << bit;
            let (found, outcome) = scan(&bytes);
            if (at as u64) < marker {
                let corrupt = matches!(outcome, ScanOutcome::Corrupt { .. });
                prop_assert!(corrupt, "{:?}", outcome);
            } else {
                prop_assert!(matches!(outcome, ScanOutcome::TornTail { .. }), "{:?}", outcome);
                prop_assert!(found.len() + 1 >= records.len());
            }
        }

        // Power loss: any 512-byte sectors of what came after the last sync may be missing.
        #[test]
        fn lost_unsynced_sectors_are_never_called_corruption(
            file in any_file(), unsynced in 1..6_usize, lost: [bool; 4],
        ) {
            let mut file = file;
            let synced = file.bytes.len();
            for _ in 0..unsynced {
                file.ops(0);
            }
            let mut bytes = file.finish();
            for (i, byte) in bytes.iter_mut().enumerate().skip(synced) {
                if lost[i / 512] {
                    *byte = 0;
                }
            }
            let (_, outcome) = scan(&bytes);
            prop_assert!(!matches!(outcome, ScanOutcome::Corrupt { .. }), "{:?}", outcome);
        }

        #[test]
        fn random_tails_never_panic(tail in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut file = File::new();
            file.ops(0);
            let mut bytes = file.finish();
            let end = file.bytes.len();
            bytes[end..end + tail.len()].copy_from_slice(&tail);
            prop_assert!(scan(&bytes).0.len() == 1);
        }

        #[test]
        fn random_headers_never_panic(bytes: Vec<u8>) {
            prop_assert!(WalScanner::new(&bytes, &IDENTITY).is_err());
        }
    }
}
