//! Filters over real sources: whatever is indexed, patched, dead, sealed or still in memory, the
//! answer is the oracle's.

use std::collections::BTreeMap;

use engine::UpsertRows;
use format_spec::{FieldIndex, FieldType, Metric, PointId, Schema, Value};
use proptest::prelude::*;
use query::{
    Filter, PayloadSelector, QueryRequest, ScrollRequest, Selector, VectorSelector, WriteOp,
};

use crate::oracle;
use crate::world::{World, number, vector};

/// What happens to the points before the filter is asked.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Upsert(Vec<(u64, [bool; 2], Value)>),
    Overwrite(Vec<u64>, Value),
    Delete(Vec<u64>),
    Flush,
    Settle,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let ids = || prop::collection::vec(0u64..40, 0..8);
    let point = (0u64..40, any::<[bool; 2]>(), oracle::payload());
    prop_oneof![
        4 => prop::collection::vec(point, 0..20).prop_map(Step::Upsert),
        2 => (ids(), oracle::payload()).prop_map(|(ids, payload)| Step::Overwrite(ids, payload)),
        1 => ids().prop_map(Step::Delete),
        2 => Just(Step::Flush),
        1 => Just(Step::Settle),
    ]
}

pub(crate) fn indexes() -> impl Strategy<Value = Vec<FieldIndex>> {
    let paths = prop::sample::subsequence(oracle::PATHS.to_vec(), 0..=oracle::PATHS.len());
    let types = prop::collection::vec(prop::sample::select(FieldType::ALL.to_vec()), 9);
    (paths, types).prop_map(|(paths, types)| {
        let index = |(path, field_type): (&str, FieldType)| FieldIndex {
            path: path.to_owned(),
            field_type,
            settings: Value::Null.to_bytes(),
        };
        paths.into_iter().zip(types).map(index).collect()
    })
}

pub(crate) type Model = BTreeMap<PointId, ([bool; 2], Value)>;

pub(crate) const NAMES: [&str; 2] = ["", "image"];

pub(crate) fn holds(filter: &Filter, id: PointId, (has, payload): &([bool; 2], Value)) -> bool {
    let named = NAMES.iter().zip(has);
    let vectors: Vec<&str> = named
        .filter(|(_, has)| **has)
        .map(|(name, _)| *name)
        .collect();
    oracle::matches(filter, id, &vectors, payload)
}

pub(crate) fn run(world: &World, steps: Vec<Step>, model: &mut Model) {
    for step in steps {
        match step {
            Step::Upsert(points) => {
                let mut rows = UpsertRows::new(&world.collection.schema());
                for (id, has, payload) in points {
                    rows.begin(number(id));
                    for (position, _) in has.iter().enumerate().filter(|(_, has)| **has) {
                        rows.raw_vector(position, &[0; 8]);
                    }
                    rows.payload(&payload.to_bytes());
                    model.insert(number(id), (has, payload));
                }
                world.upsert(rows);
            }
            Step::Overwrite(ids, payload) => {
                let ids: Vec<PointId> = ids
                    .into_iter()
                    .map(number)
                    .filter(|id| model.contains_key(id))
                    .collect();
                for id in &ids {
                    model.get_mut(id).unwrap().1 = payload.clone();
                }
                let select = Selector::Ids(ids);
                world
                    .write(vec![WriteOp::OverwritePayload { payload, select }])
                    .unwrap();
            }
            Step::Delete(ids) => {
                let ids: Vec<PointId> = ids.into_iter().map(number).collect();
                model.retain(|id, _| !ids.contains(id));
                world
                    .write(vec![WriteOp::Delete(Selector::Ids(ids))])
                    .unwrap();
            }
            Step::Flush => world.flush(),
            Step::Settle => world.settle(),
        }
    }
}

/// A world with these indexes and the vectors that points may have.
pub(crate) fn world(fields: Vec<FieldIndex>) -> World {
    let vectors = NAMES.map(|name| vector(name, 2, Metric::Euclid)).to_vec();
    World::new(Schema {
        fields,
        vectors,
        ..Schema::default()
    })
}

fn listed(world: &World, filter: &Filter, offset: u64, limit: usize) -> Vec<PointId> {
    let request = ScrollRequest {
        offset: Some(number(offset)),
        limit,
        filter: Some(filter.clone()),
        with_payload: PayloadSelector::All(false),
        with_vector: VectorSelector::All(false),
    };
    let page = query::scroll(&world.snapshot(), &request, &world.env()).unwrap();
    page.points
        .iter()
        .map(|record| record.id)
        .chain(page.next)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_source_answers_as_the_oracle_does(
        fields in indexes(),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(oracle::filter(), 1..8),
        more in prop::collection::vec(step(), 0..4),
        offset in 0u64..40,
        limit in 0usize..12,
    ) {
        let world = world(fields);
        let mut model = Model::new();
        run(&world, steps, &mut model);
        // Asked twice, the second time of what the first one left in memory.
        let again = filters.len();
        for (nth, filter) in filters.iter().chain(&filters).cloned().enumerate() {
            if nth == again {
                run(&world, more.clone(), &mut model);
            }
            let truth: Vec<PointId> = model
                .iter()
                .filter(|(id, point)| holds(&filter, **id, point))
                .map(|(id, _)| *id)
                .collect();
            let snapshot = world.snapshot();
            let counted = query::count(&snapshot, Some(&filter), true, &world.env()).unwrap();
            prop_assert_eq!(counted, truth.len() as u64);

            let from: Vec<PointId> =
                truth.iter().copied().filter(|id| *id >= number(offset)).collect();
            let page: Vec<PointId> = from.iter().copied().take(limit + 1).collect();
            prop_assert_eq!(listed(&world, &filter, offset, limit), page);

            let request = QueryRequest {
                target: None,
                using: String::new(),
                filter: Some(filter),
                params: query::SearchParams::default(),
                score_threshold: None,
                limit,
                offset: 2,
                with_payload: PayloadSelector::All(true),
                with_vector: VectorSelector::All(false),
            };
            let hits = query::search(&snapshot, &request, &world.env()).unwrap();
            let ids: Vec<PointId> = hits.iter().map(|hit| hit.record.id).collect();
            prop_assert_eq!(ids, truth.iter().copied().skip(2).take(limit).collect::<Vec<_>>());
            for hit in hits {
                let payload = model.get(&hit.record.id).map(|(_, payload)| payload);
                prop_assert_eq!(hit.record.payload.as_ref(), payload);
            }
        }
    }
}
