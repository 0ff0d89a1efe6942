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
