//! Fields that a filter asks about and that have no index of a type that answers: what makes a
//! filter slow.

use format_spec::schema::{FieldType, Schema};
use index::FieldPath;

use super::ast::{AnyOf, Condition, FieldTest, Filter, MatchValue};

/// A field without an index that serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unindexed {
    /// Its path as the filter spells it.
    pub path: String,
    /// The types of index that answer the condition, the one to make first.
    pub serving: &'static [FieldType],
}

/// The fields of `filter` that `schema` has no index of, each once. Allocates only for those.
#[must_use]
pub fn unindexed(filter: &Filter, schema: &Schema) -> Vec<Unindexed> {
    let parsed = schema.fields.iter().filter_map(|field| {
        let path = FieldPath::parse(&field.path).ok()?;
        Some((path, field.field_type))
    });
    let mut gathered = Gathered {
        indexed: parsed.collect(),
        found: Vec::new(),
    };
    gathered.filter(filter, None);
    let mut found = gathered.found;
    found.sort();
    found.dedup_by(|a, b| a.path == b.path);
    found
}

struct Gathered {
    indexed: Vec<(FieldPath, FieldType)>,
    found: Vec<Unindexed>,
}

impl Gathered {
    /// The fields of a filter on the objects of an array, or on points.
    fn filter(&mut self, filter: &Filter, array: Option<&str>) {
        let alternatives = filter.min_should.iter().flat_map(|min| &min.conditions);
        let conditions = filter
            .must
            .iter()
            .chain(&filter.should)
            .chain(&filter.must_not)
            .chain(alternatives);
        for condition in conditions {
            match condition {
                Condition::Field { path, test } => self.field(path, serving(test), array),
                Condition::IsEmpty(path) | Condition::IsNull(path) => {
                    self.field(path, ANY, array);
                }
                Condition::Nested { path, filter } => {
                    let path = path.without_every();
                    let array = array
                        .map_or_else(|| format!("{path}[]."), |array| format!("{array}{path}[]."));
                    self.filter(filter, Some(&array));
                }
                Condition::Filter(inner) => self.filter(inner, array),
                Condition::HasId(_) | Condition::HasVector(_) | Condition::Slice { .. } => {}
            }
        }
    }

    fn field(&mut self, path: &FieldPath, serving: &'static [FieldType], array: Option<&str>) {
        let whole = array.map(|array| format!("{array}{path}"));
        let parsed = whole.as_ref().map(|whole| FieldPath::parse(whole));
        let serves = |path: &FieldPath| {
            let mut indexes = self.indexed.iter();
            indexes.any(|(indexed, field_type)| indexed == path && serving.contains(field_type))
        };
        let known = match &parsed {
            None => serves(path),
            Some(Ok(path)) => serves(path),
            Some(Err(_)) => false,
        };
        if !known {
            let path = whole.unwrap_or_else(|| path.to_string());
            self.found.push(Unindexed { path, serving });
        }
    }
}

/// Every column knows which rows are empty or null, and that a row without a value has none.
const ANY: &[FieldType] = &[
    FieldType::Keyword,
    FieldType::Integer,
    FieldType::Float,
    FieldType::Bool,
    FieldType::Datetime,
    FieldType::Uuid,
    FieldType::Geo,
    FieldType::Text,
];

/// The indexes that answer a test, the one to make first.
fn serving(test: &FieldTest) -> &'static [FieldType] {
    match test {
        FieldTest::Match(MatchValue::Integer(_))
        | FieldTest::Any(AnyOf::Integers(_))
        | FieldTest::Except(AnyOf::Integers(_)) => &[FieldType::Integer],
        FieldTest::Match(MatchValue::Bool(_)) => &[FieldType::Bool],
        FieldTest::Range { .. } => &[FieldType::Float, FieldType::Integer],
        FieldTest::DatetimeRange { .. } => &[FieldType::Datetime, FieldType::Keyword],
        FieldTest::Text(_) | FieldTest::TextAny(_) | FieldTest::Phrase(_) => {
            &[FieldType::Text, FieldType::Keyword]
        }
        FieldTest::GeoRadius { .. } | FieldTest::GeoBox { .. } | FieldTest::GeoPolygon { .. } => {
            &[FieldType::Geo]
        }
        FieldTest::Match(MatchValue::Keyword(_))
        | FieldTest::Any(AnyOf::Keywords(_))
        | FieldTest::Except(AnyOf::Keywords(_)) => &[FieldType::Keyword, FieldType::Uuid],
        FieldTest::Prefix(_) | FieldTest::Substring(_) => &[FieldType::Keyword],
        FieldTest::ValuesCount { .. } | FieldTest::IsEmpty(_) | FieldTest::IsNull(_) => ANY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::schema::FieldIndex;

    #[test]
    fn each_field_without_an_index_is_named_once_at_any_depth() {
        let condition = |path: &str, test| Condition::Field {
            path: FieldPath::parse(path).unwrap(),
            test,
        };
        let number = |n| FieldTest::Match(MatchValue::Integer(n));
        let inner = Filter {
            should: vec![
                condition("bare", number(1)),
                condition("bare", number(2)),
                condition("deep.list[]", FieldTest::IsEmpty(true)),
            ],
            ..Filter::default()
        };
        let of_object = Filter {
            must: vec![
                condition("known", number(4)),
                condition("text", FieldTest::Text("a".to_owned())),
            ],
            ..Filter::default()
        };
        let nested = Condition::Nested {
            path: FieldPath::parse("list").unwrap(),
            filter: Box::new(of_object),
        };
        let filter = Filter {
            must: vec![
                condition("indexed", number(3)),
                // An index of integers has nothing to say of tokens.
                condition("indexed", FieldTest::Text("a".to_owned())),
                Condition::Filter(Box::new(inner)),
                nested,
            ],
            ..Filter::default()
        };
        let mut schema = Schema::default();
        for path in ["indexed", "list[].known"] {
            schema.fields.push(FieldIndex {
                path: path.to_owned(),
                field_type: FieldType::Integer,
                settings: Vec::new(),
            });
        }
        let found = unindexed(&filter, &schema);
        let named: Vec<_> = found.iter().map(|f| (&f.path[..], f.serving[0])).collect();
        let wanted = [
            ("bare", FieldType::Integer),
            ("deep.list[]", FieldType::Keyword),
            ("indexed", FieldType::Text),
            ("list[].text", FieldType::Text),
        ];
        assert_eq!(named, wanted);
    }
}
