//! Texts of a keyword column that contain a text: a walk over the bytes of the dictionary.
//!
//! The texts lie one after another, so that one search runs through all of them at the speed of
//! memory instead of beginning anew with each.

use format_spec::Postings;
use format_spec::columns::Keywords;
use memchr::memmem::Finder;

use crate::budget::Budget;
use crate::error::QueryError;

/// Bytes searched between two looks at the clock: some tens of microseconds.
const WINDOW: usize = 1 << 20;
/// Texts found between two looks at the clock.
const FOUND: usize = 4_096;

/// The rows of each text that contains `part`.
pub(super) fn containing<'a>(
    words: Keywords<'a>,
    part: &str,
    budget: &Budget<'_>,
) -> Result<Vec<Postings<'a>>, QueryError> {
    if part.is_empty() {
        budget.check()?;
        return Ok(words.iter().map(|(_, rows)| rows).collect());
    }
    let found = numbers(words, part, WINDOW, budget)?;
    Ok(found
        .into_iter()
        .map(|number| words.postings(number))
        .collect())
}

/// The numbers of the texts that contain `part`, which is not empty.
fn numbers(
    words: Keywords<'_>,
    part: &str,
    window: usize,
    budget: &Budget<'_>,
) -> Result<Vec<usize>, QueryError> {
    let (finder, texts) = (Finder::new(part), words.joined());
    let (mut found, mut at) = (Vec::new(), 0);
    while at < texts.len() {
        if found.len() % FOUND == 0 {
            budget.check()?;
        }
        let end = texts.len().min(at + window + part.len() - 1);
        let Some(hit) = finder.find(&texts[at..end]) else {
            budget.check()?;
            at += window;
            continue;
        };
        let number = words.number_at(at + hit);
        let text = words.place(number);
        // What begins in one text and ends in the next is in neither.
        if at + hit + part.len() <= text.end {
            found.push(number);
        }
        at = text.end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::request::Env;
    use engine::Clock;
    use format_spec::{
        CollectionId, ColumnLayout, ColumnValues, FieldType, PartHeader, PartId, PartIdentity,
        PartKind, PartLayout, PartWriter, SeqNo, ShardId, Value, ValueRef,
    };
    use index::{ColumnDraft, FieldPath};
    use proptest::prelude::*;

    /// Gives the keyword column of these texts, a row each, to `check`.
    fn with_words(texts: &[String], check: impl FnOnce(Keywords<'_>)) {
        let path = FieldPath::parse("a").unwrap();
        let mut draft = ColumnDraft::new(path, &FieldType::Keyword.into());
        for text in texts {
            let payload = Value::Object(vec![("a".to_owned(), Value::Text(text.clone()))]);
            draft
                .push(ValueRef::new(&payload.to_bytes()).unwrap())
                .unwrap();
        }
        let (kind, part_id) = (PartKind::Column, PartId(1));
        let (collection, shard) = (CollectionId(2), ShardId(3));
        let header = PartHeader::new(kind, part_id, collection, shard).derived_from([0; 32]);
        let bytes = draft
            .finish(PartWriter::new(Vec::new(), header), SeqNo(1))
            .unwrap()
            .0;
        let len = bytes.len() as u64;
        let identity = PartIdentity {
            kind,
            part_id,
            collection,
            shard,
            len,
        };
        let part = PartLayout::open(&bytes, &identity).unwrap();
        let layout = ColumnLayout::open(&part, &bytes).unwrap();
        let ColumnValues::Keyword(words) = layout.view(&bytes).values() else {
            panic!("a keyword column")
        };
        check(words);
    }

    /// Moves by a second with each look.
    #[derive(Debug, Default)]
    struct Ticking(AtomicU64);

    impl Clock for Ticking {
        fn now_ms(&self) -> u64 {
            0
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    #[test]
    fn a_long_walk_looks_at_the_clock() {
        let texts: Vec<String> = (0..3_000).map(|n| format!("text number {n}")).collect();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        with_words(&texts, |words| {
            let walk = |seconds| {
                let clock = Ticking::default();
                let env = Env {
                    pool: &pool,
                    clock: &clock,
                    deadline: Some(Duration::from_secs(seconds)),
                    later: None,
                };
                numbers(words, "absent", 4_096, &Budget::new(&env))
            };
            assert!(matches!(walk(4), Err(QueryError::Deadline)));
            assert_eq!(walk(1_000).unwrap(), [0_usize; 0]);
        });
    }

    proptest! {
        #[test]
        fn a_walk_finds_what_each_text_asked_alone_tells(
            texts in prop::collection::vec("[abä]{0,6}", 1..40),
            part in "[abä]{1,4}",
            window in 1..40_usize,
        ) {
            with_words(&texts, |words| {
                let found = numbers(words, &part, window, &Budget::UNLIMITED).unwrap();
                let asked = words.iter().enumerate();
                let passing = asked.filter(|(_, (text, _))| text.contains(&part));
                let expected: Vec<usize> = passing.map(|(number, _)| number).collect();
                assert_eq!(found, expected);
            });
        }
    }
}
