//! Fields that a filter asks about and that have no index: what makes a filter slow.

use format_spec::schema::Schema;
use index::FieldPath;

use super::ast::{AnyOf, Condition, FieldTest, Filter, MatchValue};

/// A field without an index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unindexed {
    /// Its path as the filter spells it.
    pub path: String,
    /// The type of index that would serve the condition, as the API names it.
    pub field_type: &'static str,
}

/// The fields of `filter` that `schema` has no index of, each once. Allocates only for those.
#[must_use]
pub fn unindexed(filter: &Filter, schema: &Schema) -> Vec<Unindexed> {
    let parsed = schema
        .fields
        .iter()
        .map(|field| FieldPath::parse(&field.path));
    let mut gathered = Gathered {
        indexed: parsed.flatten().collect(),
        found: Vec::new(),
    };
    gathered.filter(filter, None);
    let mut found = gathered.found;
    found.sort();
    found.dedup_by(|a, b| a.path == b.path);
    found
}

struct Gathered {
    indexed: Vec<FieldPath>,
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
                    self.field(path, "keyword", array);
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

    fn field(&mut self, path: &FieldPath, field_type: &'static str, array: Option<&str>) {
        let whole = array.map(|array| format!("{array}{path}"));
        let parsed = whole.as_ref().map(|whole| FieldPath::parse(whole));
        let known = match &parsed {
            None => self.indexed.contains(path),
            Some(Ok(path)) => self.indexed.contains(path),
            Some(Err(_)) => false,
        };
        if !known {
            let path = whole.unwrap_or_else(|| path.to_string());
            self.found.push(Unindexed { path, field_type });
        }
    }
}

/// The index that answers a test.
fn serving(test: &FieldTest) -> &'static str {
    match test {
        FieldTest::Match(MatchValue::Integer(_))
        | FieldTest::Any(AnyOf::Integers(_))
        | FieldTest::Except(AnyOf::Integers(_)) => "integer",
        FieldTest::Match(MatchValue::Bool(_)) => "bool",
        FieldTest::Range { .. } => "float",
        FieldTest::DatetimeRange { .. } => "datetime",
        FieldTest::Text(_) | FieldTest::TextAny(_) | FieldTest::Phrase(_) => "text",
        FieldTest::GeoRadius { .. } | FieldTest::GeoBox { .. } | FieldTest::GeoPolygon { .. } => {
            "geo"
        }
        FieldTest::Match(MatchValue::Keyword(_))
        | FieldTest::Any(AnyOf::Keywords(_))
        | FieldTest::Except(AnyOf::Keywords(_))
        | FieldTest::Prefix(_)
        | FieldTest::Substring(_)
        | FieldTest::ValuesCount { .. }
        | FieldTest::IsEmpty(_)
        | FieldTest::IsNull(_) => "keyword",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_spec::schema::{FieldIndex, FieldType};

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
        let named: Vec<_> = found.iter().map(|f| (&f.path[..], f.field_type)).collect();
        let wanted = [
            ("bare", "integer"),
            ("deep.list[]", "keyword"),
            ("list[].text", "text"),
        ];
        assert_eq!(named, wanted);
    }
}
