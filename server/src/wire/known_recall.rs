//! Known recall: what each segment measured of itself, as a description of a collection shows it.

use std::collections::BTreeMap;

use engine::{RecallPoint, Snapshot, Source};
use serde::Serialize;

use super::index::JsonFieldIndex;
use super::placement::JsonPlacement;

/// Cairn's own members of a description.
#[derive(Debug, Serialize)]
pub(crate) struct Own {
    known_recall: Vec<KnownRecall>,
    placement: JsonPlacement,
    field_indexes: BTreeMap<String, JsonFieldIndex>,
}

/// Of the vectors of one name of a segment.
#[derive(Debug, Serialize)]
struct KnownRecall {
    segment: u64,
    vector: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    codes: Vec<AtDeviations>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    product: Vec<AtOversampling>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    graph: Vec<AtBeam>,
}

#[derive(Debug, Serialize)]
struct AtDeviations {
    deviations: f64,
    recall: f64,
}

#[derive(Debug, Serialize)]
struct AtOversampling {
    oversampling: u32,
    recall: f64,
}

#[derive(Debug, Serialize)]
struct AtBeam {
    hnsw_ef: u32,
    recall: f64,
}

impl Own {
    pub(crate) fn of(
        snapshot: &Snapshot,
        placement: JsonPlacement,
        field_indexes: BTreeMap<String, JsonFieldIndex>,
    ) -> Self {
        let names = || {
            snapshot
                .schema()
                .vectors
                .iter()
                .map(|v| &v.name)
                .enumerate()
        };
        let of_source = |source: &Source| -> Vec<KnownRecall> {
            let known = names().map(|(index, name)| known(source, index, name));
            known.flatten().collect()
        };
        let known_recall = snapshot.sources().iter().flat_map(of_source);
        Self {
            known_recall: known_recall.collect(),
            placement,
            field_indexes,
        }
    }
}

fn known(source: &Source, index: usize, name: &str) -> Option<KnownRecall> {
    let codes = source.known_recall_of_codes(index);
    let graph = source.known_recall_of_graph(index);
    let product = source.known_recall_of_product(index);
    if codes.is_empty() && graph.is_empty() && product.is_empty() {
        return None;
    }
    let share = |point: &RecallPoint| f64::from(point.recall) / f64::from(RecallPoint::WHOLE);
    let at_deviations = |point: &RecallPoint| AtDeviations {
        deviations: f64::from(point.setting) / 1_000.0,
        recall: share(point),
    };
    let at_oversampling = |point: &RecallPoint| AtOversampling {
        oversampling: point.setting / 1_000,
        recall: share(point),
    };
    let at_beam = |point: &RecallPoint| AtBeam {
        hnsw_ef: point.setting / 1_000,
        recall: share(point),
    };
    Some(KnownRecall {
        segment: source.segment_id()?.0,
        vector: name.to_owned(),
        codes: codes.iter().map(at_deviations).collect(),
        product: product.iter().map(at_oversampling).collect(),
        graph: graph.iter().map(at_beam).collect(),
    })
}
