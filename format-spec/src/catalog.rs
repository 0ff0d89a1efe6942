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
