//! Where the files of a collection are to be held, from its configuration, and where they are.
//!
//! # Invariants
//! - `memory` says more than the older `on_disk` and `always_ram`, and counts where both are given.
//! - What a vector says counts for the vector, and what the collection says for the others.

use std::collections::BTreeMap;

use engine::{Held, Placement, PlacementReport, Residency, VectorPlacement};
use serde::Serialize;

use super::config::{Config, HnswDiff, Memory, VectorParams};

impl Memory {
    const fn residency(self) -> Residency {
        match self {
            Self::Cold => Residency::Cold,
            Self::Cached => Residency::Cached,
            Self::Pinned => Residency::Pinned,
        }
    }
}

/// What `memory` says, or else `on_disk`; `None` where neither is given.
pub(super) fn of_on_disk(memory: Option<Memory>, on_disk: Option<bool>) -> Option<Residency> {
    let older = || {
        on_disk.map(|on_disk| {
            if on_disk {
                Residency::Cold
            } else {
                Residency::Cached
            }
        })
    };
    memory.map(Memory::residency).or_else(older)
}

impl Config {
    /// Where everything is to be.
    pub(crate) fn placement(&self) -> Placement {
        let vectors = self.params.vectors.iter();
        let placed = |(name, params): (&str, &VectorParams)| {
            (name.to_owned(), self.vector_placement(params))
        };
        let payload = self.params.payload.and_then(|payload| payload.memory);
        let on_disk = Some(self.params.on_disk_payload);
        Placement {
            vectors: vectors.map(placed).collect(),
            payload: of_on_disk(payload, on_disk).unwrap_or_default(),
            ..Placement::default()
        }
    }

    fn vector_placement(&self, params: &VectorParams) -> VectorPlacement {
        let of_hnsw = |hnsw: &HnswDiff| of_on_disk(hnsw.memory, hnsw.on_disk);
        let all = of_on_disk(self.hnsw_config.memory, self.hnsw_config.on_disk);
        let graph = params.hnsw_config.as_ref().and_then(of_hnsw).or(all);
        let quantization = params.quantization_config.as_ref();
        let quantization = quantization.or(self.quantization_config.as_ref());
        let place = quantization.map(|quantization| quantization.place());
        let codes = place.and_then(|place| {
            let always_ram = place.always_ram.unwrap_or(false);
            let older = always_ram.then_some(Residency::Pinned);
            place.memory.map(Memory::residency).or(older)
        });
        VectorPlacement {
            originals: of_on_disk(params.memory, params.on_disk).unwrap_or_default(),
            codes: codes.unwrap_or_default(),
            graph: graph.unwrap_or_default(),
        }
    }
}

/// Where the bytes of the segments of a collection are: Cairn's own part of its description.
#[derive(Debug, Serialize)]
pub(crate) struct JsonPlacement {
    vectors: BTreeMap<String, JsonVector>,
    payload: JsonHeld,
}

#[derive(Debug, Serialize)]
struct JsonVector {
    originals: JsonHeld,
    codes: JsonHeld,
    graph: JsonHeld,
}

#[derive(Debug, Serialize)]
struct JsonHeld {
    /// What is asked for.
    memory: &'static str,
    /// Made from files and held in memory of the process.
    resident_bytes: u64,
    /// Of files, mapped and locked in memory.
    locked_bytes: u64,
    /// Of files, mapped: in memory as far as the kernel keeps them there.
    mapped_bytes: u64,
    /// Of files that are on disk.
    cold_bytes: u64,
}

impl JsonHeld {
    fn new(asked: Residency, held: Held) -> Self {
        Self {
            memory: asked.as_str(),
            resident_bytes: held.resident,
            locked_bytes: held.locked,
            mapped_bytes: held.mapped,
            cold_bytes: held.cold,
        }
    }
}

impl JsonPlacement {
    pub(crate) fn new(asked: &Placement, held: PlacementReport) -> Self {
        let vectors = held.vectors.into_iter().map(|held| {
            let asked = asked.vectors.get(&held.name).copied().unwrap_or_default();
            let vector = JsonVector {
                originals: JsonHeld::new(asked.originals, held.originals),
                codes: JsonHeld::new(asked.codes, held.codes),
                graph: JsonHeld::new(asked.graph, held.graph),
            };
            (held.name, vector)
        });
        Self {
            vectors: vectors.collect(),
            payload: JsonHeld::new(asked.payload, held.payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Residency::{Cached, Cold, Pinned};
    use serde_json::{Value as Tree, json};

    use super::*;
    use crate::settings::CollectionDefaults;
    use crate::wire::collection::CreateBody;
    use crate::wire::json as reader;

    fn placement(body: &Tree) -> Placement {
        let body: CreateBody = reader::read(body.to_string().as_bytes()).unwrap();
        let config = body.convert(&CollectionDefaults::default()).unwrap();
        config.placement()
    }

    fn of(placement: &Placement, name: &str) -> (Residency, Residency, Residency) {
        let vector = placement.vectors[name];
        (vector.originals, vector.codes, vector.graph)
    }

    #[test]
    fn nothing_said_is_cached_and_the_payload_on_disk() {
        let placement = placement(&json!({"vectors": {"size": 4, "distance": "Dot"}}));
        assert_eq!(of(&placement, ""), (Cached, Cached, Cached));
        assert_eq!(placement.payload, Cold);
    }

    #[test]
    fn memory_counts_before_on_disk_and_the_vector_before_the_collection() {
        let vector = |extra: Tree| {
            let mut params = json!({"size": 4, "distance": "Dot"});
            let extra = extra.as_object().unwrap().clone();
            params.as_object_mut().unwrap().extend(extra);
            params
        };
        let placement = placement(&json!({
            "vectors": {
                "a": vector(json!({"on_disk": true})),
                "b": vector(json!({"on_disk": true, "memory": "cached",
                    "hnsw_config": {"on_disk": false},
                    "quantization_config": {"binary": {"memory": "cold", "always_ram": true}}})),
                "c": vector(json!({"memory": "cold", "hnsw_config": {"memory": "pinned"}})),
            },
            "hnsw_config": {"on_disk": true},
            "quantization_config": {"scalar": {"type": "int8", "always_ram": true}},
            "on_disk_payload": false,
        }));
        assert_eq!(of(&placement, "a"), (Cold, Pinned, Cold));
        assert_eq!(of(&placement, "b"), (Cached, Cold, Cached));
        assert_eq!(of(&placement, "c"), (Cold, Pinned, Pinned));
        assert_eq!(placement.payload, Cached);
    }
}
