//! How one source is searched: the choice between its access paths, and what it rests on.
//!
//! | path | what is done | cheapest where |
//! |---|---|---|
//! | [`Exact`](AccessPath::Exact) | every matching row is scored | few match, or no codes |
//! | [`Gather`](AccessPath::Gather) | codes of the matching rows, one by one | some match |
//! | [`Codes`](AccessPath::Codes) | blocks of codes with matching rows | many match |
//! | [`Graph`](AccessPath::Graph) | graph; other rows lead the way | most of a large source match |
//! | [`GraphTwoHops`](AccessPath::GraphTwoHops) | graph; others are looked through | few per cent |
//! | [`GraphThenPayloads`](AccessPath::GraphThenPayloads) | graph, payloads after | they decide |
//! | [`ScanThenPayloads`](AccessPath::ScanThenPayloads) | a scan, then payloads | the same |
//!
//! A plan is a value: [`choose`] computes it from [`Facts`] alone with the one cost function of
//! `cost`, so that tests can ask for any case. Where payloads decide, the number of matching rows
//! is known between bounds; if the cheapest path is not the same at both ends, the one with the
//! smaller worst ratio to the best is taken. Once payloads are tested, the plan is made again from
//! what is then known exactly.
//!
//! # Invariants
//! - Whatever is chosen returns `wanted` rows if that many match: all graph paths end in a scan
//!   when they come back with less. A wrong estimate costs time, never results.
//! - A graph search is given as many visits as the scan would cost, so no plan costs more than
//!   about twice the best one.
//! - A graph search that does not meet the matching rows, because they are far from the query,
//!   gives way to the scan ([`Plan::least`]).

use std::fmt;

use index::{LeastShare, NodeLayout};

use crate::cost::{
    self, CodeShape, DENSE_SHARE, GRAPH_SHARE_LEAST, Walk, Width, groups_touched, settle_ns,
};

/// A search followed by payloads looks for this much more than should be needed.
const HEADROOM: f64 = 1.5;
/// Visits below which giving up is not worth its trouble.
const VISITS_LEAST: u64 = 256;
/// A walk whose rows are met at so small a part of their share gives up.
const MET_LEAST: f64 = 0.25;

/// The share of some rows that matches, between the bounds of a sample.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) low: f64,
    pub(crate) expected: f64,
    pub(crate) high: f64,
}

impl Share {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        low: 0.0,
        expected: 0.5,
        high: 1.0,
    };
    /// Two standard deviations: 95 of 100 times the share is within.
    const DEVIATIONS: f64 = 2.0;

    /// Of a sample: Agresti and Coull, two successes and two failures are added to it (The
    /// American Statistician 52(2), 1998).
    pub(crate) fn of_sample(tested: u32, matched: u32) -> Self {
        let tested = f64::from(tested) + 4.0;
        let expected = (f64::from(matched) + 2.0) / tested;
        let around = Self::DEVIATIONS * (expected * (1.0 - expected) / tested).sqrt();
        Self {
            low: (expected - around).max(0.0),
            expected,
            high: (expected + around).min(1.0),
        }
    }
}

/// What is known of a source when its plan is chosen.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Live rows that have the vector.
    pub(crate) rows: u32,
    /// Rows among them that match for sure; all of them without a filter.
    pub(crate) sure: u32,
    /// Rows whose payload decides.
    pub(crate) open: u32,
    /// Blocks of codes with a row of either.
    pub(crate) blocks: u32,
    /// The share of the open rows that matches.
    pub(crate) open_share: Share,
    /// Bytes of one vector.
    pub(crate) row_bytes: usize,
    /// Whether vectors are read from files and not kept in memory.
    pub(crate) cold: bool,
    /// Results wanted.
    pub(crate) wanted: u32,
    /// Whether there is a graph of the vector.
    pub(crate) graph: bool,
    /// The codes of the vector, if there are any.
    pub(crate) codes: Option<CodeShape>,
    /// Bytes of a row of the product codes of the vector, if there are such codes.
    pub(crate) product_len: Option<usize>,
    /// What is in memory of the graph for searches by codes, if they can be.
    pub(crate) coded: Option<NodeLayout>,
    /// Compressed blocks that the payloads of the open rows are in; none where they are at hand.
    pub(crate) payload_blocks: u32,
}

/// What the request and the schema say about the plan.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// Every matching row is to be scored.
    pub(crate) exact: bool,
    /// Width of the beam, if the request names one.
    pub(crate) ef: Option<u32>,
    /// About how wide it is at least otherwise, over nodes with codes.
    pub(crate) likely: u32,
    /// Up to so many bytes of matching vectors are scanned, by codes or one by one, rather than
    /// searched by a graph: `full_scan_threshold`.
    pub(crate) full_scan_bytes: u64,
    /// A path to take whatever it costs, if there is such a path.
    pub(crate) path: Option<AccessPath>,
}

impl Rules {
    const fn width(&self) -> Width {
        Width {
            asked: self.ef,
            likely: self.likely,
        }
    }
}

/// How a source is searched.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccessPath {
    /// Every matching row is scored.
    Exact,
    /// The codes of several bits of the matching rows are read one by one.
    Gather,
    /// The blocks of one-bit codes that hold matching rows are scanned, or product codes.
    Codes,
    /// The graph; rows that do not match lead the way and are no results.
    Graph,
    /// The graph; rows that do not match are looked through for those that do.
    GraphTwoHops,
    /// The graph, for the rows that may match, and then the payloads of those found.
    GraphThenPayloads,
    /// A scan of the rows that may match, and then the payloads of the nearest.
    ScanThenPayloads,
}

impl AccessPath {
    /// Every path, in the order of `Costs`.
    pub const ALL: [Self; 7] = [
        Self::Exact,
        Self::Gather,
        Self::Codes,
        Self::Graph,
        Self::GraphTwoHops,
        Self::GraphThenPayloads,
        Self::ScanThenPayloads,
    ];

    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact_scan",
            Self::Gather => "gather_codes",
            Self::Codes => "block_scan",
            Self::Graph => "graph",
            Self::GraphTwoHops => "graph_two_hops",
            Self::GraphThenPayloads => "graph_then_payloads",
            Self::ScanThenPayloads => "scan_then_payloads",
        }
    }

    /// Whether payloads are tested after the search.
    pub(crate) const fn is_before_payloads(self) -> bool {
        matches!(self, Self::GraphThenPayloads | Self::ScanThenPayloads)
    }
}

/// Expected times in nanoseconds, in the order of [`AccessPath::ALL`]; `None` where a path is not
/// possible.
pub(crate) type Costs = [Option<f64>; AccessPath::ALL.len()];

/// Why a path was taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The request asks for every matching row, or for this path.
    Asked,
    /// It is the cheapest of those that are possible.
    Cheapest,
    /// It is the cheapest, and so few bytes match that no graph was considered.
    FullScanThreshold,
    /// How many rows match is known between bounds; it is the least wrong over them.
    LeastRegret,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked for",
            Self::Cheapest => "cheapest",
            Self::FullScanThreshold => "cheapest scan, below full_scan_threshold",
            Self::LeastRegret => "least regret between the bounds of the estimate",
        })
    }
}

/// A choice, with what it rests on.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// How.
    pub(crate) path: AccessPath,
    /// Why.
    pub(crate) why: Why,
    /// How a search goes on that has given up: the cheapest scan.
    pub(crate) scan: AccessPath,
    /// Lists a graph search may read before it gives way to the scan.
    pub(crate) visits_max: u64,
    /// When a graph search gives way because it does not meet the rows that match.
    pub(crate) least: Option<LeastShare>,
    /// What each path is expected to cost.
    pub(crate) costs: Costs,
}

impl Facts {
    /// Rows that match if such a share of the open ones does.
    fn matching(&self, open_share: f64) -> f64 {
        f64::from(self.sure) + f64::from(self.open) * open_share
    }

    /// Rows expected to match.
    pub(crate) fn expected(&self) -> f64 {
        self.matching(self.open_share.expected)
    }

    /// The fewest and the most rows that are likely to match.
    pub(crate) fn bounds(&self) -> (f64, f64) {
        let Share { low, high, .. } = self.open_share;
        (self.matching(low), self.matching(high))
    }

    fn share_of(&self, matching: f64) -> f64 {
        (matching / f64::from(self.rows.max(1))).clamp(1e-9, 1.0)
    }

    /// The same once payloads have been tested: these rows match, in so many blocks.
    pub(crate) fn settled(self, sure: u32, blocks: u32) -> Self {
        Self {
            sure,
            blocks,
            open: 0,
            ..self
        }
    }

    /// How many rows to look for so that `wanted` of those found match.
    pub(crate) fn wanted_before_payloads(&self) -> u32 {
        self.wanted_for(self.expected())
    }

    fn wanted_for(&self, matching: f64) -> u32 {
        let possible = f64::from(self.sure) + f64::from(self.open);
        let share = (matching / possible.max(1.0)).clamp(1e-9, 1.0);
        let wanted = (f64::from(self.wanted) / share * HEADROOM).ceil() + 4.0;
        to_u32(wanted.min(possible))
    }

    fn settle_ns(&self) -> f64 {
        self.payloads_ns(f64::from(self.open))
    }

    /// Testing the payloads of so many rows, in row order.
    fn payloads_ns(&self, tested: f64) -> f64 {
        settle_ns(tested, f64::from(self.open), self.payload_blocks)
    }

    /// Testing the payloads of those of the nearest rows that are open.
    fn tests_ns(&self, matching: f64) -> f64 {
        let possible = f64::from(self.sure) + f64::from(self.open);
        let wanted = f64::from(self.wanted_for(matching));
        self.payloads_ns(wanted * f64::from(self.open) / possible.max(1.0))
    }

    /// Comparing so many rows with the query.
    fn exact_ns(&self, rows: f64) -> f64 {
        let read = if self.cold {
            cost::cold_ns(rows, self.row_bytes)
        } else {
            0.0
        };
        read + cost::scan_ns(rows, self.row_bytes)
    }

    /// Scanning the rows that may match for so many of the nearest.
    fn scan_before_payloads_ns(&self, wanted: f64) -> f64 {
        let possible = f64::from(self.sure) + f64::from(self.open);
        let exact = self.exact_ns(possible);
        match (self.codes, self.product_len) {
            (Some(shape), _) => {
                shape.blocks_ns((f64::from(self.blocks), possible), wanted, self.row_bytes)
            }
            (None, Some(len)) => cost::product_scan_ns(possible, len),
            (None, None) => exact,
        }
    }

    /// Whether a graph may be searched for so many matching rows.
    fn is_for_graph(&self, matching: f64, rules: &Rules) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            reason = "bytes of one source are far below 2^53"
        )]
        let small = matching * self.row_bytes as f64 <= rules.full_scan_bytes as f64;
        let asked = rules.path.is_some();
        self.graph && (asked || !small && self.share_of(matching) >= GRAPH_SHARE_LEAST)
    }

    /// What a walk for these rows does, if the graph can be walked in this way.
    fn walk(&self, path: AccessPath, matching: f64, rules: &Rules) -> Option<Walk> {
        let (share, wanted) = (self.share_of(matching), f64::from(self.wanted));
        let shape = self.codes.zip(self.coded);
        let (ef, width) = (rules.ef, rules.width());
        match (path, shape) {
            (AccessPath::Graph, Some(by)) => Some(Walk::coded(by, share, wanted, width)),
            (AccessPath::GraphTwoHops, Some(by)) => {
                (share < 1.0).then(|| Walk::coded_two_hops(by, share, wanted, width))
            }
            // One search, which looks through rows where that pays.
            (AccessPath::Graph, None) => (share >= DENSE_SHARE || rules.path == Some(path))
                .then(|| Walk::plain(self.row_bytes, share, wanted, ef)),
            (AccessPath::GraphTwoHops, None) => (share < DENSE_SHARE)
                .then(|| Walk::plain_two_hops(self.row_bytes, share, wanted, ef)),
            (AccessPath::GraphThenPayloads, _) => {
                let possible = f64::from(self.sure) + f64::from(self.open);
                let before = Self {
                    wanted: self.wanted_for(matching),
                    ..*self
                };
                // What may match leads the way; how, the share of it says.
                before
                    .walk(AccessPath::Graph, possible, rules)
                    .or_else(|| before.walk(AccessPath::GraphTwoHops, possible, rules))
            }
            (
                AccessPath::Exact
                | AccessPath::Gather
                | AccessPath::Codes
                | AccessPath::ScanThenPayloads,
                _,
            ) => None,
        }
    }

    /// What a path costs if so many rows match.
    fn cost_ns(&self, path: AccessPath, matching: f64, rules: &Rules) -> Option<f64> {
        let wanted = f64::from(self.wanted);
        let cost = match path {
            AccessPath::Exact => self.exact_ns(matching),
            AccessPath::Gather => {
                let shape = self.codes.filter(|shape| shape.row_len > 0)?;
                shape.gather_ns(matching, wanted, self.row_bytes)
            }
            AccessPath::Codes => match (self.codes, self.product_len) {
                (Some(shape), _) => {
                    let possible = f64::from(self.sure) + f64::from(self.open);
                    let blocks = groups_touched(f64::from(self.blocks), possible, matching);
                    shape.blocks_ns((blocks, matching), wanted, self.row_bytes)
                }
                (None, Some(len)) => cost::product_scan_ns(matching, len),
                (None, None) => return None,
            },
            AccessPath::Graph | AccessPath::GraphTwoHops => {
                if !self.is_for_graph(matching, rules) {
                    return None;
                }
                self.walk(path, matching, rules)?.cost_ns()
            }
            AccessPath::GraphThenPayloads => {
                let possible = f64::from(self.sure) + f64::from(self.open);
                let share = self.share_of(possible);
                if self.open == 0 || !self.graph || share < GRAPH_SHARE_LEAST {
                    return None;
                }
                let walk = self.walk(path, matching, rules)?;
                return Some(walk.cost_ns() + self.tests_ns(matching));
            }
            AccessPath::ScanThenPayloads => {
                if self.open == 0 {
                    return None;
                }
                let wanted = f64::from(self.wanted_for(matching));
                return Some(self.scan_before_payloads_ns(wanted) + self.tests_ns(matching));
            }
        };
        Some(self.settle_ns() + cost)
    }

    fn costs(&self, matching: f64, rules: &Rules) -> Costs {
        AccessPath::ALL.map(|path| self.cost_ns(path, matching, rules))
    }
}

/// Chooses the access path of a source.
pub(crate) fn choose(facts: &Facts, rules: &Rules) -> Plan {
    let expected = facts.expected();
    let costs = facts.costs(expected, rules);
    let scans = &costs[..3];
    let scan = cheapest(scans);
    let (path, why) = choose_path(facts, rules, &costs);
    let scan_ns = costs[scan as usize].unwrap_or(f64::INFINITY);
    let walk = facts.walk(path, expected, rules);
    let mut plan = Plan {
        path,
        why,
        scan,
        visits_max: u64::MAX,
        least: None,
        costs,
    };
    if let Some(walk) = walk.filter(|_| rules.path.is_none()) {
        let before = if path == AccessPath::GraphThenPayloads {
            0.0
        } else {
            facts.settle_ns()
        };
        let instead = (scan_ns - before).max(0.0);
        plan.visits_max = to_u64(walk.lists_in(instead)).max(VISITS_LEAST);
        plan.least = least_share(facts, path, walk.cost_ns() / instead.max(1.0));
    }
    plan
}

/// When a walk is not worth going on with: where the rows are met so rarely that it would take as
/// long as the scan, or, when rows that do not match fill the beam, would miss them.
fn least_share(facts: &Facts, path: AccessPath, of_scan: f64) -> Option<LeastShare> {
    let possible = f64::from(facts.sure) + f64::from(facts.open);
    let global = facts.share_of(possible);
    let pays = global * of_scan.min(1.0);
    let share = if path == AccessPath::Graph && facts.coded.is_some() {
        (global * MET_LEAST).max(pays.min(global * 0.5))
    } else {
        (global * MET_LEAST).min(pays.max(GRAPH_SHARE_LEAST))
    };
    (global < 1.0).then_some(LeastShare { share, global })
}

fn choose_path(facts: &Facts, rules: &Rules, costs: &Costs) -> (AccessPath, Why) {
    let possible = |path: &AccessPath| costs[*path as usize].is_some();
    if let Some(path) = rules.path.filter(possible) {
        return (path, Why::Asked);
    }
    if rules.exact {
        return (AccessPath::Exact, Why::Asked);
    }
    let best = cheapest(costs);
    let small = facts.graph && !facts.is_for_graph(facts.expected(), rules);
    let why = if small {
        Why::FullScanThreshold
    } else {
        Why::Cheapest
    };
    if facts.open == 0 {
        return (best, why);
    }
    let (low, high) = facts.bounds();
    let ends = [facts.costs(low, rules), *costs, facts.costs(high, rules)];
    if ends.iter().all(|costs| cheapest(costs) == best) {
        return (best, why);
    }
    let paths = AccessPath::ALL.into_iter();
    let regret = |path: &AccessPath| {
        let at = |costs: &Costs| {
            let least = costs[cheapest(costs) as usize].unwrap_or(f64::INFINITY);
            costs[*path as usize].map_or(f64::INFINITY, |cost| cost / least)
        };
        ends.iter().map(at).fold(0.0, f64::max)
    };
    let least = paths.min_by(|a, b| regret(a).total_cmp(&regret(b)));
    (least.unwrap_or(best), Why::LeastRegret)
}

/// The path that costs least, the first one of those that cost the same.
fn cheapest(costs: &[Option<f64>]) -> AccessPath {
    let known = AccessPath::ALL.into_iter().zip(costs);
    let known = known.filter_map(|(path, cost)| Some((path, (*cost)?)));
    let least = known.min_by(|(_, a), (_, b)| a.total_cmp(b));
    least.map_or(AccessPath::Exact, |(path, _)| path)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversion saturates, which is what a bound wants"
)]
fn to_u64(value: f64) -> u64 {
    value as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversion saturates, which is what a bound wants"
)]
fn to_u32(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::blocks_touched;

    const MILLION: Facts = Facts {
        rows: 1_000_000,
        sure: 1_000_000,
        blocks: 31_250,
        open: 0,
        open_share: Share::UNKNOWN,
        row_bytes: 768 * 4,
        wanted: 10,
        graph: true,
        codes: None,
        product_len: None,
        coded: None,
        cold: false,
        payload_blocks: 15_625,
    };
    const SHAPE: CodeShape = CodeShape {
        dim: 768,
        row_len: 400,
    };
    const RULES: Rules = Rules {
        exact: false,
        ef: None,
        likely: 0,
        full_scan_bytes: 10_000 * 1024,
        path: None,
    };

    /// So many rows match, and lie at random.
    fn matching(facts: Facts, sure: u32) -> Facts {
        let share = f64::from(sure) / f64::from(facts.rows);
        Facts {
            sure,
            blocks: blocks_touched(facts.rows, share) as u32,
            ..facts
        }
    }

    /// So many rows match of ten millions with codes and a graph with codes in its nodes.
    fn of_ten_millions(sure: u32) -> Facts {
        let facts = Facts {
            rows: 10_000_000,
            codes: Some(SHAPE),
            coded: Some(NodeLayout::Codes),
            ..MILLION
        };
        matching(facts, sure)
    }

    fn path(facts: Facts, rules: Rules) -> AccessPath {
        choose(&facts, &rules).path
    }

    fn share(expected: f64) -> Share {
        Share {
            low: expected,
            expected,
            high: expected,
        }
    }

    #[test]
    fn each_share_of_a_large_source_has_its_path() {
        for (sure, wanted) in [
            (10_000_000, AccessPath::Graph),
            (5_000_000, AccessPath::Graph),
            (600_000, AccessPath::GraphTwoHops),
            (20_000, AccessPath::Gather),
            (50, AccessPath::Exact),
            (0, AccessPath::Exact),
        ] {
            let chosen = path(of_ten_millions(sure), RULES);
            assert_eq!(chosen, wanted, "{sure} rows match");
        }
    }

    #[test]
    fn a_source_of_some_hundred_thousand_rows_is_scanned_by_its_codes() {
        let source = Facts {
            rows: 100_000,
            graph: false,
            codes: Some(SHAPE),
            ..MILLION
        };
        for (sure, wanted) in [
            (100_000, AccessPath::Codes),
            (50_000, AccessPath::Codes),
            (2_000, AccessPath::Gather),
            (5, AccessPath::Exact),
        ] {
            let chosen = path(matching(source, sure), RULES);
            assert_eq!(chosen, wanted, "{sure} rows match");
        }
        let exact = Rules {
            exact: true,
            ..RULES
        };
        let plan = choose(&matching(source, 50_000), &exact);
        assert_eq!((plan.path, plan.why), (AccessPath::Exact, Why::Asked));
    }

    #[test]
    fn rows_that_lie_together_make_the_block_scan_cheap() {
        let source = Facts {
            rows: 1_000_000,
            graph: false,
            codes: Some(SHAPE),
            ..MILLION
        };
        let scattered = matching(source, 20_000);
        assert_eq!(path(scattered, RULES), AccessPath::Gather);
        let together = Facts {
            blocks: 625,
            ..scattered
        };
        assert_eq!(path(together, RULES), AccessPath::Codes);
    }

    #[test]
    fn codes_of_one_bit_are_not_gathered() {
        let one_bit = CodeShape {
            row_len: 0,
            ..SHAPE
        };
        let source = Facts {
            graph: false,
            codes: Some(one_bit),
            ..MILLION
        };
        for sure in [5, 500, 50_000] {
            let plan = choose(&matching(source, sure), &RULES);
            assert_eq!(plan.costs[AccessPath::Gather as usize], None);
        }
    }

    #[test]
    fn without_codes_the_graph_of_a_large_source_is_searched() {
        assert_eq!(path(MILLION, RULES), AccessPath::Graph);
        assert_eq!(path(matching(MILLION, 400_000), RULES), AccessPath::Graph);
        assert_eq!(
            path(matching(MILLION, 200_000), RULES),
            AccessPath::GraphTwoHops
        );
        let scanned = Facts {
            graph: false,
            ..MILLION
        };
        assert_eq!(path(scanned, RULES), AccessPath::Exact);
    }

    #[test]
    fn few_matching_rows_are_scanned() {
        // 10 000 KB of vectors of 768 floats are 3 333 rows.
        let few = choose(&matching(MILLION, 3_333), &RULES);
        assert_eq!(
            (few.path, few.why),
            (AccessPath::Exact, Why::FullScanThreshold)
        );
        let no_threshold = Rules {
            full_scan_bytes: 0,
            ..RULES
        };
        for sure in [0, 3_333] {
            let chosen = path(matching(MILLION, sure), no_threshold);
            assert_eq!(chosen, AccessPath::Exact);
        }
    }

    #[test]
    fn payloads_of_a_large_source_are_read_after_the_search_when_most_match() {
        let open = Facts {
            sure: 0,
            open: 1_000_000,
            open_share: share(0.5),
            ..MILLION
        };
        assert_eq!(path(open, RULES), AccessPath::GraphThenPayloads);
        let rare = Facts {
            open_share: share(0.000_1),
            ..open
        };
        assert_eq!(path(rare, RULES), AccessPath::Exact);
        assert!(open.wanted_before_payloads() >= 30);
    }

    #[test]
    fn payloads_are_read_after_a_scan_where_there_is_no_graph() {
        let open = Facts {
            rows: 100_000,
            sure: 0,
            blocks: 3_125,
            open: 100_000,
            open_share: share(0.3),
            graph: false,
            codes: Some(SHAPE),
            payload_blocks: 1_600,
            ..MILLION
        };
        assert_eq!(path(open, RULES), AccessPath::ScanThenPayloads);
        let rare = Facts {
            open_share: share(0.000_1),
            ..open
        };
        assert!(!path(rare, RULES).is_before_payloads());
        // In memory payloads are at hand, and scanning all rows for a few costs more.
        let few_open = Facts {
            open: 1_000,
            blocks: 870,
            payload_blocks: 0,
            ..open
        };
        assert!(!path(few_open, RULES).is_before_payloads());
    }

    /// A sample of 256 without a match says that 2 % or none may match. The graph is best at the
    /// one end and dozens of times as slow as testing all payloads at the other; a scan before
    /// the payloads is never far from the best.
    #[test]
    fn an_uncertain_share_is_planned_for_the_smaller_regret() {
        let open = Facts {
            sure: 0,
            open: 1_000_000,
            open_share: Share::of_sample(256, 0),
            ..MILLION
        };
        let plan = choose(&open, &RULES);
        assert_eq!(
            (plan.path, plan.why),
            (AccessPath::ScanThenPayloads, Why::LeastRegret)
        );
        let expected = share(open.open_share.expected);
        let sure_of_it = Facts {
            open_share: expected,
            ..open
        };
        assert_eq!(path(sure_of_it, RULES), AccessPath::GraphThenPayloads);
    }

    #[test]
    fn a_sample_bounds_the_share() {
        let some = Share::of_sample(256, 128);
        assert!(some.low > 0.43 && some.high < 0.57);
        assert!((some.expected - 0.5).abs() < 1e-9);
        let none = Share::of_sample(256, 0);
        assert!(none.low < 0.002 && none.high > 0.008 && none.high < 0.03);
    }

    #[test]
    fn the_budget_of_a_search_is_what_the_scan_costs() {
        for facts in [matching(MILLION, 300_000), of_ten_millions(5_000_000)] {
            let plan = choose(&facts, &RULES);
            let scan = plan.costs[plan.scan as usize].unwrap();
            assert!(plan.costs[plan.path as usize].unwrap() < scan);
            let walk = facts.walk(plan.path, facts.expected(), &RULES).unwrap();
            let spent = plan.visits_max as f64 * walk.cost_ns() / walk.lists;
            assert!(spent <= scan && spent >= 0.99 * scan);
        }
    }

    #[test]
    fn a_walk_gives_up_well_below_the_share_it_expects() {
        let plan = choose(&of_ten_millions(5_000_000), &RULES);
        let least = plan.least.unwrap();
        assert!((least.global - 0.5).abs() < 1e-6);
        assert!(least.share >= 0.125 && least.share <= 0.25, "{least:?}");
        assert_eq!(choose(&of_ten_millions(10_000_000), &RULES).least, None);
        let two_hops = choose(&of_ten_millions(600_000), &RULES).least.unwrap();
        assert!(two_hops.share <= 0.25 * two_hops.global);
    }

    #[test]
    fn rare_rows_are_scanned_however_many_they_are() {
        let huge = Facts {
            rows: 100_000_000,
            ..MILLION
        };
        assert_eq!(path(matching(huge, 2_000_000), RULES), AccessPath::Exact);
        assert_eq!(
            path(matching(huge, 4_000_000), RULES),
            AccessPath::GraphTwoHops
        );
    }

    #[test]
    fn an_explicit_beam_is_part_of_the_price() {
        let wide = Rules {
            ef: Some(400_000),
            ..RULES
        };
        assert_eq!(path(MILLION, wide), AccessPath::Exact);
    }

    /// Of vectors that are far from each other a search reads more nodes than it does of others,
    /// and the scan, which costs the same, is the better choice for longer.
    #[test]
    fn the_beam_that_a_known_recall_takes_is_part_of_the_price() {
        let hard = Rules {
            likely: 1_600,
            ..RULES
        };
        let rows = |rows| {
            let facts = Facts {
                rows,
                ..of_ten_millions(10_000_000)
            };
            matching(facts, rows)
        };
        assert_eq!(path(rows(300_000), RULES), AccessPath::Graph);
        assert_eq!(path(rows(300_000), hard), AccessPath::Codes);
        assert_eq!(path(rows(1_000_000), hard), AccessPath::Graph);
        let easy = Rules {
            likely: 64,
            ..RULES
        };
        let cost = |rules: &Rules| choose(&rows(300_000), rules).costs;
        assert_eq!(cost(&easy), cost(&RULES));
    }

    /// A thousand rows of a hundred thousand: in as many blocks, their codes are read one by one;
    /// in the 32 blocks that have them all, whole blocks are, and cost less.
    #[test]
    fn rows_that_lie_together_are_scanned_by_blocks() {
        let facts = Facts {
            rows: 100_000,
            codes: Some(SHAPE),
            ..MILLION
        };
        let apart = choose(&matching(facts, 1_000), &RULES);
        assert_eq!(apart.path, AccessPath::Gather);
        let together = Facts {
            blocks: 33,
            ..matching(facts, 1_000)
        };
        let plan = choose(&together, &RULES);
        assert_eq!(plan.path, AccessPath::Codes);
        let cost = |plan: &Plan| plan.costs[plan.path as usize].unwrap();
        assert!(cost(&plan) < 0.9 * cost(&apart));
        // Where their payloads decide, few blocks of those are read.
        let open = |blocks, payload_blocks| Facts {
            sure: 0,
            open: 1_000,
            open_share: share(0.5),
            blocks,
            payload_blocks,
            ..facts
        };
        let apart = choose(&open(870, 740), &RULES);
        let together = choose(&open(33, 17), &RULES);
        assert!(cost(&together) < 0.8 * cost(&apart));
        let tested = |plan: &Plan| plan.costs[AccessPath::Exact as usize].unwrap();
        assert!(tested(&together) < 0.1 * tested(&apart));
    }

    #[test]
    fn a_path_that_is_asked_for_is_taken_where_there_is_one() {
        for wanted in AccessPath::ALL {
            let rules = Rules {
                path: Some(wanted),
                ..RULES
            };
            let plan = choose(&of_ten_millions(500_000), &rules);
            // No payload decides here.
            let there = !wanted.is_before_payloads();
            assert_eq!(plan.why == Why::Asked, there);
            assert_eq!(plan.path == wanted, there);
        }
    }

    /// A vector on disk is read before it is compared, so codes pay earlier.
    #[test]
    fn rows_on_disk_are_scanned_by_codes_sooner() {
        let few = Facts {
            graph: false,
            product_len: Some(32),
            row_bytes: 128,
            ..matching(MILLION, 12_000)
        };
        let cold = Facts { cold: true, ..few };
        assert_eq!(path(few, RULES), AccessPath::Exact);
        assert_eq!(path(cold, RULES), AccessPath::Codes);
        let without = Facts {
            product_len: None,
            ..cold
        };
        assert_eq!(path(without, RULES), AccessPath::Exact);
    }
}
