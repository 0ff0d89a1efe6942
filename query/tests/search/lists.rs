//! Listings by a field, facets, groups and samples against a linear oracle: whatever is indexed,
//! patched, dead, sealed or still in memory, the answer is the same.

use std::collections::{BTreeMap, BTreeSet};

use format_spec::{FieldIndex, FieldType, PointId, Value};
use proptest::prelude::*;
use query::{
    Direction, FacetHit, FacetRequest, FacetValue, FieldPath, Filter, GroupKey, GroupsRequest,
    OrderBy, OrderValue, OrderedRequest, PayloadSelector, QueryRequest, Record, SearchParams,
    Target, VectorSelector,
};

use crate::filters::{Model, holds, run, step, world};
use crate::oracle;
use crate::world::World;

pub(crate) fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn index(path: &str, field_type: FieldType) -> FieldIndex {
    FieldIndex {
        path: path.to_owned(),
        field_type,
        settings: Vec::new(),
    }
}

pub(crate) fn indexed(fields: &[(&str, FieldType)]) -> Vec<FieldIndex> {
    let fields = fields.iter().map(|(path, kind)| index(path, *kind));
    fields.collect()
}

/// The points that match, with their payloads, in id order.
pub(crate) fn matching<'m>(
    model: &'m Model,
    filter: Option<&'m Filter>,
) -> impl Iterator<Item = (PointId, &'m Value)> {
    let passes = move |(id, point): &(&PointId, &([bool; 2], Value))| {
        filter.is_none_or(|filter| holds(filter, **id, point))
    };
    let points = model.iter().filter(passes);
    points.map(|(id, (_, payload))| (*id, payload))
}

/// The values of a payload that an index of this type puts in an order.
fn order_values(payload: &Value, key: &FieldPath, kind: FieldType) -> Vec<OrderValue> {
    let values = oracle::flat(payload, key).into_iter();
    let mut values: Vec<OrderValue> = values
        .filter_map(|value| match (kind, value) {
            (FieldType::Integer, Value::Int(number)) => Some(OrderValue::Int(number)),
            (FieldType::Float, Value::Int(number)) => Some(OrderValue::Float(number as f64)),
            (FieldType::Float, Value::Uint(number)) => Some(OrderValue::Float(number as f64)),
            (FieldType::Float, Value::Float(number)) => OrderValue::float(number),
            (FieldType::Datetime, Value::Text(text)) => {
                query::filter::datetime::parse(&text).map(OrderValue::Int)
            }
            _ => None,
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

/// The whole listing.
pub(crate) fn listing(
    model: &Model,
    order_by: &OrderBy,
    kind: FieldType,
    filter: Option<&Filter>,
) -> Vec<(OrderValue, PointId)> {
    let mut all = Vec::new();
    for (id, payload) in matching(model, filter) {
        let values = order_values(payload, &order_by.path, kind);
        all.extend(values.into_iter().map(|value| (value, id)));
    }
    let descending = order_by.direction == Direction::Descending;
    if let Some(start) = order_by.start_from {
        all.retain(|(value, _)| {
            if descending {
                *value <= start
            } else {
                *value >= start
            }
        });
    }
    all.sort_by(|a, b| {
        let by_value = a.0.cmp(&b.0);
        let by_value = if descending {
            by_value.reverse()
        } else {
            by_value
        };
        by_value.then(a.1.cmp(&b.1))
    });
    all
}

fn entries(points: &[Record]) -> Vec<(OrderValue, PointId)> {
    let entry = |record: &Record| (record.order_value.unwrap(), record.id);
    points.iter().map(entry).collect()
}

/// All pages of a listing, and how many there were.
pub(crate) fn pages(
    world: &World,
    mut request: OrderedRequest,
) -> (Vec<(OrderValue, PointId)>, usize) {
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let page = query::ordered(&world.snapshot(), &request, &world.env()).unwrap();
        assert!(page.points.len() <= request.limit);
        all.extend(entries(&page.points));
        pages += 1;
        match page.next {
            Some(next) => {
                assert_eq!(page.points.len(), request.limit);
                request.order_by = next;
            }
            None => return (all, pages),
        }
    }
}

pub(crate) fn ordered_request(
    order_by: OrderBy,
    limit: usize,
    filter: Option<Filter>,
) -> OrderedRequest {
    OrderedRequest {
        order_by,
        limit,
        filter,
        with_payload: PayloadSelector::All(true),
        with_vector: VectorSelector::All(false),
    }
}

pub(crate) fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![Direction::Ascending, Direction::Descending])
}

fn start() -> impl Strategy<Value = Option<OrderValue>> {
    prop_oneof![
        2 => Just(None),
        2 => (-2i64..4).prop_map(|number| Some(OrderValue::Int(number))),
        2 => (-4i32..8).prop_map(|halves| OrderValue::float(f64::from(halves) / 2.0)),
        1 => prop::sample::select(vec![-1e19, 1e19]).prop_map(OrderValue::float),
    ]
}

/// A UUID of digits, with hyphens or without.
pub(crate) fn uuid_of(text: &str) -> Option<u128> {
    let digits = text.replace('-', "");
    let uuid = u128::from_str_radix(&digits, 16).ok();
    uuid.filter(|_| digits.len() == 32)
}

fn facets(
    model: &Model,
    key: &FieldPath,
    kind: FieldType,
    filter: Option<&Filter>,
) -> Vec<FacetHit> {
    let mut counts: BTreeMap<FacetValue, u64> = BTreeMap::new();
    for (_, payload) in matching(model, filter) {
        let values = oracle::flat(payload, key).into_iter();
        let values: BTreeSet<FacetValue> = values
            .filter_map(|value| match (kind, value) {
                (FieldType::Keyword, Value::Text(text)) => Some(FacetValue::Text(text)),
                (FieldType::Integer, Value::Int(number)) => Some(FacetValue::Int(number)),
                (FieldType::Bool, Value::Bool(value)) => Some(FacetValue::Bool(value)),
                (FieldType::Uuid, Value::Text(text)) => uuid_of(&text).map(FacetValue::Uuid),
                _ => None,
            })
            .collect();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut hits: Vec<FacetHit> = counts
        .into_iter()
        .map(|(value, count)| FacetHit { value, count })
        .collect();
    hits.sort_by(|a, b| b.count.cmp(&a.count).then(a.value.cmp(&b.value)));
    hits
}

/// The groups of a payload; none at all if it has a value that makes none.
fn group_keys(payload: &Value, key: &FieldPath) -> BTreeSet<GroupKey> {
    let keys: Option<BTreeSet<GroupKey>> = oracle::flat(payload, key)
        .into_iter()
        .map(|value| match value {
            Value::Int(number) => Some(GroupKey::Int(number)),
            Value::Uint(number) => Some(GroupKey::Uint(number)),
            Value::Text(text) => Some(GroupKey::Text(text)),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::Array(_) | Value::Object(_) => {
                None
            }
        })
        .collect();
    keys.unwrap_or_default()
}

/// The groups of a ranking of all points.
pub(crate) fn grouped(
    ranking: &[PointId],
    payload_of: impl Fn(PointId) -> Value,
    key: &FieldPath,
    (limit, size): (usize, usize),
) -> Vec<(GroupKey, Vec<PointId>)> {
    let mut groups: Vec<(GroupKey, Vec<PointId>)> = Vec::new();
    for id in ranking {
        for key in group_keys(&payload_of(*id), key) {
            let at = groups.iter().position(|(known, _)| *known == key);
            let at = at.unwrap_or_else(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            if groups[at].1.len() < size {
                groups[at].1.push(*id);
            }
        }
    }
    groups.truncate(limit);
    groups
}

pub(crate) fn groups_of(world: &World, request: &GroupsRequest) -> Vec<(GroupKey, Vec<PointId>)> {
    let groups = query::groups(&world.snapshot(), request, &world.env()).unwrap();
    groups
        .into_iter()
        .map(|group| {
            (
                group.key,
                group.hits.iter().map(|hit| hit.record.id).collect(),
            )
        })
        .collect()
}

pub(crate) fn search_request(
    target: Option<Target>,
    filter: Option<Filter>,
    limit: usize,
) -> QueryRequest {
    QueryRequest {
        target,
        using: String::new(),
        filter,
        params: SearchParams {
            exact: true,
            ..SearchParams::default()
        },
        score_threshold: None,
        limit,
        offset: 0,
        with_payload: PayloadSelector::All(false),
        with_vector: VectorSelector::All(false),
    }
}

const ORDER_KINDS: [FieldType; 3] = [FieldType::Integer, FieldType::Float, FieldType::Datetime];
const FACET_KINDS: [FieldType; 4] = [
    FieldType::Keyword,
    FieldType::Integer,
    FieldType::Bool,
    FieldType::Uuid,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn pages_by_a_field_are_the_oracles_and_lose_nothing(
        key in oracle::path(),
        kind in prop::sample::select(ORDER_KINDS.to_vec()),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..5),
        (direction, start_from) in (direction(), start()),
        limit in 1usize..9,
    ) {
        let world = world(indexed(&[(&key.to_string(), kind)]));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let order_by = OrderBy { path: key.clone(), direction, start_from, after: None };
            let truth = listing(&model, &order_by, kind, filter.as_ref());
            let request = ordered_request(order_by.clone(), limit, filter.clone());
            let (all, count) = pages(&world, request);
            prop_assert_eq!(&all, &truth);
            prop_assert_eq!(count, truth.len().div_ceil(limit).max(1));

            let target = Some(Target::OrderBy(order_by));
            let mut request = search_request(target, filter, limit);
            request.offset = 2;
            let hits = query::search(&world.snapshot(), &request, &world.env()).unwrap();
            let got: Vec<_> = hits
                .iter()
                .map(|hit| (hit.record.order_value.unwrap(), hit.record.id))
                .collect();
            let page: Vec<_> = truth.iter().copied().skip(2).take(limit).collect();
            prop_assert_eq!(got, page);
            prop_assert!(hits.iter().all(|h| h.score == 1.0 && h.record.version.0 == 0));
        }
    }

    #[test]
    fn facets_are_the_oracles(
        key in oracle::path(),
        kind in prop::sample::select(FACET_KINDS.to_vec()),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..5),
        limit in 1usize..6,
    ) {
        let world = world(indexed(&[(&key.to_string(), kind)]));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let mut truth = facets(&model, &key, kind, filter.as_ref());
            truth.truncate(limit);
            let request = FacetRequest { path: key.clone(), limit, filter };
            let hits = query::facet(&world.snapshot(), &request, &world.env()).unwrap();
            prop_assert_eq!(hits, truth);
        }
    }

    #[test]
    fn groups_of_a_listing_are_the_oracles(
        key in oracle::path(),
        kind in prop::option::of(prop::sample::select(FACET_KINDS.to_vec())),
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..4),
        (limit, group_size) in (1usize..5, 1usize..4),
    ) {
        let name = key.to_string();
        let fields: Vec<_> = kind.into_iter().map(|kind| (name.as_str(), kind)).collect();
        let world = world(indexed(&fields));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let found = matching(&model, filter.as_ref());
            let ranking: Vec<PointId> = found.map(|(id, _)| id).collect();
            let truth =
                grouped(&ranking, |id| model[&id].1.clone(), &key, (limit, group_size));
            let request = GroupsRequest {
                query: search_request(None, filter, limit),
                group_by: key.clone(),
                group_size,
            };
            prop_assert_eq!(groups_of(&world, &request), truth);
        }
    }

    #[test]
    fn a_sample_is_of_the_matching_points_and_follows_its_seed(
        steps in prop::collection::vec(step(), 1..10),
        filters in prop::collection::vec(prop::option::of(oracle::filter()), 1..5),
        limit in 1usize..12,
        seed in any::<u64>(),
    ) {
        let world = world(indexed(&[("a", FieldType::Integer)]));
        let mut model = Model::new();
        run(&world, steps, &mut model);
        for filter in filters {
            let matching: BTreeSet<PointId> =
                matching(&model, filter.as_ref()).map(|(id, _)| id).collect();
            let request = search_request(Some(Target::Random { seed }), filter, limit);
            let draw = || {
                let hits = query::search(&world.snapshot(), &request, &world.env()).unwrap();
                hits.into_iter().map(|hit| hit.record.id).collect::<Vec<_>>()
            };
            let drawn = draw();
            prop_assert_eq!(&drawn, &draw());
            let different: BTreeSet<PointId> = drawn.iter().copied().collect();
            prop_assert_eq!(different.len(), limit.min(matching.len()));
            prop_assert_eq!(drawn.len(), different.len());
            prop_assert!(different.is_subset(&matching));
        }
    }
}
