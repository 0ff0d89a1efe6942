//! What a caller can choose about building and searching a graph.

use crate::error::SettingsError;

/// How a graph is built.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BuildSettings {
    /// Neighbours a row has in each upper layer; twice as many in the base layer.
    pub m: u32,
    /// Width of the beam with which the neighbours of a new row are sought.
    pub ef_construct: u32,
    /// Decides the levels. The same seed and rows give the same graph.
    pub seed: u64,
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            m: 16,
            ef_construct: 100,
            seed: 0,
        }
    }
}

impl BuildSettings {
    /// The least m: with one neighbour a layer is a chain.
    pub const M_LEAST: u32 = 2;
    /// The greatest m, which the format sets.
    pub const M_MOST: u32 = format_spec::graph::M_MAX;
    /// The greatest ef_construct.
    pub const EF_CONSTRUCT_MOST: u32 = 65_536;

    /// Neighbours a row has at most in the base layer.
    pub const fn m0(&self) -> u32 {
        2 * self.m
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        within("m", self.m, Self::M_LEAST, Self::M_MOST)?;
        within(
            "ef_construct",
            self.ef_construct,
            1,
            Self::EF_CONSTRUCT_MOST,
        )
    }
}

fn within(field: &'static str, value: u32, least: u32, most: u32) -> Result<(), SettingsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SettingsError {
        field,
        value: value.into(),
        least: least.into(),
        most: most.into(),
    })
}

/// When a search of the base layer ends.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Stop {
    /// When every row of the beam is expanded: the meaning of `ef`.
    Beam,
    /// Also when the nearest row not yet expanded is farther than the last wanted result by more
    /// than a margin, so that easy queries end early.
    Adaptive {
        /// The margin, as a share of the distance of the last wanted result from
        /// [`Scorer::floor`](crate::Scorer::floor).
        gamma: f32,
    },
}

/// When a filtered search gives up because it does not meet the rows it may return: they are far
/// from the query, and a scan finds them sooner and all of them.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct LeastShare {
    /// Fewer accepted rows than this, as a share of those met, are too few.
    pub share: f64,
    /// Accepted rows that the share of the whole source makes expect; so many nodes are looked at
    /// before the share is judged that at least [`LeastShare::EXPECTED`] are.
    pub global: f64,
}

impl LeastShare {
    /// With so many expected, a quarter of them or fewer is no chance: 1 in 4,000.
    pub const EXPECTED: f64 = 16.0;
    /// Rows met before a share is judged, at least.
    const MET_LEAST: f64 = 64.0;

    /// Whether so few are accepted among so many met that the search should give up.
    pub(crate) fn is_missed(&self, accepted: u64, met: u64) -> bool {
        let met = met as f64;
        let enough = met >= Self::MET_LEAST && met * self.global >= Self::EXPECTED;
        enough && (accepted as f64) < met * self.share
    }
}

/// How a graph is searched.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct SearchSettings {
    /// Width of the beam over accepted rows; `limit` if that is greater.
    pub ef: u32,
    /// Rows wanted.
    pub limit: u32,
    /// Lists of neighbours that may be read before the search gives up.
    pub budget_visits: Option<u64>,
    /// When to end.
    pub stop: Stop,
    /// When to give up a filter that is far from the query.
    pub least: Option<LeastShare>,
}

impl SearchSettings {
    /// Settings for `limit` rows when the caller names no beam.
    ///
    /// The margin is for a recall of 0.985 at least on 100,000 text embeddings of 384 dimensions
    /// with queries of another distribution, at m = 16 and ef_construct = 100. What that takes
    /// falls
    /// with the cube root of the limit: 0.45, 0.21, 0.145, 0.12 and 0.098 at limits 1, 10, 30, 50
    /// and 100. The beam only bounds the cost of queries that are far from every row.
    pub fn adaptive(limit: u32) -> Self {
        let gamma = 0.24 * (10.0 / limit.max(1) as f32).cbrt();
        let ef = limit.saturating_mul(4).saturating_add(512);
        Self {
            ef,
            limit,
            budget_visits: None,
            stop: Stop::Adaptive { gamma },
            least: None,
        }
    }

    /// Settings for `limit` rows with a beam of `ef`.
    pub const fn with_ef(limit: u32, ef: u32) -> Self {
        Self {
            ef,
            limit,
            budget_visits: None,
            stop: Stop::Beam,
            least: None,
        }
    }

    /// The same with a budget of visits.
    #[must_use]
    pub const fn budget(mut self, visits: u64) -> Self {
        self.budget_visits = Some(visits);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_judged_once_enough_is_expected() {
        let least = LeastShare {
            share: 0.02,
            global: 0.1,
        };
        assert!(!least.is_missed(0, 100));
        assert!(least.is_missed(0, 160));
        assert!(least.is_missed(3, 160));
        assert!(!least.is_missed(4, 160));
        let half = LeastShare {
            share: 0.1,
            global: 0.5,
        };
        assert!(!half.is_missed(0, 40));
        assert!(half.is_missed(6, 64));
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let settings = BuildSettings {
            m: 1,
            ..BuildSettings::default()
        };
        let error = settings.validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "graph setting m is 1, allowed are 2 to 1024"
        );
        let settings = BuildSettings {
            ef_construct: 0,
            ..BuildSettings::default()
        };
        assert_eq!(settings.validate().unwrap_err().field, "ef_construct");
        assert_eq!(BuildSettings::default().validate(), Ok(()));
    }
}
