//! The rounds of searches that find the groups and fill them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use engine::Snapshot;

use super::GroupsRequest;
use super::keys::{GroupKey, GroupKeys};
use crate::error::QueryError;
use crate::filter::{AnyOf, Condition, FieldTest, Filter, bind, require_value};
use crate::rank::{Ranked, Ranking};
use crate::request::{Env, QueryRequest};

/// How many more points each round asks for.
const GROWTH: usize = 2;

/// A group and its points, best first.
pub(super) type Found = (GroupKey, Vec<Ranked>);

pub(super) struct Rounds<'a> {
    snapshot: &'a Snapshot,
    request: &'a GroupsRequest,
    ranking: &'a Ranking<'a>,
    env: &'a Env<'a>,
    keys: GroupKeys<'a>,
}

/// The groups of one round.
struct Round {
    groups: BTreeMap<GroupKey, Vec<Ranked>>,
    /// Whether no point that it could find was left out.
    complete: bool,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        request: &'a GroupsRequest,
        ranking: &'a Ranking<'a>,
        env: &'a Env<'a>,
    ) -> Self {
        Self {
            keys: GroupKeys::new(&request.group_by, snapshot.schema()),
            snapshot,
            request,
            ranking,
            env,
        }
    }

    /// The best groups with their best points.
    pub(super) fn run(&self) -> Result<Vec<Found>, QueryError> {
        let (limit, size) = (self.request.query.limit, self.request.group_size);
        let mut wanted = limit.saturating_mul(size);
        let mut known: BTreeMap<GroupKey, Vec<Ranked>> = BTreeMap::new();
        let mut complete = false;
        while known.len() < limit && !complete {
            let round = self.round(without(&self.request.group_by, known.keys()), wanted)?;
            complete = round.complete;
            wanted = wanted.saturating_mul(GROWTH);
            for (key, hits) in round.groups {
                known.entry(key).or_insert(hits);
            }
        }
        let mut best: Vec<Found> = known.into_iter().collect();
        sort(&mut best);
        best.truncate(limit);
        self.fill(&mut best, wanted)?;
        sort(&mut best);
        Ok(best)
    }

    /// Fills the groups that have fewer points than wanted.
    fn fill(&self, best: &mut [Found], mut wanted: usize) -> Result<(), QueryError> {
        let size = self.request.group_size;
        let mut complete = false;
        while !complete {
            let lacking: BTreeSet<GroupKey> = best
                .iter()
                .filter(|(_, hits)| hits.len() < size)
                .map(|(key, _)| key.clone())
                .collect();
            if lacking.is_empty() {
                return Ok(());
            }
            let mut round = self.round(among(&self.request.group_by, &lacking), wanted)?;
            complete = round.complete;
            wanted = wanted.saturating_mul(GROWTH);
            for (key, hits) in best.iter_mut().filter(|(key, _)| lacking.contains(key)) {
                // A search that estimates may miss what an earlier one has found.
                let more = round.groups.remove(key).unwrap_or_default();
                if more.len() > hits.len() {
                    *hits = more;
                }
            }
        }
        Ok(())
    }

    /// Ranks `wanted` points that meet the conditions too, and groups them.
    fn round(&self, conditions: Vec<Condition>, wanted: usize) -> Result<Round, QueryError> {
        let query = &self.request.query;
        let mut filter = query.filter.clone().unwrap_or_default();
        filter.must.extend(conditions);
        let schema = self.snapshot.schema();
        require_value(&mut filter, &self.request.group_by, schema);
        let round = QueryRequest {
            limit: wanted,
            offset: 0,
            filter: Some(filter.clone()),
            ..query.clone()
        };
        let bound = bind(&filter, schema)?;
        let mut best = self
            .ranking
            .best(self.snapshot, Some(&bound), &round, self.env)?;
        let passing = self.ranking.passing(&best, query.score_threshold);
        let complete = best.len() < wanted || passing < best.len();
        best.truncate(passing);
        if matches!(self.ranking, Ranking::Value(_)) {
            // Such a ranking lists a point once for each value: the first is its place.
            let mut seen = HashSet::new();
            best.retain(|ranked| seen.insert(ranked.id));
        }
        let keys = self.keys.of(self.snapshot, &best, self.env)?;
        let mut groups: BTreeMap<GroupKey, Vec<Ranked>> = BTreeMap::new();
        for (ranked, keys) in best.iter().zip(keys) {
            for key in keys {
                let hits = groups.entry(key).or_default();
                if hits.len() < self.request.group_size {
                    hits.push(*ranked);
                }
            }
        }
        Ok(Round { groups, complete })
    }
}

/// Best first, by the best point and then by the value.
fn sort(groups: &mut [Found]) {
    groups.sort_by(|(key, hits), (other_key, others)| {
        let first = |hits: &[Ranked]| hits.first().map(|hit| (hit.rank, hit.id));
        first(hits)
            .cmp(&first(others))
            .then_with(|| key.cmp(other_key))
    });
}

/// The keys by the type that filters compare; `None` when there is one that they cannot.
fn by_type<'k>(keys: impl Iterator<Item = &'k GroupKey>) -> (Vec<String>, Vec<i64>, bool) {
    let (mut texts, mut numbers, mut all) = (Vec::new(), Vec::new(), true);
    for key in keys {
        match key {
            GroupKey::Text(text) => texts.push(text.clone()),
            GroupKey::Int(number) => numbers.push(*number),
            GroupKey::Uint(_) => all = false,
        }
    }
    (texts, numbers, all)
}

fn field(path: &index::FieldPath, test: FieldTest) -> Condition {
    Condition::Field {
        path: path.clone(),
        test,
    }
}

/// Points with a value other than these.
fn without<'k>(
    path: &index::FieldPath,
    known: impl Iterator<Item = &'k GroupKey>,
) -> Vec<Condition> {
    let (texts, numbers, _) = by_type(known);
    let mut conditions = Vec::new();
    if !texts.is_empty() {
        conditions.push(field(path, FieldTest::Except(AnyOf::Keywords(texts))));
    }
    if !numbers.is_empty() {
        conditions.push(field(path, FieldTest::Except(AnyOf::Integers(numbers))));
    }
    conditions
}

/// Points with one of these values.
fn among(path: &index::FieldPath, wanted: &BTreeSet<GroupKey>) -> Vec<Condition> {
    let (texts, numbers, all) = by_type(wanted.iter());
    if !all {
        return Vec::new();
    }
    let any = [AnyOf::Keywords(texts), AnyOf::Integers(numbers)];
    let should = any.map(|list| field(path, FieldTest::Any(list))).to_vec();
    let either = Filter {
        should,
        ..Filter::default()
    };
    vec![Condition::Filter(Box::new(either))]
}
