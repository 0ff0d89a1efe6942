//! How one source is searched: the choice between its access paths, and what it rests on.
//!
//! - [`AccessPath::Exact`]: every matching row is scored. Cheapest when few match, when the source
//!   is small, or when it has no graph.
//! - [`AccessPath::Codes`]: the codes of the matching rows are scanned, and the vectors of what may
//!   be near enough. Cheapest in sources of up to some hundred thousand rows.
//! - [`AccessPath::Graph`]: the graph is searched with the matching rows as its filter. Cheapest
//!   when many rows match.
//! - [`AccessPath::GraphThenPayloads`]: where payloads decide and testing all of them would cost
//!   more than searching wider and testing only what is found.
//!
//! A plan is a value: [`choose`] computes it from [`Facts`] alone, so that tests can ask for any
//! case.
//!
//! # Invariants
//! - Whatever is chosen returns `wanted` rows if that many match: both graph paths end in a scan
//!   when they come back with less. A wrong estimate costs time, never results.
//! - A graph search is given as many visits as the scan would cost, so no plan costs more than
//!   about twice the best one.

/// What is known of a source when its plan is chosen.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Live rows that have the vector.
    pub(crate) rows: u32,
    /// Rows among them that match for sure; all of them without a filter.
    pub(crate) sure: u32,
    /// Rows whose payload decides.
    pub(crate) open: u32,
    /// The share of the open rows that is expected to match.
    pub(crate) open_share: f64,
    /// Bytes of one vector.
    pub(crate) row_bytes: usize,
    /// Results wanted.
    pub(crate) wanted: u32,
    /// Whether there is a graph of the vector.
    pub(crate) graph: bool,
    /// Dimensions of the codes of the vector, padded, if there are codes.
    pub(crate) code_dim: Option<usize>,
    /// Bytes of a row of the product codes of the vector, if there are such codes.
    pub(crate) product_len: Option<usize>,
    /// Whether the nodes of the graph have codes in them.
    pub(crate) coded: bool,
    /// Whether payloads are in compressed blocks.
    pub(crate) sealed: bool,
}

/// What the request and the schema say about the plan.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// Every matching row is to be scored.
    pub(crate) exact: bool,
    /// Width of the beam, if the request names one.
    pub(crate) ef: Option<u32>,
    /// Up to so many bytes of matching vectors are scanned, by codes or one by one, rather than
    /// searched by a graph: `full_scan_threshold`.
    pub(crate) full_scan_bytes: u64,
}

/// How a source is searched.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum AccessPath {
    /// Every matching row is scored.
    Exact,
    /// The codes of the matching rows are scanned.
    Codes,
    /// The graph, for all rows or those of a filter.
    Graph,
    /// The graph, for the rows that may match, and then the payloads of those found.
    GraphThenPayloads,
}

/// A choice, with what it rests on.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// How.
    pub(crate) path: AccessPath,
    /// Expected time of the chosen path.
    pub(crate) cost_ns: f64,
    /// Lists a graph search may read before it gives way to the scan.
    pub(crate) visits_max: u64,
}

// Where the figures come from: one core of a Zen 4 with AVX-512, 384 KiB to 100 MiB of vectors of
// 128 and 768 floats on the real engine, 30 000 to 100 000 points of 16 to 48 latent dimensions, m
// = 16, and the means over 50 queries. They are round because they only have to be right about
// which plan is cheaper by a factor of two; `visits_max` bounds what a wrong one costs.

/// Scanning one row: a fixed part and a part for its bytes (19 to 25 ns at 512 bytes, 103 at 3
/// 072).
const SCAN_ROW_NS: f64 = 6.0;
const SCAN_BYTE_NS: f64 = 0.032;
/// Estimating one row of a block of 32 one-bit codes, and what a scan of codes costs besides:
/// preparing the query, and the rows that are estimated and compared again.
const CODE_ROW_NS: f64 = 0.25;
const CODE_DIM_NS: f64 = 0.004;
const CODE_START_NS: f64 = 60_000.0;
/// Estimating one row by its product codes, and what such a scan costs besides: the table of the
/// query and the candidates that are compared exactly. A row of 96 bytes took 5.9 ns with VBMI and
/// 27 with AVX2 (record of 2026-11-22, product): these lie between.
const PRODUCT_ROW_NS: f64 = 2.0;
const PRODUCT_BYTE_NS: f64 = 0.12;
const PRODUCT_START_NS: f64 = 40_000.0;
/// Rows of a block.
const CODE_BLOCK_ROWS: f64 = 32.0;
/// Expanding one node with codes in it, all its neighbours estimated.
const CODED_NODE_NS: f64 = 350.0;
const CODED_DIM_NS: f64 = 0.5;
/// Nodes expanded by a search of nodes with codes that chooses its beam itself: so many, and so
/// many more for each row sought.
const CODED_LEAST: f64 = 600.0;
const CODED_A_ROW: f64 = 20.0;
/// Scoring one row that a graph led to, out of order (62 ns at 512 bytes, 151 at 3 072).
const GRAPH_ROW_NS: f64 = 30.0;
const GRAPH_BYTE_NS: f64 = 0.035;
/// Reading a list of neighbours and asking which of its rows are new and accepted (60 to 280 ns).
const LIST_NS: f64 = 130.0;
/// Rows scored for each list read when most rows are accepted.
const SCORED_PER_LIST: f64 = 20.0;
/// Rows expanded by a search that chooses its beam itself: a start, and so many for each row sought
/// (60 to 330 in all for 10 rows, about 500 for 100).
const EXPANDED_LEAST: f64 = 110.0;
const EXPANDED_PER_ROW: f64 = 4.0;
/// Neighbours in a list of the base layer on average.
const LIST_ROWS: f64 = 24.0;
/// Different rows within two steps; with few accepted, the accepted ones of them are scored.
const TWO_STEPS: f64 = 140.0;
/// Below this share of accepted neighbours a search looks through those that are not (`index`).
const DENSE_SHARE: f64 = 0.35;
/// Below this share the accepted rows within two steps are too few to lead anywhere: at 2 % a
/// search for 10 rows found 95 to 100 % of them, at 1 % 90 to 94 %, at 0.5 % 77 to 83 %. A scan
/// finds all.
const GRAPH_SHARE_LEAST: f64 = 0.03;
/// Decompressing and checking one payload block of 16 KiB (12 to 13 us).
const BLOCK_NS: f64 = 12_500.0;
/// Rows whose payloads share a block: payloads of about 256 bytes.
const BLOCK_ROWS: f64 = 64.0;
/// Testing one payload that is at hand (60 to 75 ns for one condition).
const PAYLOAD_NS: f64 = 75.0;
/// A search followed by payloads looks for this much more than should be needed.
const HEADROOM: f64 = 1.5;
/// Visits below which giving up is not worth its trouble.
const VISITS_LEAST: u64 = 256;

impl Facts {
    /// Rows expected to match.
    pub(crate) fn expected(&self) -> f64 {
        f64::from(self.sure) + f64::from(self.open) * self.open_share
    }

    /// The share of all rows that is expected to match.
    fn share(&self) -> f64 {
        (self.expected() / f64::from(self.rows.max(1))).clamp(1e-9, 1.0)
    }

    /// How many rows to look for so that `wanted` of those found match.
    pub(crate) fn wanted_before_payloads(&self) -> u32 {
        let possible = f64::from(self.sure) + f64::from(self.open);
        let share = (self.expected() / possible.max(1.0)).clamp(1e-9, 1.0);
        let wanted = (f64::from(self.wanted) / share * HEADROOM).ceil() + 4.0;
        to_u32(wanted.min(possible))
    }
}

/// Chooses the access path of a source.
pub(crate) fn choose(facts: &Facts, rules: &Rules) -> Plan {
    let settle = settle_ns(facts);
    let scan = facts.expected() * scan_ns(1, facts.row_bytes);
    let exact = Plan {
        path: AccessPath::Exact,
        cost_ns: settle + scan,
        visits_max: 0,
    };
    if rules.exact {
        return exact;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes of one source are far below 2^53"
    )]
    let small = facts.expected() * facts.row_bytes as f64 <= rules.full_scan_bytes as f64;
    let mut cheapest = exact;
    let of_codes = match (facts.code_dim, facts.product_len) {
        (Some(dim), _) => Some(code_scan_ns(facts.rows, facts.share(), dim)),
        (None, Some(len)) => Some(product_scan_ns(facts.expected(), len)),
        (None, None) => None,
    };
    // Also where few bytes match: the threshold is about graphs, and the cheaper scan is taken.
    if let Some(cost) = of_codes {
        cheapest = cheapest.or(Plan {
            path: AccessPath::Codes,
            cost_ns: settle + cost,
            visits_max: 0,
        });
    }
    if !facts.graph {
        return cheapest;
    }
    if !small && facts.share() >= GRAPH_SHARE_LEAST {
        let walk = Walk::new(facts, facts.share(), facts.wanted, rules);
        cheapest = cheapest.or(Plan {
            path: AccessPath::Graph,
            cost_ns: settle + walk.cost_ns(),
            visits_max: walk.visits_for(cheapest.cost_ns - settle),
        });
    }
    let possible = f64::from(facts.sure) + f64::from(facts.open);
    let share = (possible / f64::from(facts.rows.max(1))).min(1.0);
    if facts.open > 0 && share >= GRAPH_SHARE_LEAST {
        let wanted = facts.wanted_before_payloads();
        let walk = Walk::new(facts, share, wanted, rules);
        let tests = f64::from(wanted) * f64::from(facts.open) / possible;
        cheapest = cheapest.or(Plan {
            path: AccessPath::GraphThenPayloads,
            cost_ns: walk.cost_ns() + tests * payload_alone_ns(facts),
            visits_max: walk.visits_for(cheapest.cost_ns),
        });
    }
    cheapest
}

impl Plan {
    /// The cheaper of two.
    fn or(self, other: Self) -> Self {
        if other.cost_ns < self.cost_ns {
            other
        } else {
            self
        }
    }
}

/// Scanning so many rows of so many bytes.
pub(crate) fn scan_ns(rows: u32, row_bytes: usize) -> f64 {
    f64::from(rows) * (SCAN_ROW_NS + SCAN_BYTE_NS * bytes(row_bytes))
}

/// Scanning the codes of a share of so many rows.
pub(crate) fn code_scan_ns(rows: u32, share: f64, dim: usize) -> f64 {
    let touched = 1.0 - (1.0 - share).powf(CODE_BLOCK_ROWS);
    let row = CODE_ROW_NS + CODE_DIM_NS * bytes(dim);
    CODE_START_NS + f64::from(rows) * row * touched
}

/// Scanning the product codes of so many rows.
pub(crate) fn product_scan_ns(rows: f64, row_len: usize) -> f64 {
    PRODUCT_START_NS + rows * (PRODUCT_ROW_NS + PRODUCT_BYTE_NS * bytes(row_len))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a vector has at most 2^18 bytes"
)]
fn bytes(row_bytes: usize) -> f64 {
    row_bytes as f64
}

/// What a search of the graph is expected to do.
struct Walk {
    lists: f64,
    scored: f64,
    row_ns: f64,
    list_ns: f64,
}

impl Walk {
    /// A search for `wanted` rows when so large a share of all is accepted.
    fn new(facts: &Facts, share: f64, wanted: u32, rules: &Rules) -> Self {
        if let Some(dim) = facts.code_dim.filter(|_| facts.coded) {
            return Self {
                lists: expanded_coded(share, wanted, rules.ef),
                scored: 0.0,
                row_ns: 0.0,
                list_ns: CODED_NODE_NS + CODED_DIM_NS * bytes(dim),
            };
        }
        let expanded = match rules.ef {
            Some(ef) => f64::from(ef.max(wanted)),
            None => EXPANDED_LEAST + EXPANDED_PER_ROW * f64::from(wanted),
        };
        let row_ns = GRAPH_ROW_NS + GRAPH_BYTE_NS * bytes(facts.row_bytes);
        if share >= DENSE_SHARE {
            let lists = expanded / share;
            let scored = lists * SCORED_PER_LIST;
            return Self {
                lists,
                scored,
                row_ns,
                list_ns: LIST_NS,
            };
        }
        let lists = expanded * (1.0 + LIST_ROWS * (1.0 - share));
        let scored = expanded * TWO_STEPS * share;
        Self {
            lists,
            scored,
            row_ns,
            list_ns: LIST_NS,
        }
    }

    fn cost_ns(&self) -> f64 {
        self.lists * self.list_ns + self.scored * self.row_ns
    }

    /// The lists that can be read in this time.
    fn visits_for(&self, time_ns: f64) -> u64 {
        to_u64(time_ns / self.cost_ns() * self.lists).max(VISITS_LEAST)
    }
}

/// Nodes with codes that a search expands when such a share of all rows is accepted: the beam holds
/// those that are not, too.
fn expanded_coded(share: f64, wanted: u32, ef: Option<u32>) -> f64 {
    let chosen = CODED_LEAST + CODED_A_ROW * f64::from(wanted);
    ef.map_or(chosen, |ef| f64::from(ef.max(wanted))) / share.max(GRAPH_SHARE_LEAST)
}

/// Testing the payloads of all open rows, in row order.
fn settle_ns(facts: &Facts) -> f64 {
    let open = f64::from(facts.open);
    if !facts.sealed {
        return open * PAYLOAD_NS;
    }
    let blocks = f64::from(facts.rows) / BLOCK_ROWS;
    let share = open / f64::from(facts.rows.max(1));
    open * PAYLOAD_NS + blocks * BLOCK_NS * (1.0 - (1.0 - share.min(1.0)).powf(BLOCK_ROWS))
}

/// Testing one payload on its own.
fn payload_alone_ns(facts: &Facts) -> f64 {
    if facts.sealed {
        BLOCK_NS + PAYLOAD_NS
    } else {
        PAYLOAD_NS
    }
}

/// Testing the payloads of all rows of a source.
pub(crate) fn payload_walk_ns(rows: u32) -> f64 {
    f64::from(rows) * (PAYLOAD_NS + BLOCK_NS / BLOCK_ROWS)
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

    const MILLION: Facts = Facts {
        rows: 1_000_000,
        sure: 1_000_000,
        open: 0,
        open_share: 0.0,
        row_bytes: 768 * 4,
        wanted: 10,
        graph: true,
        code_dim: None,
        product_len: None,
        coded: false,
        sealed: true,
    };
    const RULES: Rules = Rules {
        exact: false,
        ef: None,
        full_scan_bytes: 10_000 * 1024,
    };

    fn path(facts: Facts, rules: Rules) -> AccessPath {
        choose(&facts, &rules).path
    }

    #[test]
    fn a_large_source_is_searched_by_its_graph() {
        assert_eq!(path(MILLION, RULES), AccessPath::Graph);
        assert_eq!(
            path(
                Facts {
                    sure: 300_000,
                    ..MILLION
                },
                RULES
            ),
            AccessPath::Graph
        );
    }

    #[test]
    fn exact_and_no_graph_mean_a_scan() {
        assert_eq!(
            path(
                MILLION,
                Rules {
                    exact: true,
                    ..RULES
                }
            ),
            AccessPath::Exact
        );
        assert_eq!(
            path(
                Facts {
                    graph: false,
                    ..MILLION
                },
                RULES
            ),
            AccessPath::Exact
        );
    }

    #[test]
    fn codes_are_scanned_unless_few_rows_match_or_there_are_very_many() {
        let codes = Facts {
            rows: 100_000,
            sure: 100_000,
            graph: false,
            code_dim: Some(768),
            ..MILLION
        };
        assert_eq!(path(codes, RULES), AccessPath::Codes);
        let few = Facts {
            sure: 1_000,
            ..codes
        };
        assert_eq!(path(few, RULES), AccessPath::Exact);
        let exact = Rules {
            exact: true,
            ..RULES
        };
        assert_eq!(path(codes, exact), AccessPath::Exact);
        let huge = Facts {
            code_dim: Some(768),
            rows: 10_000_000,
            sure: 10_000_000,
            ..MILLION
        };
        assert_eq!(path(huge, RULES), AccessPath::Graph);
        let filtered = Facts {
            sure: 200_000,
            ..huge
        };
        assert_eq!(path(filtered, RULES), AccessPath::Codes);
    }

    #[test]
    fn few_matching_rows_are_scanned() {
        // 10 000 KB of vectors of 768 floats are 3 333 rows.
        assert_eq!(
            path(
                Facts {
                    sure: 3_333,
                    ..MILLION
                },
                RULES
            ),
            AccessPath::Exact
        );
        let no_threshold = Rules {
            full_scan_bytes: 0,
            ..RULES
        };
        assert_eq!(
            path(
                Facts {
                    sure: 3_333,
                    ..MILLION
                },
                no_threshold
            ),
            AccessPath::Exact
        );
        assert_eq!(
            path(Facts { sure: 0, ..MILLION }, no_threshold),
            AccessPath::Exact
        );
    }

    #[test]
    fn payloads_of_a_large_source_are_read_after_the_search_when_most_match() {
        let open = Facts {
            sure: 0,
            open: 1_000_000,
            open_share: 0.5,
            ..MILLION
        };
        assert_eq!(path(open, RULES), AccessPath::GraphThenPayloads);
        let rare = Facts {
            open_share: 0.000_1,
            ..open
        };
        assert_eq!(path(rare, RULES), AccessPath::Exact);
        assert!(open.wanted_before_payloads() >= 30);
    }

    #[test]
    fn the_budget_of_a_search_is_what_the_scan_costs() {
        let facts = Facts {
            sure: 300_000,
            ..MILLION
        };
        let plan = choose(&facts, &RULES);
        let scan = choose(
            &Facts {
                graph: false,
                ..facts
            },
            &RULES,
        );
        assert!(plan.cost_ns < scan.cost_ns);
        let walk = Walk::new(&facts, facts.share(), facts.wanted, &RULES);
        let spent = plan.visits_max as f64 * walk.cost_ns() / walk.lists;
        assert!(spent <= scan.cost_ns);
    }

    #[test]
    fn rare_rows_are_scanned_however_many_they_are() {
        let huge = Facts {
            rows: 100_000_000,
            sure: 2_000_000,
            ..MILLION
        };
        assert_eq!(path(huge, RULES), AccessPath::Exact);
        assert_eq!(
            path(
                Facts {
                    sure: 4_000_000,
                    ..huge
                },
                RULES
            ),
            AccessPath::Graph
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
}
