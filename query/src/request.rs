//! What a read asks for and what it gives back.
//!
//! Plain values: the server builds requests from JSON or protobuf, and renders answers, without
//! this crate knowing either.

use std::fmt;
use std::time::Duration;

use engine::Clock;
use format_spec::ids::{PointId, SeqNo};
use format_spec::value::Value;

use crate::filter::{FieldPath, Filter};
use crate::later::Later;
use crate::order::{OrderBy, OrderValue};

/// What ranks the points: what to be near to, or another order.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// This vector.
    Vector(Vec<f32>),
    /// The vector of this point, which is not among the results itself.
    Point(PointId),
    /// To nothing: points come in the order of a field, with score 1.
    OrderBy(OrderBy),
    /// To nothing: points are drawn at random, with score 1; the same for the same seed.
    Random {
        /// What the draw depends on.
        seed: u64,
    },
}

/// How a search uses codes.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct CodeUse {
    /// Not at all: vectors alone are compared.
    pub ignore: bool,
    /// Vectors near enough by their codes are compared exactly. Otherwise the estimates are the
    /// distances, where there are codes.
    pub rescore: bool,
    /// At least so many times the results wanted are compared exactly: 1 or more.
    pub oversampling: f64,
}

impl Default for CodeUse {
    fn default() -> Self {
        Self {
            ignore: false,
            rescore: true,
            oversampling: 1.0,
        }
    }
}

/// How hard to look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchParams {
    /// Width of the beam in a graph. Without it the search chooses, wide enough for the recall
    /// floor.
    pub hnsw_ef: Option<usize>,
    /// Score every matching point.
    pub exact: bool,
    /// Leave out large segments that have no graph yet.
    pub indexed_only: bool,
    /// The recall that is wanted, above 0 and up to 1; segments know what effort that takes.
    /// Without it searches hold the recall floor.
    pub recall: Option<f32>,
    /// How codes are used.
    pub codes: CodeUse,
}

impl SearchParams {
    /// Whether codes may be looked at.
    pub(crate) fn uses_codes(&self) -> bool {
        !self.exact && !self.codes.ignore
    }
}

/// Which parts of a payload to return.
#[derive(Clone, Debug, PartialEq)]
pub enum PayloadSelector {
    /// All of it, or nothing.
    All(bool),
    /// What lies at these paths, inside the structure around it.
    Include(Vec<FieldPath>),
    /// Everything but what lies at these paths.
    Exclude(Vec<FieldPath>),
}

/// Which vectors to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VectorSelector {
    /// All, or none.
    All(bool),
    /// The named ones that the point has.
    Names(Vec<String>),
}

/// A search by vector, or a listing by id when there is no target.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRequest {
    /// What to be near to; without it points come in id order with score 1.
    pub target: Option<Target>,
    /// The vector to search; the default vector has the empty name.
    pub using: String,
    /// Which points count.
    pub filter: Option<Filter>,
    /// How hard to look.
    pub params: SearchParams,
    /// Only results with a better score than this.
    pub score_threshold: Option<f32>,
    /// Results wanted.
    pub limit: usize,
    /// Results to leave out at the front.
    pub offset: usize,
    /// What to return of the payload.
    pub with_payload: PayloadSelector,
    /// What to return of the vectors.
    pub with_vector: VectorSelector,
}

/// A listing in id order.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrollRequest {
    /// The first id to return, if it exists and matches.
    pub offset: Option<PointId>,
    /// Points wanted.
    pub limit: usize,
    /// Which points count.
    pub filter: Option<Filter>,
    /// What to return of the payload.
    pub with_payload: PayloadSelector,
    /// What to return of the vectors.
    pub with_vector: VectorSelector,
}

/// One page of a scroll.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The points, in id order.
    pub points: Vec<Record>,
    /// The offset of the next page, if there is one.
    pub next: Option<PointId>,
}

/// A point as it is returned.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: PointId,
    /// The operation that wrote it last.
    pub version: SeqNo,
    /// The selected part of the payload; `None` when none was asked for.
    pub payload: Option<Value>,
    /// The selected vectors that the point has; `None` when none were asked for.
    pub vectors: Option<Vec<(String, Vec<f32>)>>,
    /// The value it is listed for, when points are ordered by a field.
    pub order_value: Option<OrderValue>,
}

/// A result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The point.
    pub record: Record,
    /// Its score: larger is better for dot and cosine, smaller for Euclid and Manhattan.
    pub score: f32,
}

/// What a request runs with.
#[derive(Copy, Clone)]
pub struct Env<'a> {
    /// Where the sources of one request run in parallel, when that pays.
    pub pool: &'a rayon::ThreadPool,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// When to give up, on the monotonic clock.
    pub deadline: Option<Duration>,
    /// Where to leave work that only later requests gain by; without it that is done at once.
    pub later: Option<&'a Later>,
}

impl fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("clock", &self.clock)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
