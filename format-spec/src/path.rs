#![doc = include_str!("../docs/01-paths.md")]

use crate::ids::{CollectionId, PartId, ShardId, parse_decimal};
use crate::schema::tagged;

tagged! {
    /// What a part file holds; the byte in manifests and part headers, and the file extension.
    PartKind {
        /// Raw vectors of one name.
        Vectors = 1,
        /// Quantized codes of one vector name.
        Codes = 2,
        /// Graph over one vector name.
        Graph = 3,
        /// Sparse vectors of one name.
        Sparse = 4,
        /// Row to point id and SeqNo, both ways.
        Rows = 5,
        /// Payloads.
        Payload = 6,
        /// Index of one payload field.
        Column = 7,
        /// Dead rows.
        Tombstones = 8,
        /// Whole new payloads of some rows.
        Patch = 9,
        /// Product codes of one vector name.
        Product = 10,
        /// Which values payload fields have, zone by zone.
        Statistics = 11,
    }
}

impl PartKind {
    /// The file extension.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::Codes => "codes",
            Self::Graph => "graph",
            Self::Sparse => "sparse",
            Self::Rows => "rows",
            Self::Payload => "payload",
            Self::Column => "column",
            Self::Tombstones => "tombstones",
            Self::Patch => "patch",
            Self::Product => "product",
            Self::Statistics => "statistics",
        }
    }

    /// The kind of a file extension.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.extension() == extension)
    }

    /// Whether it can be rebuilt from other parts, so that damage to it loses nothing.
    #[must_use]
    pub const fn is_derived(self) -> bool {
        matches!(
            self,
            Self::Codes | Self::Graph | Self::Column | Self::Product | Self::Statistics
        )
    }
}

/// The lock file of a data directory.
pub const LOCK: &str = "LOCK";
/// The folder of catalog files.
pub const CATALOG_DIR: &str = "catalog";
/// The folder of collections.
pub const COLLECTIONS_DIR: &str = "collections";
/// Name of the WAL folder in a shard folder.
pub const WAL_DIR: &str = "wal";
/// Name of the manifest folder in a shard folder.
pub const MANIFEST_DIR: &str = "manifest";
/// Name of the part folder in a shard folder.
pub const PARTS_DIR: &str = "parts";

/// One file of a data directory.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DataPath {
    /// `LOCK`.
    Lock,
    /// A catalog file.
    Catalog {
        /// Its number.
        number: u64,
    },
    /// A WAL file.
    Wal {
        /// Collection.
        collection: CollectionId,
        /// Shard.
        shard: ShardId,
        /// Its number.
        number: u64,
    },
    /// A shard manifest.
    Manifest {
        /// Collection.
        collection: CollectionId,
        /// Shard.
        shard: ShardId,
        /// Its number.
        number: u64,
    },
    /// A part.
    Part {
        /// Collection.
        collection: CollectionId,
        /// Shard.
        shard: ShardId,
        /// Its id.
        id: PartId,
        /// Its kind.
        kind: PartKind,
    },
}

impl std::fmt::Display for DataPath {
    /// The path relative to the data directory, with `/` between the names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Lock => f.write_str(LOCK),
            Self::Catalog { number } => f.write_str(&catalog_file(number)),
            Self::Wal {
                collection,
                shard,
                number,
            } => {
                write!(f, "{}/{}", wal_dir(collection, shard), wal_name(number))
            }
            Self::Manifest {
                collection,
                shard,
                number,
            } => {
                write!(
                    f,
                    "{}/{}",
                    manifest_dir(collection, shard),
                    manifest_name(number)
                )
            }
            Self::Part {
                collection,
                shard,
                id,
                kind,
            } => {
                write!(
                    f,
                    "{}/{}",
                    parts_dir(collection, shard),
                    part_name(id, kind)
                )
            }
        }
    }
}

impl DataPath {
    /// Reads what `Display` writes; anything else is not a file of ours.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path == LOCK {
            return Some(Self::Lock);
        }
        if let Some(name) = strip_dir(path, CATALOG_DIR) {
            return parse_manifest_name(name).map(|number| Self::Catalog { number });
        }
        let mut names = strip_dir(path, COLLECTIONS_DIR)?.split('/');
        let collection = parse_collection_name(names.next()?)?;
        if names.next()? != "shards" {
            return None;
        }
        let shard = parse_shard_name(names.next()?)?;
        let (folder, file) = (names.next()?, names.next()?);
        if names.next().is_some() {
            return None;
        }
        match folder {
            WAL_DIR => parse_wal_name(file).map(|number| Self::Wal {
                collection,
                shard,
                number,
            }),
            MANIFEST_DIR => parse_manifest_name(file).map(|number| Self::Manifest {
                collection,
                shard,
                number,
            }),
            PARTS_DIR => parse_part_name(file).map(|(id, kind)| Self::Part {
                collection,
                shard,
                id,
                kind,
            }),
            _ => None,
        }
    }
}

fn strip_dir<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir)?.strip_prefix('/')
}

/// `catalog/000007.manifest`.
#[must_use]
pub fn catalog_file(number: u64) -> String {
    format!("{CATALOG_DIR}/{}", manifest_name(number))
}

/// `collections/<uuid>`.
#[must_use]
pub fn collection_dir(collection: CollectionId) -> String {
    format!("{COLLECTIONS_DIR}/{collection}")
}

/// `collections/<uuid>/shards`.
#[must_use]
pub fn shards_dir(collection: CollectionId) -> String {
    format!("{}/shards", collection_dir(collection))
}

/// `collections/<uuid>/shards/<n>`.
#[must_use]
pub fn shard_dir(collection: CollectionId, shard: ShardId) -> String {
    format!("{}/{shard}", shards_dir(collection))
}

/// `collections/<uuid>/shards/<n>/wal`.
#[must_use]
pub fn wal_dir(collection: CollectionId, shard: ShardId) -> String {
    format!("{}/{WAL_DIR}", shard_dir(collection, shard))
}

/// `collections/<uuid>/shards/<n>/manifest`.
#[must_use]
pub fn manifest_dir(collection: CollectionId, shard: ShardId) -> String {
    format!("{}/{MANIFEST_DIR}", shard_dir(collection, shard))
}

/// `collections/<uuid>/shards/<n>/parts`.
#[must_use]
pub fn parts_dir(collection: CollectionId, shard: ShardId) -> String {
    format!("{}/{PARTS_DIR}", shard_dir(collection, shard))
}

/// `000012.wal`.
#[must_use]
pub fn wal_name(number: u64) -> String {
    format!("{number:06}.wal")
}

/// `000042.manifest`, of a shard or of the catalog.
#[must_use]
pub fn manifest_name(number: u64) -> String {
    format!("{number:06}.manifest")
}

/// `00000000000000a7.graph`.
#[must_use]
pub fn part_name(id: PartId, kind: PartKind) -> String {
    format!("{:016x}.{}", id.0, kind.extension())
}

/// The number of `000012.wal`.
#[must_use]
pub fn parse_wal_name(name: &str) -> Option<u64> {
    parse_number(name.strip_suffix(".wal")?)
}

/// The number of `000042.manifest`.
#[must_use]
pub fn parse_manifest_name(name: &str) -> Option<u64> {
    parse_number(name.strip_suffix(".manifest")?)
}

/// The id and kind of `00000000000000a7.graph`.
#[must_use]
pub fn parse_part_name(name: &str) -> Option<(PartId, PartKind)> {
    let (stem, extension) = name.split_once('.')?;
    let kind = PartKind::from_extension(extension)?;
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if stem.len() != 16 || !stem.bytes().all(lower_hex) {
        return None;
    }
    let id = u64::from_str_radix(stem, 16).ok().filter(|&id| id != 0)?;
    Some((PartId(id), kind))
}

/// The collection of a folder under `collections`.
#[must_use]
pub fn parse_collection_name(name: &str) -> Option<CollectionId> {
    name.parse().ok()
}

/// The shard of a folder under `shards`.
#[must_use]
pub fn parse_shard_name(name: &str) -> Option<ShardId> {
    parse_decimal(name)
        .and_then(|number| u32::try_from(number).ok())
        .map(ShardId)
}

/// A file number: at least six digits, a seventh only when needed, never 0.
fn parse_number(digits: &str) -> Option<u64> {
    let number = match digits.len() {
        0..6 => return None,
        6 => parse_decimal(match digits.trim_start_matches('0') {
            "" => "0",
            trimmed => trimmed,
        }),
        _ => parse_decimal(digits),
    };
    number.filter(|&number| number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_path() -> impl Strategy<Value = DataPath> {
        let place = (any::<u128>(), any::<u32>(), 1..u64::MAX);
        (place, 0..5_u8, 0..PartKind::ALL.len()).prop_map(|((uuid, shard, number), which, kind)| {
            let (collection, shard) = (CollectionId(uuid), ShardId(shard));
            match which {
                0 => DataPath::Lock,
                1 => DataPath::Catalog { number },
                2 => DataPath::Wal {
                    collection,
                    shard,
                    number,
                },
                3 => DataPath::Manifest {
                    collection,
                    shard,
                    number,
                },
                _ => {
                    let (id, kind) = (PartId(number), PartKind::ALL[kind]);
                    DataPath::Part {
                        collection,
                        shard,
                        id,
                        kind,
                    }
                }
            }
        })
    }

    #[test]
    fn names_are_those_of_the_chapter() {
        let (collection, shard) = (CollectionId(0xabc), ShardId(3));
        let dir = "collections/00000000-0000-0000-0000-000000000abc/shards/3";
        assert_eq!(catalog_file(7), "catalog/000007.manifest");
        let wal = DataPath::Wal {
            collection,
            shard,
            number: 1_234_567,
        };
        assert_eq!(wal.to_string(), format!("{dir}/wal/1234567.wal"));
        let part = DataPath::Part {
            collection,
            shard,
            id: PartId(0xa7),
            kind: PartKind::Graph,
        };
        assert_eq!(
            part.to_string(),
            format!("{dir}/parts/00000000000000a7.graph")
        );
    }

    #[test]
    fn foreign_names_do_not_parse() {
        for name in [
            "",
            "12.wal",
            "0000012.wal",
            "000000.wal",
            "000012.WAL",
            "+00012.wal",
            "00001a.wal",
        ] {
            assert_eq!(parse_wal_name(name), None, "{name}");
        }
        for name in [
            "a7.graph",
            "00000000000000A7.graph",
            "00000000000000a7.graph.tmp",
            "0000000000000000.rows",
        ] {
            assert_eq!(parse_part_name(name), None, "{name}");
        }
        for path in [
            "lock",
            "catalog",
            "catalog/x/000007.manifest",
            "../LOCK",
            "collections//shards/0/wal/000001.wal",
        ] {
            assert_eq!(DataPath::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn paths_round_trip(path in any_path()) {
            prop_assert_eq!(DataPath::parse(&path.to_string()), Some(path));
        }

        #[test]
        fn what_parses_is_canonical(text in "[LOCKcatalogwnifesr0-9a-f./-]{0,40}") {
            if let Some(path) = DataPath::parse(&text) {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
