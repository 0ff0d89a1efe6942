//! What is written is read again, and what does not fit together is refused.

use proptest::prelude::*;

use super::*;
use crate::container::testing::{layout, writer};

const KIND: PartKind = PartKind::Statistics;

fn kinds() -> impl Strategy<Value = Kinds> {
    (0..1_u16 << 11).prop_map(|bits| Kinds::from_bits(bits).unwrap())
}

/// A record, and the filter it has.
fn record() -> impl Strategy<Value = (ZoneRecord, Vec<u8>)> {
    let numbers = (-1e9..1e9_f64, 0.0..1e9_f64);
    let values = prop::collection::btree_set(any::<i64>(), 0..40);
    (kinds(), 0..9_u16, 0..9_u16, values, numbers).prop_map(
        |(kinds, value, null, set, (low, by))| {
            let hashes: Vec<u64> = set.into_iter().map(hash_integer).collect();
            let mut filter = Vec::new();
            let record = ZoneRecord {
                kinds,
                rows_with_value: value,
                rows_with_null: null,
                distinct: filter_of(&hashes, &mut filter),
                numbers: kinds.has_number().then_some((low, low + by)),
            };
            (record, filter)
        },
    )
}

fn field() -> impl Strategy<Value = FieldRecords> {
    let zones = prop::collection::btree_map(0..6_u32, record(), 0..6);
    ("[a-z]{1,3}", any::<u64>(), any::<u64>(), zones).prop_map(|(path, values, bytes, zones)| {
        let filters = zones.values().flat_map(|(_, filter)| filter.clone());
        FieldRecords {
            path,
            values,
            text_bytes: bytes,
            filters: filters.collect(),
            zones: zones
                .into_iter()
                .map(|(zone, (record, _))| (zone, record))
                .collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn statistics_round_trip(
        mut fields in prop::collection::vec(field(), 0..5),
        lens in prop::collection::vec(9..60_u32, 6),
        complete: bool,
    ) {
        fields.sort_by(|a, b| a.path.cmp(&b.path));
        fields.dedup_by(|a, b| a.path == b.path);
        let ends: Vec<u32> = lens
            .iter()
            .scan(0, |end, len| {
                *end += len;
                Some(*end)
            })
            .collect();
        let builder = StatisticsBuilder {
            zone_ends: &ends,
            exact_for: SeqNo(77),
            complete,
            fields: &fields,
        };
        let bytes = builder.finish(writer(KIND)).unwrap().0;
        let opened = StatisticsLayout::open(&layout(KIND, &bytes), &bytes).unwrap();
        let view = opened.view(&bytes);
        prop_assert_eq!((view.rows(), view.zones()), (*ends.last().unwrap(), 6));
        prop_assert_eq!((view.exact_for(), view.is_complete()), (SeqNo(77), complete));
        prop_assert_eq!(view.fields().count(), fields.len());
        for field in &fields {
            let found = view.field(&field.path).unwrap();
            let mut kept = field.clone();
            kept.zones.retain(|(_, record)| *record != ZoneRecord::default());
            prop_assert_eq!(found.to_records(), kept);
            for (zone, n) in found.zones().zip(0..) {
                prop_assert_eq!(&zone.rows, &view.zone_rows(n));
            }
        }
        prop_assert!(view.field("none").is_none());
    }
}

/// Figures that another place of the file contradicts, with checksums that are right.
#[test]
fn contradictions_are_refused() {
    let record = ZoneRecord {
        kinds: Kinds::INT,
        rows_with_value: 3,
        numbers: Some((1.0, 2.0)),
        ..ZoneRecord::default()
    };
    let open = |record: ZoneRecord, ends: &[u32]| {
        let field = FieldRecords {
            path: "a".to_owned(),
            zones: vec![(0, record)],
            ..FieldRecords::default()
        };
        let builder = StatisticsBuilder {
            zone_ends: ends,
            exact_for: SeqNo(1),
            complete: true,
            fields: &[field],
        };
        let bytes = builder.finish(writer(KIND)).unwrap().0;
        StatisticsLayout::open(&layout(KIND, &bytes), &bytes).map(drop)
    };
    assert_eq!(open(record, &[3]), Ok(()));
    let too_many = open(record, &[2]).unwrap_err();
    assert_eq!(too_many.field, "rows_with_value");
    let reversed = ZoneRecord {
        numbers: Some((2.0, 1.0)),
        ..record
    };
    assert_eq!(open(reversed, &[3]).unwrap_err().field, "min");
    let no_number = ZoneRecord {
        kinds: Kinds::TEXT,
        ..record
    };
    assert_eq!(open(no_number, &[3]).unwrap_err().field, "min");
}
