#![doc = include_str!("../docs/05-catalog.md")]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::envelope::{self, HEADER_LEN, Identity};
use crate::error::{DecodeError, Why};
use crate::ids::{CollectionId, ShardId, uuid_bytes, uuid_from_bytes};
use crate::schema::Schema;

/// First eight bytes of a catalog file.
pub const MAGIC: [u8; 8] = *b"CAIRNCAT";

/// Every collection and alias of a data directory.
#[derive(Clone, PartialEq, Debug)]
pub struct Catalog {
    /// Number in the file name.
    pub number: u64,
    /// The collections.
    pub collections: Vec<CollectionEntry>,
    /// Alias and the name of the collection it stands for.
    pub aliases: Vec<(String, String)>,
}

/// One collection.
#[derive(Clone, PartialEq, Debug)]
pub struct CollectionEntry {
    /// Its id: the folder name.
    pub id: CollectionId,
    /// The name users call it by.
    pub name: String,
    /// What it holds.
    pub schema: Schema,
    /// Its shards.
    pub shards: Vec<ShardId>,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_at_ms: u64,
}

/// Body version 1, frozen.
#[derive(Serialize, Deserialize)]
struct BodyV1 {
    collections: Vec<CollectionV1>,
    aliases: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct CollectionV1 {
    id: [u8; 16],
    name: String,
    schema: Schema,
    shards: Vec<u32>,
    created_at_ms: u64,
}

impl Catalog {
    /// The whole file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let collections = self.collections.iter().map(|entry| CollectionV1 {
            id: uuid_bytes(entry.id.0),
            name: entry.name.clone(),
            schema: entry.schema.clone(),
            shards: entry.shards.iter().map(|shard| shard.0).collect(),
            created_at_ms: entry.created_at_ms,
        });
        let body = BodyV1 {
            collections: collections.collect(),
            aliases: self.aliases.clone(),
        };
        envelope::seal(&identity(self.number), &body)
    }

    /// Checks and reads a whole file that must be catalog `number`.
    ///
    /// # Errors
    /// Any damage, another number, or an entry that breaks a rule of the chapter.
    pub fn decode(bytes: &[u8], number: u64) -> Result<Self, DecodeError> {
        let body: BodyV1 = envelope::open(&identity(number), bytes)?;
        let collections = body.collections.into_iter().map(|entry| CollectionEntry {
            id: CollectionId(uuid_from_bytes(entry.id)),
            name: entry.name,
            schema: entry.schema,
            shards: entry.shards.into_iter().map(ShardId).collect(),
            created_at_ms: entry.created_at_ms,
        });
        let catalog = Self {
            number,
            collections: collections.collect(),
            aliases: body.aliases,
        };
        catalog.invariants()?;
        Ok(catalog)
    }

    /// The rules of the chapter that hold between entries.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn invariants(&self) -> Result<(), DecodeError> {
        let mut ids = BTreeSet::new();
        let mut names = BTreeSet::new();
        for entry in &self.collections {
            unique("collection id", ids.insert(entry.id))?;
            unique("collection name", names.insert(entry.name.as_str()))?;
            let mut shards = BTreeSet::new();
            for shard in &entry.shards {
                unique("shard", shards.insert(shard))?;
            }
            let mut vectors = BTreeSet::new();
            for vector in &entry.schema.vectors {
                unique("vector name", vectors.insert(vector.name.as_str()))?;
            }
            let mut fields = BTreeSet::new();
            for field in &entry.schema.fields {
                unique("field path", fields.insert(field.path.as_str()))?;
            }
        }
        let mut aliases = BTreeSet::new();
        for (alias, _) in &self.aliases {
            unique("alias", aliases.insert(alias.as_str()))?;
        }
        Ok(())
    }
}

fn identity(number: u64) -> Identity {
    Identity {
        magic: MAGIC,
        number,
        collection: 0,
        shard: 0,
    }
}

fn unique(field: &'static str, inserted: bool) -> Result<(), DecodeError> {
    if inserted {
        return Ok(());
    }
    Err(DecodeError::new(HEADER_LEN as u64, field, Why::Order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{
        Codec, CompactionSettings, Element, FieldIndex, FieldType, HnswSettings, Metric,
        VectorSchema,
    };
    use proptest::prelude::*;

    fn any_vector() -> impl Strategy<Value = VectorSchema> {
        let hnsw = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>()).prop_map(
            |(m, ef_construct, full_scan_threshold_kb, seed)| HnswSettings {
                m,
                ef_construct,
                full_scan_threshold_kb,
                seed,
            },
        );
        (
            any::<u32>(),
            0..Metric::ALL.len(),
            0..Element::ALL.len(),
            hnsw,
            0..Codec::ALL.len(),
        )
            .prop_map(|(dim, metric, element, hnsw, codec)| VectorSchema {
                name: String::new(),
                dim,
                metric: Metric::ALL[metric],
                element: Element::ALL[element],
                hnsw,
                codec: Codec::ALL[codec],
            })
    }

    fn any_compaction() -> impl Strategy<Value = CompactionSettings> {
        let sizes = (
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
        );
        (
            0.0..1.0_f64,
            sizes,
            any::<u32>(),
            any::<u64>(),
            any::<bool>(),
        )
            .prop_map(
                |(deleted_threshold, (a, b, c, d, e), few, rate_bytes_per_s, paused)| {
                    CompactionSettings {
                        deleted_threshold,
                        vacuum_min_rows: a,
                        segment_count_target: few,
                        segment_bytes_max: b,
                        indexing_threshold_kb: c,
                        flush_interval_ms: d,
                        memtable_bytes_max: e,
                        fan_out: few,
                        jobs_max: few,
                        rate_bytes_per_s,
                        paused,
                    }
                },
            )
    }

    fn any_schema() -> impl Strategy<Value = Schema> {
        let field =
            (0..FieldType::ALL.len(), any::<Vec<u8>>()).prop_map(|(t, settings)| FieldIndex {
                path: String::new(),
                field_type: FieldType::ALL[t],
                settings,
            });
        let vectors = prop::collection::vec(any_vector(), 0..4);
        let fields = prop::collection::vec(field, 0..4);
        (
            any::<u64>(),
            vectors,
            fields,
            any_compaction(),
            any::<Vec<u8>>(),
        )
            .prop_map(|(version, mut vectors, mut fields, compaction, document)| {
                for (i, vector) in vectors.iter_mut().enumerate() {
                    vector.name = format!("v{i}");
                }
                for (i, field) in fields.iter_mut().enumerate() {
                    field.path = format!("f{i}.x");
                }
                Schema {
                    version,
                    vectors,
                    fields,
                    compaction,
                    document,
                }
            })
    }

    fn any_catalog() -> impl Strategy<Value = Catalog> {
        let entry = (
            any_schema(),
            prop::collection::btree_set(any::<u32>(), 0..4),
            any::<u64>(),
        );
        let aliases = prop::collection::btree_map(".{0,8}", ".{0,8}", 0..4);
        (any::<u64>(), prop::collection::vec(entry, 0..4), aliases).prop_map(
            |(number, entries, aliases)| {
                let collections = entries.into_iter().enumerate().map(|(i, entry)| {
                    let (schema, shards, created_at_ms) = entry;
                    CollectionEntry {
                        id: CollectionId(u128::MAX - i as u128),
                        name: format!("c{i}"),
                        schema,
                        shards: shards.into_iter().map(ShardId).collect(),
                        created_at_ms,
                    }
                });
                let aliases = aliases.into_iter().collect();
                Catalog {
                    number,
                    collections: collections.collect(),
                    aliases,
                }
            },
        )
    }

    #[test]
    fn a_catalog_of_another_number_is_refused() {
        let catalog = Catalog {
            number: 3,
            collections: vec![],
            aliases: vec![],
        };
        let bytes = catalog.encode();
        assert_eq!(Catalog::decode(&bytes, 4).unwrap_err().why, Why::Identity);
    }

    #[test]
    fn a_name_stands_once() {
        let alias = ("a".to_owned(), "c".to_owned());
        let catalog = Catalog {
            number: 3,
            collections: vec![],
            aliases: vec![alias.clone(), alias],
        };
        let error = Catalog::decode(&catalog.encode(), 3).unwrap_err();
        assert_eq!((error.field, error.why), ("alias", Why::Order));
    }

    proptest! {
        #[test]
        fn catalogs_round_trip(catalog in any_catalog()) {
            let bytes = catalog.encode();
            prop_assert_eq!(Catalog::decode(&bytes, catalog.number), Ok(catalog));
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert!(Catalog::decode(&bytes, 1).is_err());
        }
    }
}
