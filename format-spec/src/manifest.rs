#![doc = include_str!("../docs/04-manifest.md")]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::container::PartIdentity;
use crate::envelope::{self, HEADER_LEN, Identity};
use crate::error::{DecodeError, Why};
use crate::ids::{
    CollectionId, Epoch, PartId, SegmentId, SeqNo, ShardId, uuid_bytes, uuid_from_bytes,
};
use crate::path::PartKind;

/// First eight bytes of a shard manifest.
pub const MAGIC: [u8; 8] = *b"CAIRNMAN";

/// The whole truth of a shard: its segments, their parts, and where the WAL goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardManifest {
    /// Number in the file name.
    pub number: u64,
    /// Shard.
    pub shard: ShardId,
    /// Collection.
    pub collection: CollectionId,
    /// Epoch of the primary that wrote it.
    pub epoch: Epoch,
    /// Every write up to here is in the segments; replay starts after it.
    pub flushed: SeqNo,
    /// First and last placement hash of the shard, both inclusive.
    pub hash_range: (u64, u64),
    /// No part has this id or a higher one.
    pub next_part: u64,
    /// No segment has this id or a higher one.
    pub next_segment: u64,
    /// WAL files below this number are not needed.
    pub first_wal: u64,
    /// The segments.
    pub segments: Vec<SegmentEntry>,
}

/// One segment of a manifest. Its fields are in the order of their bytes in body version 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its id.
    pub id: SegmentId,
    /// Rows in it, dead ones included.
    pub rows: u32,
    /// Smallest SeqNo of its rows.
    pub seqno_min: SeqNo,
    /// Largest SeqNo of its rows.
    pub seqno_max: SeqNo,
    /// Its parts.
    pub parts: Vec<PartEntry>,
}

/// One part of a segment. Its fields are in the order of their bytes in body version 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartEntry {
    /// Its id.
    pub id: PartId,
    /// Its kind.
    pub kind: PartKind,
    /// Vector name, field path, or empty.
    pub name: String,
    /// Length of the file.
    pub len: u64,
    /// SHA-256 of the whole file.
    pub hash: [u8; 32],
    /// A derived part names the hash of what it was made from.
    pub source_hash: Option<[u8; 32]>,
    /// Deletes and patches up to here are folded in.
    pub exact_for: SeqNo,
    /// Codes and graphs: the recall that was measured when the part was made, least effort first.
    pub recall: Vec<RecallPoint>,
    /// The identity the file was written with, where it was taken over from another shard.
    pub origin: Option<PartOrigin>,
}

/// What a part was written as: its checksums stay bound to that when another shard lists it.
/// Its fields are in the order of their bytes in body version 1.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartOrigin {
    /// The UUID of the collection, in its 16 RFC 4122 bytes.
    pub collection: [u8; 16],
    /// The shard.
    pub shard: ShardId,
    /// The id the part had there.
    pub id: PartId,
}

impl PartEntry {
    /// What the file of this part says it is, when `collection` and `shard` list it.
    #[must_use]
    pub fn identity(&self, collection: CollectionId, shard: ShardId) -> PartIdentity {
        let own = PartIdentity {
            kind: self.kind,
            part_id: self.id,
            collection,
            shard,
            len: self.len,
        };
        self.origin.map_or(own, |origin| PartIdentity {
            part_id: origin.id,
            collection: CollectionId(uuid_from_bytes(origin.collection)),
            shard: origin.shard,
            ..own
        })
    }

    /// The same part as another shard lists it that takes its file over: its own id there is `id`,
    /// and `collection` and `shard` are those that list it now.
    #[must_use]
    pub fn adopted(mut self, id: PartId, (collection, shard): (CollectionId, ShardId)) -> Self {
        let written = self.identity(collection, shard);
        self.origin = Some(PartOrigin {
            collection: uuid_bytes(written.collection.0),
            shard: written.shard,
            id: written.part_id,
        });
        self.id = id;
        self
    }
}

/// Recall of ten nearest rows, measured on rows of the segment itself at one setting of a search.
/// Its fields are in the order of their bytes in body version 1.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecallPoint {
    /// Thousandths: of standard deviations for codes, of rows compared for each wanted for product
    /// codes, of rows in the beam for a graph.
    pub setting: u32,
    /// Ten-thousandths.
    pub recall: u32,
}

impl RecallPoint {
    /// The whole.
    pub const WHOLE: u32 = 10_000;
}

/// Body version 1, frozen.
#[derive(Serialize, Deserialize)]
struct BodyV1 {
    epoch: u32,
    flushed: u64,
    hash_first: u64,
    hash_last: u64,
    next_part: u64,
    next_segment: u64,
    first_wal: u64,
    segments: Vec<SegmentEntry>,
}

impl ShardManifest {
    /// The whole file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = BodyV1 {
            epoch: self.epoch.0,
            flushed: self.flushed.0,
            hash_first: self.hash_range.0,
            hash_last: self.hash_range.1,
            next_part: self.next_part,
            next_segment: self.next_segment,
            first_wal: self.first_wal,
            segments: self.segments.clone(),
        };
        envelope::seal(&identity(self.number, self.collection, self.shard), &body)
    }

    /// Checks and reads a whole file that must be manifest `number` of this shard.
    ///
    /// # Errors
    /// Any damage, another identity, or an entry that breaks a rule of the chapter.
    pub fn decode(
        bytes: &[u8],
        number: u64,
        collection: CollectionId,
        shard: ShardId,
    ) -> Result<Self, DecodeError> {
        let body: BodyV1 = envelope::open(&identity(number, collection, shard), bytes)?;
        let manifest = Self {
            number,
            shard,
            collection,
            epoch: Epoch(body.epoch),
            flushed: SeqNo(body.flushed),
            hash_range: (body.hash_first, body.hash_last),
            next_part: body.next_part,
            next_segment: body.next_segment,
            first_wal: body.first_wal,
            segments: body.segments,
        };
        manifest.invariants()?;
        Ok(manifest)
    }

    /// The rules of the chapter that hold between fields.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn invariants(&self) -> Result<(), DecodeError> {
        let (first, last) = self.hash_range;
        check_range("hash range", last, first, u64::MAX)?;
        let mut segments = BTreeSet::new();
        let mut parts = BTreeSet::new();
        for segment in &self.segments {
            check_below("segment id", segment.id.0, self.next_segment)?;
            check_range(
                "segment seqno",
                segment.seqno_max.0,
                segment.seqno_min.0,
                u64::MAX,
            )?;
            if !segments.insert(segment.id) {
                return Err(at_body("segment id", Why::Order));
            }
            for part in &segment.parts {
                check_below("part id", part.id.0, self.next_part)?;
                if !parts.insert(part.id) {
                    return Err(at_body("part id", Why::Order));
                }
                if let Some(origin) = part.origin {
                    check_range("origin part id", origin.id.0, 1, u64::MAX)?;
                }
                for point in &part.recall {
                    let recall = u64::from(point.recall);
                    check_range("recall", recall, 0, RecallPoint::WHOLE.into())?;
                }
                if !part.recall.is_sorted_by_key(|point| point.setting) {
                    return Err(at_body("recall setting", Why::Order));
                }
            }
        }
        Ok(())
    }
}

fn identity(number: u64, collection: CollectionId, shard: ShardId) -> Identity {
    Identity {
        magic: MAGIC,
        number,
        collection: collection.0,
        shard: shard.0,
    }
}

fn at_body(field: &'static str, why: Why) -> DecodeError {
    DecodeError::new(HEADER_LEN as u64, field, why)
}

fn check_range(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), DecodeError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(at_body(field, Why::OutOfRange { value, least, most }))
}

/// Ids start at 1 and stay below the counter that hands them out.
fn check_below(field: &'static str, id: u64, next: u64) -> Result<(), DecodeError> {
    check_range(field, id, 1, next.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_part() -> impl Strategy<Value = PartEntry> {
        let hashes = (any::<[u8; 32]>(), any::<Option<[u8; 32]>>());
        (
            0..PartKind::ALL.len(),
            ".{0,20}",
            any::<u64>(),
            hashes,
            any::<u64>(),
            prop::collection::vec((any::<u32>(), 0..=RecallPoint::WHOLE), 0..3),
            prop::option::of((any::<[u8; 16]>(), any::<u32>(), 1..u64::MAX)),
        )
            .prop_map(
                |(kind, name, len, (hash, source_hash), exact_for, mut recall, origin)| PartEntry {
                    id: PartId(0),
                    kind: PartKind::ALL[kind],
                    name,
                    len,
                    hash,
                    source_hash,
                    exact_for: SeqNo(exact_for),
                    recall: {
                        recall.sort_unstable();
                        let point = |(setting, recall)| RecallPoint { setting, recall };
                        recall.into_iter().map(point).collect()
                    },
                    origin: origin.map(|(collection, shard, id)| PartOrigin {
                        collection,
                        shard: ShardId(shard),
                        id: PartId(id),
                    }),
                },
            )
    }

    fn any_segment() -> impl Strategy<Value = SegmentEntry> {
        let parts = prop::collection::vec(any_part(), 0..5);
        (any::<u32>(), any::<u64>(), any::<u64>(), parts).prop_map(|(rows, a, b, parts)| {
            let (seqno_min, seqno_max) = (SeqNo(a.min(b)), SeqNo(a.max(b)));
            SegmentEntry {
                id: SegmentId(0),
                rows,
                seqno_min,
                seqno_max,
                parts,
            }
        })
    }

    fn any_manifest() -> impl Strategy<Value = ShardManifest> {
        let place = (any::<u64>(), any::<u32>(), any::<u128>(), any::<u32>());
        let counters = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
        (place, counters, prop::collection::vec(any_segment(), 0..5)).prop_map(
            |((number, shard, collection, epoch), (flushed, a, b, first_wal), mut segments)| {
                let (mut next_part, mut next_segment) = (1, 1);
                for segment in &mut segments {
                    segment.id = SegmentId(next_segment);
                    next_segment += 1;
                    for part in &mut segment.parts {
                        part.id = PartId(next_part);
                        next_part += 1;
                    }
                }
                ShardManifest {
                    number,
                    shard: ShardId(shard),
                    collection: CollectionId(collection),
                    epoch: Epoch(epoch),
                    flushed: SeqNo(flushed),
                    hash_range: (a.min(b), a.max(b)),
                    next_part,
                    next_segment,
                    first_wal,
                    segments,
                }
            },
        )
    }

    fn decode_as(bytes: &[u8], m: &ShardManifest) -> Result<ShardManifest, DecodeError> {
        ShardManifest::decode(bytes, m.number, m.collection, m.shard)
    }

    fn small() -> ShardManifest {
        let part = PartEntry {
            id: PartId(1),
            kind: PartKind::Rows,
            name: String::new(),
            len: 1,
            hash: [7; 32],
            source_hash: None,
            exact_for: SeqNo(3),
            recall: Vec::new(),
            origin: None,
        };
        ShardManifest {
            number: 4,
            shard: ShardId(2),
            collection: CollectionId(9),
            epoch: Epoch(1),
            flushed: SeqNo(3),
            hash_range: (0, u64::MAX),
            next_part: 2,
            next_segment: 2,
            first_wal: 1,
            segments: vec![SegmentEntry {
                id: SegmentId(1),
                rows: 1,
                seqno_min: SeqNo(1),
                seqno_max: SeqNo(3),
                parts: vec![part],
            }],
        }
    }

    #[test]
    fn a_manifest_of_another_place_is_refused() {
        let manifest = small();
        let bytes = manifest.encode();
        for (number, collection, shard) in [(5, 9, 2), (4, 8, 2), (4, 9, 3)] {
            let found =
                ShardManifest::decode(&bytes, number, CollectionId(collection), ShardId(shard));
            assert_eq!(found.unwrap_err().why, Why::Identity);
        }
    }

    #[test]
    fn ids_are_unique_and_below_their_counter() {
        let mut twice = small();
        twice.segments.push(twice.segments[0].clone());
        assert_eq!(
            decode_as(&twice.encode(), &twice).unwrap_err().why,
            Why::Order
        );
        let mut beyond = small();
        beyond.next_part = 1;
        assert_eq!(
            decode_as(&beyond.encode(), &beyond).unwrap_err().field,
            "part id"
        );
    }

    #[test]
    fn a_part_keeps_its_identity_from_shard_to_shard() {
        let (collection, shard) = (CollectionId(9), ShardId(2));
        let part = small().segments.remove(0).parts.remove(0);
        let written = part.identity(collection, shard);
        assert_eq!((written.part_id, written.shard), (part.id, shard));
        // Twice, as when a half is split again.
        let once = part.adopted(PartId(5), (collection, shard));
        assert_eq!(once.identity(collection, ShardId(3)), written);
        let twice = once.adopted(PartId(7), (collection, ShardId(3)));
        assert_eq!(twice.id, PartId(7));
        assert_eq!(twice.identity(CollectionId(1), ShardId(4)), written);
        let mut nowhere = small();
        nowhere.segments[0].parts[0].origin = twice.origin.map(|origin| PartOrigin {
            id: PartId(0),
            ..origin
        });
        let refused = decode_as(&nowhere.encode(), &nowhere).unwrap_err();
        assert_eq!(refused.field, "origin part id");
    }

    #[test]
    fn bytes_after_the_body_are_refused() {
        let manifest = small();
        let mut bytes = manifest.encode();
        bytes.push(0);
        assert!(matches!(
            decode_as(&bytes, &manifest).unwrap_err().why,
            Why::Trailing { .. }
        ));
    }

    proptest! {
        #[test]
        fn manifests_round_trip(manifest in any_manifest()) {
            let bytes = manifest.encode();
            prop_assert_eq!(decode_as(&bytes, &manifest), Ok(manifest));
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert!(decode_as(&bytes, &small()).is_err());
        }
    }
}
