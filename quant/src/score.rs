//! What the API calls a score, and the distance the kernels compute.
//!
//! Inside Cairn a smaller distance is always nearer, so that one heap and one graph search serve
//! every metric. The API follows Qdrant: similarities for Cosine and Dot, distances for Euclid and
//! Manhattan.
//!
//! | metric | distance inside | score outside | better score |
//! |---|---|---|---|
//! | Cosine | `-cos(a, b)` | `cos(a, b)` | larger |
//! | Dot | `-(a . b)` | `a . b` | larger |
//! | Euclid | squared L2 | L2 | smaller |
//! | Manhattan | L1 | L1 | smaller |
//!
//! Negation is `0 - x`, never `-x`: a negative zero would sort before zero in a total order of
//! floats and be printed as `-0.0`.

use crate::Metric;

/// The score the API shows for a distance.
#[inline]
#[must_use]
pub fn score(metric: Metric, distance: f32) -> f32 {
    match metric {
        Metric::Cosine | Metric::Dot => 0.0 - distance,
        Metric::Euclid => distance.sqrt(),
        Metric::Manhattan => distance,
    }
}

/// The distance that a score stands for; a threshold on scores becomes a bound on distances.
///
/// A negative Euclid score, which no vector can have, becomes a negative distance, so that it still
/// matches nothing. The square of a rounded root is within two units in the last place of the
/// distance it came from, not always equal to it.
#[inline]
#[must_use]
pub fn distance_of_score(metric: Metric, score: f32) -> f32 {
    match metric {
        Metric::Cosine | Metric::Dot => 0.0 - score,
        Metric::Euclid => score * score.abs(),
        Metric::Manhattan => score,
    }
}

/// Whether the API lists larger scores first.
#[inline]
#[must_use]
pub const fn larger_score_is_better(metric: Metric) -> bool {
    match metric {
        Metric::Cosine | Metric::Dot => true,
        Metric::Euclid | Metric::Manhattan => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Metric; 4] = [
        Metric::Cosine,
        Metric::Dot,
        Metric::Euclid,
        Metric::Manhattan,
    ];

    #[test]
    fn smaller_distance_is_better_score() {
        for metric in ALL {
            let (near, far) = (score(metric, 1.0), score(metric, 4.0));
            assert_eq!(larger_score_is_better(metric), near > far, "{metric:?}");
        }
    }

    #[test]
    fn score_and_distance_are_inverse() {
        for metric in ALL {
            for d in [0.0, 0.25, 1.0, 9.0, 1e6] {
                assert_eq!(distance_of_score(metric, score(metric, d)), d, "{metric:?}");
            }
        }
    }

    #[test]
    fn zero_has_no_sign() {
        for metric in ALL {
            assert!(score(metric, 0.0).is_sign_positive(), "{metric:?}");
            assert!(
                distance_of_score(metric, 0.0).is_sign_positive(),
                "{metric:?}"
            );
        }
    }

    #[test]
    fn negative_euclid_threshold_matches_nothing() {
        assert!(distance_of_score(Metric::Euclid, -2.0) < 0.0);
    }
}
