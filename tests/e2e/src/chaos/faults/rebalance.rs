//! Another number of instances, and another one again: members come, leave, and are killed and do not come back.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;
use crate::chaos::fleet::{Fleet, LEAST, MOST, Service};

pub struct Resized {
    service: Service,
    /// Steps on the circle of sizes, none of them back to where it was.
    steps: [usize; 2],
    leaves: bool,
    pick: usize,
}

/// How many sizes there are.
const SIZES: usize = MOST - LEAST + 1;

impl Resized {
    pub fn new(dice: &mut StdRng) -> Resized {
        let both = [Service::Etl, Service::Archiver];
        Resized {
            service: both[dice.random_range(0..both.len())],
            steps: [dice.random_range(1..SIZES), dice.random_range(1..SIZES)],
            leaves: dice.random(),
            pick: dice.random_range(0..MOST),
        }
    }

    fn resize(&self, fleet: &mut Fleet, size: usize) -> Result<()> {
        while fleet.size() < size {
            let free = fleet.free();
            fleet.start(free[self.pick % free.len()])?;
        }
        while fleet.size() > size {
            let running = fleet.running();
            let place = running[self.pick % running.len()];
            match self.leaves {
                true => fleet.stop(place)?,
                false => fleet.kill(place)?,
            }
        }
        Ok(())
    }
}

/// The size that comes so many steps after this one. A service whose instances were all killed has none yet.
fn after(size: usize, step: usize) -> usize {
    LEAST + (size.saturating_sub(LEAST) + step) % SIZES
}

impl Fault for Resized {
    fn story(&self) -> String {
        let how = if self.leaves { "leave" } else { "are killed" };
        format!(
            "{}: another number of instances, twice; those that go {how}",
            self.service.name()
        )
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let fleet = field.fleet(self.service);
        self.resize(fleet, after(fleet.size(), self.steps[0]))
    }

    fn heal(&mut self, field: &mut Field) -> Result<()> {
        let fleet = field.fleet(self.service);
        self.resize(fleet, after(fleet.size(), self.steps[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_leads_to_another_size_that_is_allowed() {
        for size in LEAST..=MOST {
            for step in 1..SIZES {
                let next = after(size, step);
                assert!(
                    (LEAST..=MOST).contains(&next) && next != size,
                    "{size} {step}"
                );
            }
        }
        assert_eq!(after(0, 1), 3);
    }
}
