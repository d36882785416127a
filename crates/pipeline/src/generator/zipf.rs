//! Zipf's law: a few things are asked for all the time, most things hardly ever.

/// Ranks `0..n`, of which rank `k` comes with a weight of `1 / (k + 1)^exponent`.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// `n` is at least 1.
    pub fn new(n: usize, exponent: f64) -> Zipf {
        assert!(n > 0, "a distribution over nothing");
        let mut sum = 0.0;
        let cumulative = (1..=n).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf {
            cumulative: cumulative.collect(),
        }
    }

    /// The rank for a number drawn evenly from `[0, 1)`.
    pub fn rank(&self, uniform: f64) -> usize {
        let last = self.cumulative.len() - 1;
        let target = uniform * self.cumulative[last];
        self.cumulative
            .partition_point(|sum| *sum <= target)
            .min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ranks_come_most_and_all_ranks_can_come() {
        let zipf = Zipf::new(100, 1.0);
        let mut counts = [0_u32; 100];
        for n in 0..100_000 {
            counts[zipf.rank(f64::from(n) / 100_000.0)] += 1;
        }
        assert!(counts.windows(2).all(|pair| pair[0] + 1 >= pair[1]));
        assert!(
            counts[0] > 19 * counts[19] / 2,
            "{} {}",
            counts[0],
            counts[19]
        );
        assert!(counts.iter().all(|count| *count > 0));
        assert_eq!((zipf.rank(0.0), zipf.rank(1.0)), (0, 99));
    }
}
