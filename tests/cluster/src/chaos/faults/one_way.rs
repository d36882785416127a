//! A broker that hears and is not heard, or is heard and does not hear.

use anyhow::Result;
use rand::Rng;
use rand::rngs::StdRng;

use super::Fault;
use super::partition::From;
use crate::chaos::field::Field;
use crate::chaos::packet_filter::PacketFilter;

pub struct OneWay {
    victim: i32,
    from: From,
    deaf: bool,
    filter: Option<PacketFilter>,
}

impl OneWay {
    pub fn new(victim: i32, dice: &mut StdRng) -> OneWay {
        OneWay {
            victim,
            from: From::thrown(dice),
            deaf: dice.random(),
            filter: None,
        }
    }
}

impl Fault for OneWay {
    fn story(&self) -> String {
        let way = match self.deaf {
            true => "hears nothing",
            false => "is not heard",
        };
        let from = self.from.words().replace("from", "by");
        format!("broker {}: {way}, as to {from}", self.victim)
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        let mut filter = field.filter(self.victim)?;
        match self.deaf {
            true => self.from.deafen(&mut filter, field, self.victim)?,
            false => self.from.mute(&mut filter, field, self.victim)?,
        }
        self.filter = Some(filter);
        Ok(())
    }

    fn heal(&mut self, _: &mut Field) -> Result<()> {
        self.filter.take().map_or(Ok(()), |mut f| f.clear())
    }
    fn has_bitten(&self, _: &Field) -> Result<bool> {
        self.filter
            .as_ref()
            .map_or(Ok(false), PacketFilter::has_matched)
    }
}
