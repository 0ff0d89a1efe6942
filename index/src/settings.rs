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
        }
    }

    /// Settings for `limit` rows with a beam of `ef`.
    pub const fn with_ef(limit: u32, ef: u32) -> Self {
        Self {
            ef,
            limit,
            budget_visits: None,
            stop: Stop::Beam,
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
