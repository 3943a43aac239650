//! A figure that was measured several times.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The median, the least and the greatest of several values.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these; nothing of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = match values.len() % 2 {
            0 => f64::midpoint(*values.get(middle - 1)?, upper),
            _ => upper,
        };
        Some(Self { median, min: *values.first()?, max: *values.last()? })
    }

    /// Of one value.
    pub const fn one(value: f64) -> Self {
        Self { median: value, min: value, max: value }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = *self;
        let digits = if median.abs() >= 100.0 { 0 } else { 2 };
        write!(f, "{median:.digits$}")?;
        if (max - min).abs() > f64::EPSILON {
            write!(f, " [{min:.digits$}..{max:.digits$}]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn it_reads_as_a_figure_with_its_range() {
        assert_eq!(Spread { median: 0.984, min: 0.9, max: 1.25 }.to_string(), "0.98 [0.90..1.25]");
        assert_eq!(Spread::one(2.0).to_string(), "2.00");
        assert_eq!(Spread::one(43494.4).to_string(), "43494");
    }
}
