//! CodeSpace: the rotation and the centre that the codes of a part are made with.

use super::rotation::Rotation;

/// A rotation and a rotated centre.
#[derive(Clone, Debug)]
pub struct CodeSpace {
    rotation: Rotation,
    centre: Vec<f32>,
}

impl CodeSpace {
    /// With the centre as it is stored: rotated, [`Rotation::padded`] coordinates.
    ///
    /// # Panics
    /// If the centre has another dimension.
    #[must_use]
    pub fn new(rotation: Rotation, centre: Vec<f32>) -> Self {
        assert!(
            centre.len() == rotation.padded(),
            "centre of {} coordinates, not {}",
            centre.len(),
            rotation.padded()
        );
        Self { rotation, centre }
    }

    /// With the mean of some vectors as the centre; zero when there are none.
    pub fn of_sample<V: AsRef<[f32]>>(rotation: Rotation, sample: impl Iterator<Item = V>) -> Self {
        let mut sums = vec![0.0_f64; rotation.dim()];
        let mut count = 0_u32;
        for vector in sample {
            for (sum, &x) in sums.iter_mut().zip(vector.as_ref()) {
                *sum += f64::from(x);
            }
            count += 1;
        }
        let count = f64::from(count.max(1));
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
        let mut centre = Vec::new();
        rotation.rotate(&mean, &mut centre);
        Self { rotation, centre }
    }

    /// The rotation.
    #[must_use]
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// The centre, rotated.
    #[must_use]
    pub fn centre(&self) -> &[f32] {
        &self.centre
    }

    /// Coordinates of a rotated vector.
    #[must_use]
    pub fn padded(&self) -> usize {
        self.centre.len()
    }
}
