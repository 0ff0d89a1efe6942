//! Effort: the steps in which a search tries harder, at which the recall of a segment is measured.

/// Standard deviations between an estimate of codes and its bound.
///
/// The errors are normally distributed; `search --data DIR` of 100,000 text embeddings found 0.995,
/// 0.999 and 1.000 of the nearest ten at 1.0, 1.4 and 1.9, at about the same speed.
pub const DEVIATIONS: [f32; 6] = [0.7, 1.0, 1.4, 1.9, 2.7, 4.0];
/// What a search takes that asks for nothing else.
pub const DEVIATIONS_DEFAULT: f32 = 1.9;

/// Nearest rows that are to be found where recall is measured.
pub const NEAREST: usize = 10;

/// Rows in the beam of a search of a graph.
pub const BEAM_ROWS: [u32; 7] = [16, 32, 64, 128, 256, 512, 1_024];

/// Rows compared exactly for each row wanted, of the nearest by their product codes.
pub const CANDIDATES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// How many where nothing was measured.
pub const CANDIDATES_DEFAULT: usize = 16;

/// Recall below which the default settings give way to harder ones.
pub const RECALL_FLOOR: f32 = 0.98;

/// Standard deviations that stand for a recall where errors are normally distributed.
#[must_use]
pub fn deviations_for(recall: f32) -> f32 {
    match recall {
        r if r <= 0.95 => 1.0,
        r if r <= 0.98 => 1.4,
        r if r <= 0.995 => 1.9,
        r if r <= 0.999 => 2.7,
        _ => 4.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_ascend_and_have_the_default_and_what_stands_for_a_recall() {
        assert!(DEVIATIONS.is_sorted() && BEAM_ROWS.is_sorted());
        assert!(DEVIATIONS.contains(&DEVIATIONS_DEFAULT));
        for recall in [0.5, 0.95, 0.97, 0.99, 0.999, 1.0] {
            assert!(DEVIATIONS.contains(&deviations_for(recall)));
        }
    }
}
