//! The log of one broker as the engine's driver sees it: batches, of which some are synced.

use engine::ids::{LeaderEpoch, Offset, ProducerId};
use engine::producer::Producers;
use engine::replica::{Opened, Replicated};
use wire::batch::BatchHeader;

#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub batches: Vec<BatchHeader>,
    /// How many of them are synced.
    pub synced: usize,
    /// The high watermark as last written down.
    pub high_watermark: i64,
}

impl Disk {
    pub fn end(&self) -> i64 {
        self.batches.last().map_or(0, BatchHeader::next_offset)
    }

    pub fn synced_end(&self) -> i64 {
        self.synced
            .checked_sub(1)
            .map_or(0, |last| self.batches[last].next_offset())
    }

    pub fn append(&mut self, header: BatchHeader) {
        assert!(
            header.base_offset >= self.end(),
            "an append goes to the end"
        );
        self.batches.push(header);
    }

    pub fn append_all(&mut self, headers: &[BatchHeader], _plan: &Replicated) {
        headers.iter().for_each(|header| self.append(*header));
    }

    /// Durable when it returns, as the real one is.
    pub fn truncate_to(&mut self, offset: Offset) -> Offset {
        self.batches.retain(|batch| batch.next_offset() <= offset.0);
        self.synced = self.batches.len();
        Offset(self.end())
    }

    pub fn sync(&mut self) {
        self.synced = self.batches.len();
    }

    /// A loss of power: `kept` of the batches that were not synced survive, the next one is torn.
    pub fn lose_tail(&mut self, kept: usize) {
        let len = self.batches.len().min(self.synced + kept);
        self.batches.truncate(len);
    }

    pub fn unsynced(&self) -> usize {
        self.batches.len() - self.synced
    }

    /// The producers as a scan of what is left tells.
    pub fn producers(&self) -> Producers {
        let mut producers = Producers::default();
        self.batches
            .iter()
            .for_each(|header| producers.on_appended(header));
        producers
    }

    pub fn open(&self) -> Opened {
        let mut opened = Opened {
            flushed: Offset(self.synced_end()),
            high_watermark: Offset(self.high_watermark),
            ..Opened::default()
        };
        opened.replay(&self.batches);
        opened
    }

    /// Whole batches from `from` on that end below `below`.
    pub fn read(&self, from: Offset, below: Offset, max: usize) -> Vec<BatchHeader> {
        let range = self
            .batches
            .iter()
            .filter(|b| b.next_offset() > from.0 && b.next_offset() <= below.0);
        range.take(max).copied().collect()
    }
}

/// A batch of `count` records that is recognised by `name`, which takes the place of the CRC.
pub fn batch(name: u32, producer: ProducerId, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        batch_length: 100,
        partition_leader_epoch: LeaderEpoch::NONE.0,
        magic: 2,
        crc: name,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: producer.0,
        producer_epoch: 0,
        base_sequence: sequence,
        record_count: count,
    }
}
