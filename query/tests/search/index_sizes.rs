//! What field indexes take: each less than the payloads that it covers, on records as an
//! application has them.

use engine::UpsertRows;
use format_spec::{FieldIndex, FieldType, Schema, Value};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::world::{World, number};

const ROWS: u64 = 20_000;
const SEED: u64 = 20_261_123;
/// Words of which texts are made.
const WORDS: u32 = 8_000;

/// The fields of a record, and the type of index of each.
const FIELDS: [(&str, FieldType); 9] = [
    ("category", FieldType::Keyword),
    ("sku", FieldType::Keyword),
    ("stock", FieldType::Integer),
    ("price", FieldType::Float),
    ("active", FieldType::Bool),
    ("created", FieldType::Datetime),
    ("uid", FieldType::Uuid),
    ("place", FieldType::Geo),
    ("description", FieldType::Text),
];

/// A word, of which the first are by far the most frequent (the rank is as in Zipf's law).
fn word(rng: &mut SmallRng) -> String {
    let rank = f64::from(WORDS).powf(rng.random::<f64>());
    let letters = b"etaoinshrdlu";
    let mut left = rank as usize;
    let mut word = String::from("w");
    while left > 0 {
        word.push(char::from(letters[left % letters.len()]));
        left /= letters.len();
    }
    word
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// What a shop may keep of a thing it sells.
fn record(rng: &mut SmallRng, nth: u64) -> Vec<(String, Value)> {
    let words: Vec<String> = (0..rng.random_range(15..45)).map(|_| word(rng)).collect();
    let (month, day) = (rng.random_range(1..=12), rng.random_range(1..=28));
    let uid = format!("{:032x}", rng.random::<u128>());
    let place = [
        (
            "lon".to_owned(),
            Value::Float(rng.random_range(-180.0..180.0)),
        ),
        (
            "lat".to_owned(),
            Value::Float(rng.random_range(-90.0..90.0)),
        ),
    ];
    let values = [
        text(format!("category {}", rng.random_range(0..60))),
        text(format!("{:x}-{nth}", nth * 7_919 % 65_536)),
        Value::Int(rng.random_range(0..5_000)),
        Value::Float(f64::from(rng.random_range(100..100_000)) / 100.0),
        Value::Bool(rng.random_range(0..10) > 0),
        text(format!("2025-{month:02}-{day:02}T12:00:00Z")),
        text(format!(
            "{}-{}-{}-{}-{}",
            &uid[..8],
            &uid[8..12],
            &uid[12..16],
            &uid[16..20],
            &uid[20..]
        )),
        Value::Object(place.to_vec()),
        text(words.join(" ")),
    ];
    let keys = FIELDS.iter().map(|(key, _)| (*key).to_owned());
    keys.zip(values).collect()
}

#[test]
fn each_index_is_smaller_than_the_payloads_that_it_covers() {
    let mut schema = Schema::default();
    for (path, field_type) in FIELDS {
        schema.fields.push(FieldIndex {
            path: path.to_owned(),
            field_type,
            settings: Vec::new(),
        });
    }
    let world = World::new(schema);
    let mut rng = SmallRng::seed_from_u64(SEED);
    let mut rows = UpsertRows::new(&world.collection.schema());
    let (mut raw, mut of_values) = (0, [0; FIELDS.len()]);
    for id in 0..ROWS {
        let record = record(&mut rng, id);
        for (bytes, (_, value)) in of_values.iter_mut().zip(&record) {
            *bytes += value.to_bytes().len() as u64;
        }
        let payload = Value::Object(record).to_bytes();
        raw += payload.len() as u64;
        rows.begin(number(id));
        rows.payload(&payload);
    }
    world.upsert(rows);
    world.flush();
    world.settle();
    let mut sum = 0;
    for ((path, field_type), of_values) in FIELDS.into_iter().zip(of_values) {
        let report = world.collection.field_index(path);
        assert_eq!(
            (report.points, report.segments_covered),
            (ROWS, report.segments),
            "{path}"
        );
        println!(
            "{field_type:?} {path}: {} bytes, {:.2} of the values, {:.3} of the payloads",
            report.bytes,
            report.bytes as f64 / of_values as f64,
            report.bytes as f64 / raw as f64
        );
        assert!(
            report.bytes > 0 && report.bytes < raw,
            "{path}: {} of {raw}",
            report.bytes
        );
        sum += report.bytes;
    }
    println!("seed {SEED}: {raw} bytes of payloads, {sum} of all indexes");
    assert!(sum < raw, "{sum} of {raw}");
}
