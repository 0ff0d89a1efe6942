//! How hard one source is searched for the recall that is asked for: what was measured when its
//! parts were made decides.
//!
//! # Invariants
//! - A recall that no effort on a part reached is not looked for there: another access path is
//!   taken, at last a scan of the vectors.

use engine::{RecallPoint, Source};
use index::effort::{
    CANDIDATES_DEFAULT, DEVIATIONS_DEFAULT, NEAREST, RECALL_FLOOR, deviations_for,
};

use crate::request::SearchParams;

/// Efforts for one source and vector; `None` where the part is not good enough.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Effort {
    /// Standard deviations between the estimates of codes and their bounds.
    pub(crate) deviations: Option<f32>,
    /// Rows compared exactly for each wanted, of the nearest by product codes.
    pub(crate) candidates: Option<usize>,
    /// Whether the graph may be searched.
    pub(crate) graph: bool,
    /// Rows in the beam, if they are not to be chosen while searching.
    pub(crate) beam: Option<usize>,
    /// Rows that a beam needs, if they are; 0 where that is not known.
    pub(crate) likely_beam: usize,
}

/// How many times as wide a beam queries need as rows do, by which recall is measured. Questions
/// about 100,000 text embeddings that ask for 0.95, 0.98 and 0.99 get 0.967, 0.967 and 0.987 with
/// twice the beam, 0.980, 0.980 and 0.993 with three times (`search --coded --ef 0.95,0.98,0.99`).
const HARDER: usize = 3;

impl Effort {
    /// For what `params` ask for.
    pub(crate) fn new(source: &Source, vector: usize, params: &SearchParams) -> Self {
        let codes = source.known_recall_of_codes(vector);
        let graph = source.known_recall_of_graph(vector);
        let product = source.known_recall_of_product(vector);
        let least = params.recall.unwrap_or(RECALL_FLOOR);
        let candidates = if product.is_empty() {
            Some(CANDIDATES_DEFAULT)
        } else {
            // Queries are harder than rows: as many again.
            reaching(product, least, 0.0).map(|factor| 2 * factor as usize)
        };
        Self {
            candidates,
            ..Self::of(codes, graph, params)
        }
    }

    fn of(codes: &[RecallPoint], graph: &[RecallPoint], params: &SearchParams) -> Self {
        let (least, from) = match params.recall {
            None => (RECALL_FLOOR, DEVIATIONS_DEFAULT),
            Some(recall) => (recall, deviations_for(recall)),
        };
        let deviations = if codes.is_empty() {
            Some(from)
        } else {
            reaching(codes, least, from)
        };
        if let Some(ef) = params.hnsw_ef {
            return Self {
                deviations,
                candidates: None,
                graph: true,
                beam: Some(ef),
                likely_beam: ef,
            };
        }
        let beam = reaching(graph, least, 0.0).map(|beam| HARDER * beam as usize);
        Self {
            deviations,
            candidates: None,
            graph: graph.is_empty() || beam.is_some(),
            beam: beam.filter(|_| params.recall.is_some()),
            likely_beam: beam.unwrap_or_default(),
        }
    }

    /// The same for so many rows wanted: of more than were looked for when recall was measured the
    /// last are as near to the end of the beam as the last were then.
    pub(crate) fn for_wanted(self, wanted: usize, params: &SearchParams) -> Self {
        let wider = |beam: usize| match params.hnsw_ef {
            Some(_) => beam,
            None => beam.saturating_mul(wanted.max(NEAREST)).div_ceil(NEAREST),
        };
        Self {
            beam: self.beam.map(wider),
            ..self
        }
    }
}

/// The least setting, from `from` on, that reached a recall.
fn reaching(points: &[RecallPoint], recall: f32, from: f32) -> Option<f32> {
    let reached = |point: &&RecallPoint| {
        let measured = point.recall as f32 / RecallPoint::WHOLE as f32;
        point.setting as f32 >= from * 1_000.0 && measured >= recall
    };
    points
        .iter()
        .find(reached)
        .map(|point| point.setting as f32 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use index::effort::{BEAM_ROWS, DEVIATIONS};

    fn curve(settings: &[f32], recall: &[u32]) -> Vec<RecallPoint> {
        let points = settings.iter().zip(recall);
        let point = |(setting, &recall): (&f32, &u32)| RecallPoint {
            setting: (setting * 1_000.0) as u32,
            recall,
        };
        points.map(point).collect()
    }

    fn beams(recall: &[u32]) -> Vec<RecallPoint> {
        curve(&BEAM_ROWS.map(|rows| rows as f32), recall)
    }

    fn asked(recall: f32) -> SearchParams {
        SearchParams {
            recall: Some(recall),
            ..SearchParams::default()
        }
    }

    #[test]
    fn without_figures_the_defaults_are_taken() {
        let effort = Effort::of(&[], &[], &SearchParams::default());
        assert_eq!((effort.deviations, effort.graph), (Some(1.9), true));
        assert_eq!(effort.beam, None);
        assert_eq!(Effort::of(&[], &[], &asked(0.95)).deviations, Some(1.0));
    }

    fn deviations(codes: &[RecallPoint], params: &SearchParams) -> Option<f32> {
        Effort::of(codes, &[], params).deviations
    }

    #[test]
    fn weak_parts_are_searched_harder_or_not_at_all() {
        let good = curve(&DEVIATIONS, &[9_000, 9_600, 9_900, 10_000, 10_000, 10_000]);
        let weak = curve(&DEVIATIONS, &[5_000, 6_000, 7_000, 9_000, 9_900, 10_000]);
        let hopeless = curve(&DEVIATIONS, &[1_000; 6]);
        let default = SearchParams::default();
        assert_eq!(deviations(&good, &default), Some(1.9));
        assert_eq!(deviations(&weak, &default), Some(2.7));
        assert_eq!(deviations(&hopeless, &default), None);
        assert_eq!(deviations(&good, &asked(0.95)), Some(1.0));
        assert_eq!(deviations(&weak, &asked(0.999)), Some(4.0));
        assert!(!Effort::of(&[], &beams(&[9_000; 7]), &default).graph);
    }

    #[test]
    fn a_recall_that_is_asked_for_chooses_the_beam_unless_there_is_one() {
        let graph = beams(&[5_000, 8_000, 9_500, 9_800, 9_950, 10_000, 10_000]);
        let beam = |params: &SearchParams| Effort::of(&[], &graph, params).beam;
        assert_eq!(beam(&SearchParams::default()), None);
        assert_eq!(beam(&asked(0.95)), Some(192));
        assert_eq!(beam(&asked(0.999)), Some(1_536));
        let both = SearchParams {
            hnsw_ef: Some(40),
            ..asked(0.999)
        };
        assert_eq!(beam(&both), Some(40));
        let wanted = |rows: usize, params: &SearchParams| {
            let effort = Effort::of(&[], &graph, params);
            effort.for_wanted(rows, params).beam
        };
        assert_eq!(wanted(1, &asked(0.95)), Some(192));
        assert_eq!(wanted(100, &asked(0.95)), Some(1_920));
        assert_eq!(wanted(100, &both), Some(40));
    }
}
