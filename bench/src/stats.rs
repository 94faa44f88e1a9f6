//! Medians and percentiles.

/// The value that `share` (0 to 1) of `values` do not exceed; zero when there are none.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into values that fit in memory"
    )]
    let index = (last as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// The middle of `values`.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// `count` of `units`, as a ratio.
#[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^53")]
pub(crate) fn ratio(count: u64, units: u64) -> f64 {
    count as f64 / units as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&mut values), 3.0);
        assert_eq!(percentile(&mut values, 0.0), 1.0);
        assert_eq!(percentile(&mut values, 0.99), 5.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
