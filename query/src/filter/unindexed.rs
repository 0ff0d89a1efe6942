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
    let indexed: Vec<FieldPath> = parsed.flatten().collect();
    let mut found = Vec::new();
    gather(filter, &indexed, &mut found);
    found.sort();
    found.dedup_by(|a, b| a.path == b.path);
    found
}

fn gather(filter: &Filter, indexed: &[FieldPath], found: &mut Vec<Unindexed>) {
    let alternatives = filter.min_should.iter().flat_map(|min| &min.conditions);
    let conditions = filter
        .must
        .iter()
        .chain(&filter.should)
        .chain(&filter.must_not)
        .chain(alternatives);
    let mut note = |path: &FieldPath, field_type| {
        if !indexed.contains(path) {
            let path = path.to_string();
            found.push(Unindexed { path, field_type });
        }
    };
    let mut inner = Vec::new();
    for condition in conditions {
        if let Condition::Field { path, test } = condition {
            note(path, serving(test));
        } else if let Condition::IsEmpty(path) | Condition::IsNull(path) = condition {
            note(path, "keyword");
        } else if let Condition::Filter(filter) = condition {
            inner.push(filter);
        }
    }
    inner
        .into_iter()
        .for_each(|filter| gather(filter, indexed, found));
}

/// The index that answers a test.
fn serving(test: &FieldTest) -> &'static str {
    let integer = matches!(
        test,
        FieldTest::Match(MatchValue::Integer(_))
            | FieldTest::Any(AnyOf::Integers(_))
            | FieldTest::Except(AnyOf::Integers(_))
    );
    if integer {
        "integer"
    } else if matches!(test, FieldTest::Match(MatchValue::Bool(_))) {
        "bool"
    } else if matches!(test, FieldTest::Range { .. }) {
        "float"
    } else {
        "keyword"
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
        let filter = Filter {
            must: vec![
                condition("indexed", number(3)),
                Condition::Filter(Box::new(inner)),
            ],
            ..Filter::default()
        };
        let mut schema = Schema::default();
        schema.fields.push(FieldIndex {
            path: "indexed".to_owned(),
            field_type: FieldType::Integer,
            settings: Vec::new(),
        });
        let found = unindexed(&filter, &schema);
        let named: Vec<_> = found.iter().map(|f| (&f.path[..], f.field_type)).collect();
        assert_eq!(named, [("bare", "integer"), ("deep.list[]", "keyword")]);
    }
}
