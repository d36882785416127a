//! Everyone in turn, in an order of each turn's own.

use rand::Rng;
use rand::seq::SliceRandom;

/// Things of which each comes once in every turn, so that a run of any length has about as many of each.
#[derive(Debug, Clone)]
pub struct Turns<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Clone> Turns<T> {
    /// `all` must not be empty.
    pub fn new(all: Vec<T>) -> Turns<T> {
        assert!(!all.is_empty(), "nobody has a turn");
        Turns {
            all,
            left: Vec::new(),
        }
    }

    pub fn next(&mut self, dice: &mut impl Rng) -> T {
        if self.left.is_empty() {
            self.left = self.all.clone();
            self.left.shuffle(dice);
        }
        self.left.pop().expect("there is at least one")
    }
}
