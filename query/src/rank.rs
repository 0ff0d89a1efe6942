//! Rankings: what puts the points of a request in an order, and the best of them.
//!
//! # Invariants
//! - A ranking is total: equal ranks are followed by the smaller id, so the best points of a
//!   snapshot are the same whenever they are asked for, and more of them begin with fewer.
//! - A ranking by a field lists a point once for each of its values; every other one once.

use std::cmp::Ordering;

use engine::Snapshot;
use format_spec::ids::{PointId, SeqNo};
use format_spec::schema::Schema;

use crate::budget::Budget;
use crate::error::QueryError;
use crate::filter::Bound;
use crate::hydrate::Place;
use crate::order::{self, OrderBy, OrderValue, Turned};
use crate::request::{Env, Hit, QueryRequest, Record, Target};
use crate::sample::draw;
use crate::scroll::list;
use crate::search::{BoundTarget, nearest};

/// A target bound to a snapshot.
pub(crate) enum Ranking<'s> {
    /// By distance.
    Near(BoundTarget<'s>),
    /// By a field.
    Value(&'s OrderBy),
    /// By chance.
    Random(u64),
    /// By id.
    Id,
}

/// What comes first is less.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Distance(Distance),
    Value(Turned),
    Random(u64),
    Id,
}

/// A distance in its total order.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Distance(f32);

impl PartialEq for Distance {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Distance {}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A point in its place in a ranking.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Ranked {
    pub(crate) rank: Rank,
    pub(crate) id: PointId,
    pub(crate) place: Place,
    /// 1 where nothing was scored.
    pub(crate) score: f32,
}

impl Ranked {
    fn order_value(&self) -> Option<OrderValue> {
        match self.rank {
            Rank::Value(turned) => Some(turned.value()),
            Rank::Distance(_) | Rank::Random(_) | Rank::Id => None,
        }
    }
}

impl<'s> Ranking<'s> {
    /// The ranking that a request asks for.
    pub(crate) fn bind(
        snapshot: &Snapshot,
        schema: &'s Schema,
        request: &'s QueryRequest,
    ) -> Result<Self, QueryError> {
        let using = &request.using;
        Ok(match &request.target {
            None => Self::Id,
            Some(Target::OrderBy(order_by)) => Self::Value(order_by),
            Some(Target::Random { seed }) => Self::Random(*seed),
            Some(target) => Self::Near(BoundTarget::bind(snapshot, schema, using, target)?),
        })
    }

    /// The first `offset` and `limit` of the points that match, as far as there are so many;
    /// `filter` is that of the request.
    pub(crate) fn best(
        &self,
        snapshot: &Snapshot,
        filter: Option<&Bound<'_>>,
        request: &QueryRequest,
        env: &Env<'_>,
    ) -> Result<Vec<Ranked>, QueryError> {
        let wanted = request.offset.saturating_add(request.limit);
        let unscored = |rank, id, place| Ranked {
            rank,
            id,
            place,
            score: 1.0,
        };
        Ok(match self {
            Self::Near(target) => {
                let found = nearest(snapshot, target, filter, request, env)?;
                let ranked = |(source, near): (usize, crate::exec::Near)| Ranked {
                    rank: Rank::Distance(Distance(near.distance)),
                    id: near.id,
                    place: Place {
                        source,
                        row: near.row,
                    },
                    score: quant::score(target.schema.metric, near.distance),
                };
                found.into_iter().map(ranked).collect()
            }
            Self::Value(order_by) => {
                let listed = order::list(snapshot, order_by, filter, wanted, env)?;
                let ranked = |at: order::Listed| unscored(Rank::Value(at.rank), at.id, at.place);
                listed.into_iter().map(ranked).collect()
            }
            Self::Random(seed) => {
                let drawn = draw(snapshot, filter, *seed, wanted, env)?;
                let ranked = |(rank, id, place)| unscored(Rank::Random(rank), id, place);
                drawn.into_iter().map(ranked).collect()
            }
            Self::Id => {
                let listed = list(snapshot, filter, None, wanted, &Budget::new(env))?;
                let ranked = |(id, place)| unscored(Rank::Id, id, place);
                listed.into_iter().map(ranked).collect()
            }
        })
    }

    /// How many of the best have a better score than the threshold.
    pub(crate) fn passing(&self, best: &[Ranked], threshold: Option<f32>) -> usize {
        match self {
            Self::Near(target) => {
                best.partition_point(|ranked| target.is_better(ranked.score, threshold))
            }
            Self::Value(_) | Self::Random(_) | Self::Id => best.len(),
        }
    }

    /// A result.
    pub(crate) fn hit(&self, mut record: Record, ranked: &Ranked) -> Hit {
        if !matches!(self, Self::Near(_)) {
            // Nothing was scored: the score says so, and so does the version, as in Qdrant.
            record.version = SeqNo(0);
            record.order_value = ranked.order_value();
        }
        Hit {
            record,
            score: ranked.score,
        }
    }
}
