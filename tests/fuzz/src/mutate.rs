//! Changes of inputs, as a fuzzer makes them, but blind and from a seed: for runs that must be short and the same again.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Numbers at the edges of something.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x8000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Makes inputs of inputs.
pub struct Mutator<'a> {
    random: StdRng,
    seeds: &'a [Vec<u8>],
    max_len: usize,
}

impl Mutator<'_> {
    /// Changes `seeds`, of which there is at least one, into inputs of up to `max_len` bytes.
    pub fn new(seed: u64, seeds: &[Vec<u8>], max_len: usize) -> Mutator<'_> {
        assert!(!seeds.is_empty(), "there is nothing to change");
        Mutator {
            random: StdRng::seed_from_u64(seed),
            seeds,
            max_len,
        }
    }

    /// The next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.pick().to_vec();
        for _ in 0..self.random.random_range(1..=4) {
            self.change(&mut input);
        }
        input.truncate(self.max_len);
        input
    }

    fn pick(&mut self) -> &[u8] {
        let at = self.random.random_range(0..self.seeds.len());
        &self.seeds[at]
    }

    fn at(&mut self, input: &[u8]) -> usize {
        self.random.random_range(0..=input.len())
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.at(input);
        match self.random.random_range(0..9) {
            0 => self.flip(input, at),
            1 => self.number(input, at),
            2 => input.truncate(at),
            3 => {
                let end = at.saturating_add(self.random.random_range(1..16));
                input.drain(at..end.min(input.len()));
            }
            4 => {
                let more = self.random.random_range(1..16);
                let bytes: Vec<u8> = (0..more).map(|_| self.random.random()).collect();
                input.splice(at..at, bytes);
            }
            5 => {
                let end = self.at(input);
                let part = input[at.min(end)..at.max(end)].to_vec();
                let to = self.at(input);
                input.splice(to..to, part);
            }
            6 => {
                let other = self.pick().to_vec();
                let from = self.at(&other);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            7 => self.step(input, at),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.random.random();
                }
            }
        }
    }

    fn flip(&mut self, input: &mut [u8], at: usize) {
        let bit = self.random.random_range(0..8);
        if let Some(byte) = input.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// Writes a number from an edge, in one of the sizes that fields have.
    fn number(&mut self, input: &mut [u8], at: usize) {
        let edge = EDGES[self.random.random_range(0..EDGES.len())].to_be_bytes();
        let size = [1, 2, 4, 8][self.random.random_range(0..4)];
        if let Some(field) = input.get_mut(at..at + size) {
            field.copy_from_slice(&edge[8 - size..]);
        }
    }

    /// A little more or less.
    fn step(&mut self, input: &mut [u8], at: usize) {
        let by: u8 = self.random.random_range(1..=3);
        let is_more: bool = self.random.random();
        if let Some(byte) = input.get_mut(at) {
            *byte = match is_more {
                true => byte.wrapping_add(by),
                false => byte.wrapping_sub(by),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_they_are_many() {
        let seeds = [b"a seed of some length".to_vec(), vec![0; 40]];
        let run = |seed| {
            let mut mutator = Mutator::new(seed, &seeds, 64);
            (0..500).map(|_| mutator.input()).collect::<Vec<_>>()
        };
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
        assert!(first.iter().all(|input| input.len() <= 64));
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert!(distinct.len() > 400, "only {} are distinct", distinct.len());
    }
}
