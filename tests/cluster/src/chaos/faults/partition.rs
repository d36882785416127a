//! A broker cut off: from everyone, from the other brokers, from one of them. Packets vanish, nobody is told.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use crate::chaos::field::Field;
use crate::chaos::packet_filter::PacketFilter;

/// Whose packets are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Everyone,
    Brokers,
    /// The first or the second of the other brokers.
    One(usize),
}

impl From {
    pub fn thrown(dice: &mut StdRng) -> From {
        match dice.random_range(0..4) {
            0 | 1 => From::Everyone,
            2 => From::Brokers,
            _ => From::One(dice.random_range(0..2)),
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            From::Everyone => "everyone",
            From::Brokers => "the other brokers, not from clients",
            From::One(_) => "one other broker",
        }
    }

    /// The addresses whose packets are dropped; none means all.
    fn addresses(self, field: &Field, victim: i32) -> Result<Vec<String>> {
        let others = field.others(victim)?;
        let addresses = others.iter().map(|(_, address)| address.to_string());
        Ok(match self {
            From::Everyone => vec![],
            From::Brokers => addresses.collect(),
            From::One(which) => addresses.skip(which).take(1).collect(),
        })
    }

    /// Drops what comes in from them.
    pub fn deafen(self, filter: &mut PacketFilter, field: &Field, victim: i32) -> Result<()> {
        self.drop_in(filter, field, victim, "INPUT", "-i eth0", "-s")
    }

    /// Drops what goes out to them.
    pub fn mute(self, filter: &mut PacketFilter, field: &Field, victim: i32) -> Result<()> {
        self.drop_in(filter, field, victim, "OUTPUT", "-o eth0", "-d")
    }

    fn drop_in(
        self,
        filter: &mut PacketFilter,
        field: &Field,
        victim: i32,
        chain: &str,
        any: &str,
        of: &str,
    ) -> Result<()> {
        let addresses = self.addresses(field, victim)?;
        if addresses.is_empty() {
            return filter.add("filter", chain, &format!("{any} -j DROP"));
        }
        for address in addresses {
            filter.add("filter", chain, &format!("{of} {address} -j DROP"))?;
        }
        Ok(())
    }
}

pub struct Partitioned {
    victim: i32,
    from: From,
    filter: Option<PacketFilter>,
}

impl Partitioned {
    pub fn new(victim: i32, dice: &mut StdRng) -> Partitioned {
        Partitioned {
            victim,
            from: From::thrown(dice),
            filter: None,
        }
    }
}

impl Fault for Partitioned {
    fn story(&self) -> String {
        format!("broker {}: cut off from {}", self.victim, self.from.words())
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let mut filter = field.filter(self.victim)?;
        self.from.deafen(&mut filter, field, self.victim)?;
        self.from.mute(&mut filter, field, self.victim)?;
        self.filter = Some(filter);
        Ok(())
    }

    fn heal(&mut self, _: &mut Field) -> Result<()> {
        self.filter.take().map_or(Ok(()), |mut f| f.clear())
    }

    fn takes_leadership(&self) -> bool {
        // With one link cut, either of the two may stay the leader.
        !matches!(self.from, From::One(_))
    }
    fn has_bitten(&self, _: &Field) -> Result<bool> {
        self.filter
            .as_ref()
            .map_or(Ok(false), PacketFilter::has_matched)
    }
}
