//! Replays the fuzz corpora: every input that is kept runs through the body of its target.

#[cfg(test)]
mod bitmap {
    include!("../../fuzz/bodies/bitmap.rs");
}
#[cfg(test)]
mod catalog {
    include!("../../fuzz/bodies/catalog.rs");
}
#[cfg(test)]
mod manifest {
    include!("../../fuzz/bodies/manifest.rs");
}
#[cfg(test)]
mod paths {
    include!("../../fuzz/bodies/paths.rs");
}
#[cfg(test)]
mod schema {
    include!("../../fuzz/bodies/schema.rs");
}
#[cfg(test)]
mod value {
    include!("../../fuzz/bodies/value.rs");
}
#[cfg(test)]
mod wal {
    include!("../../fuzz/bodies/wal.rs");
}
#[cfg(test)]
mod wal_ops {
    include!("../../fuzz/bodies/wal_ops.rs");
}
#[cfg(test)]
mod columns {
    include!("../../fuzz/bodies/columns.rs");
}
#[cfg(test)]
mod container {
    include!("../../fuzz/bodies/container.rs");
}
#[cfg(test)]
mod graph {
    include!("../../fuzz/bodies/graph.rs");
}
#[cfg(test)]
mod patches {
    include!("../../fuzz/bodies/patches.rs");
}
#[cfg(test)]
mod payload {
    include!("../../fuzz/bodies/payload.rs");
}
#[cfg(test)]
mod rows {
    include!("../../fuzz/bodies/rows.rs");
}
#[cfg(test)]
mod codes {
    include!("../../fuzz/bodies/codes.rs");
}
#[cfg(test)]
mod product {
    include!("../../fuzz/bodies/product.rs");
}
#[cfg(test)]
mod statistics {
    include!("../../fuzz/bodies/statistics.rs");
}
#[cfg(test)]
mod tombstones {
    include!("../../fuzz/bodies/tombstones.rs");
}
#[cfg(test)]
mod vectors {
    include!("../../fuzz/bodies/vectors.rs");
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use format_spec::ids::uuid_from_bytes;
    use format_spec::{CollectionId, PartId, PartIdentity, PartKind, PartLayout, ShardId};

    /// A target and its body.
    type Target = (&'static str, fn(&[u8]));

    const TARGETS: &[Target] = &[
        ("bitmap", super::bitmap::body),
        ("catalog", super::catalog::body),
        ("manifest", super::manifest::body),
        ("paths", super::paths::body),
        ("schema", super::schema::body),
        ("value", super::value::body),
        ("wal", super::wal::body),
        ("wal_ops", super::wal_ops::body),
        ("columns", super::columns::body),
        ("container", super::container::body),
        ("graph", super::graph::body),
        ("patches", super::patches::body),
        ("payload", super::payload::body),
        ("rows", super::rows::body),
        ("codes", super::codes::body),
        ("product", super::product::body),
        ("statistics", super::statistics::body),
        ("tombstones", super::tombstones::body),
        ("vectors", super::vectors::body),
    ];

    fn corpus() -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "..", "fuzz", "corpus"]
            .iter()
            .collect()
    }

    #[expect(clippy::disallowed_methods, reason = "the corpora are real files")]
    fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(corpus().join(target)).unwrap();
        let mut inputs: Vec<_> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                (path.display().to_string(), std::fs::read(&path).unwrap())
            })
            .collect();
        inputs.sort();
        inputs
    }

    /// What a golden file is to the target of its chapter: the sections of a part, the body of an
    /// envelope, or the whole.
    fn input_of(golden: &[u8]) -> Vec<u8> {
        let word = |at: usize| u64::from_le_bytes(golden[at..at + 8].try_into().unwrap());
        match golden.first_chunk::<8>() {
            Some(b"CAIRNMAN" | b"CAIRNCAT") => golden[112..golden.len() - 4].to_vec(),
            Some(b"CAIRNPRT") => {
                let collection = golden[48..64].try_into().unwrap();
                let identity = PartIdentity {
                    kind: PartKind::from_tag(golden[12]).unwrap(),
                    part_id: PartId(word(40)),
                    collection: CollectionId(uuid_from_bytes(collection)),
                    shard: ShardId(word(64) as u32),
                    len: golden.len() as u64,
                };
                let layout = PartLayout::open(golden, &identity).unwrap();
                let mut input = Vec::new();
                for (tag, range) in layout.sections() {
                    input.extend_from_slice(&tag.to_le_bytes());
                    let len = u32::try_from(range.end - range.start).unwrap();
                    input.extend_from_slice(&len.to_le_bytes());
                    input.extend_from_slice(&golden[range.start as usize..range.end as usize]);
                }
                input
            }
            _ => golden.to_vec(),
        }
    }

    // A fuzzer starts where its corpus ends: inputs in an old form stop at the first check.
    // `BLESS=1` writes those that are missing.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the corpora are real files")]
    fn every_golden_file_is_in_the_corpus_of_its_chapter() {
        let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
        let mut found = 0;
        for entry in std::fs::read_dir(golden).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "bin") {
                continue;
            }
            let name = path.file_stem().unwrap().to_str().unwrap();
            // `wal_ops` has a target of its own, `columns_text` has not.
            let targets = TARGETS
                .iter()
                .filter(|(target, _)| name.starts_with(target));
            let (target, body) = targets.max_by_key(|(target, _)| target.len()).unwrap();
            let file = std::fs::read(&path).unwrap();
            // The frame itself is the chapter of this one.
            let input = if *target == "container" {
                file
            } else {
                input_of(&file)
            };
            body(&input);
            let kept = inputs(target).into_iter().any(|(_, kept)| kept == input);
            if !kept && std::env::var_os("BLESS").is_some() {
                std::fs::write(corpus().join(target).join(name), &input).unwrap();
            } else {
                assert!(kept, "{name} is not in the corpus of {target}");
            }
            found += 1;
        }
        assert!(found >= 30, "{found} golden files");
    }

    #[test]
    fn kept_inputs_do_not_panic() {
        for (target, body) in TARGETS {
            let inputs = inputs(target);
            assert!(!inputs.is_empty(), "{target} has no corpus");
            for (name, input) in &inputs {
                println!("{name}: {} bytes", input.len());
                body(input);
            }
        }
    }

    // The cheapest fuzzer there is: prefixes and single-byte changes of what is kept.
    #[test]
    fn kept_inputs_with_damage_do_not_panic() {
        let mut runs = 0_usize;
        for (target, body) in TARGETS {
            for (_, mut input) in inputs(target) {
                let step = input.len() / 256 + 1;
                for at in (0..input.len()).step_by(step) {
                    body(&input[..at]);
                    for mask in [0x01, 0x80, 0xff] {
                        input[at] ^= mask;
                        body(&input);
                        input[at] ^= mask;
                    }
                    runs += 4;
                }
            }
        }
        println!("{runs} damaged inputs");
        assert!(runs > 1_000, "{runs} damaged inputs");
    }
}
