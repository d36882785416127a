//! Fetch sessions (KIP-227): a client names its partitions once and then only what has changed.
//!
//! The cache is bounded. A new session takes the place of one that has not been used for a while, a follower's also
//! that of a consumer; where there is no place, the client gets no session and names everything each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::ids::BrokerId;
use parking_lot::Mutex;
use wire::messages::FetchRequest;
use wire::messages::fetch_request::FetchPartition;
use wire::{ErrorCode, Str};

use super::super::partition_lookup::TopicKey;

/// No session, or the request for a new one.
const NONE: i32 = 0;
/// The epoch of a request that ends its session and asks for no other.
const FINAL_EPOCH: i32 = -1;
/// Partitions that all sessions together may have, so that their memory is bounded too.
pub const PARTITIONS_MAX: usize = 1_000_000;
/// How long an unused session keeps its place against a new one.
const IDLE_MS: u64 = 120_000;

/// One partition that a client fetches.
#[derive(Clone, Debug)]
pub struct Item {
    pub topic: TopicKey,
    pub index: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub last_fetched_epoch: i32,
    pub max_bytes: usize,
    /// What the client has been told, so that only changes are told again.
    pub told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub high_watermark: i64,
    pub log_start: i64,
}

/// What the cache keeps of a session.
#[derive(Debug)]
struct Kept {
    epoch: i32,
    /// None while a request has them. One that ends without an answer takes the session with it.
    items: Option<Vec<Item>>,
    by_id: bool,
}

#[derive(Debug)]
struct Slot {
    kept: Arc<Mutex<Kept>>,
    owner: Option<BrokerId>,
    used_ms: u64,
    partitions: usize,
}

/// All sessions of this broker.
pub struct Sessions {
    slots: Mutex<BTreeMap<i32, Slot>>,
    max: usize,
    partitions_max: usize,
    next: Mutex<i32>,
    evicted: AtomicU64,
}

/// One request's use of its session, or of none.
#[derive(Debug)]
pub struct Session {
    id: i32,
    items: Vec<Item>,
    is_incremental: bool,
    kept: Option<Arc<Mutex<Kept>>>,
}

impl Sessions {
    pub fn new(max: usize, partitions_max: usize, first_id: i32) -> Sessions {
        Sessions {
            slots: Mutex::new(BTreeMap::new()),
            max,
            partitions_max,
            next: Mutex::new(first_id.max(1)),
            evicted: AtomicU64::new(0),
        }
    }

    /// Finds or begins the session that a request speaks of.
    pub fn enter(
        &self,
        request: &FetchRequest,
        by_id: bool,
        owner: Option<BrokerId>,
        now_ms: u64,
    ) -> Result<Session, ErrorCode> {
        if request.session_epoch == FINAL_EPOCH || request.session_epoch == 0 {
            if request.session_id != NONE {
                self.slots.lock().remove(&request.session_id);
            }
            let items = items(request, by_id);
            if request.session_epoch == FINAL_EPOCH || items.is_empty() {
                return Ok(Session::none(items));
            }
            return Ok(self.begin(items, by_id, owner, now_ms));
        }
        let kept = {
            let mut slots = self.slots.lock();
            let slot = slots
                .get_mut(&request.session_id)
                .ok_or(ErrorCode::FetchSessionIdNotFound)?;
            slot.used_ms = now_ms;
            slot.kept.clone()
        };
        let items = kept.lock().enter(request, by_id)?;
        self.check_growth(request.session_id, items.len())?;
        Ok(Session {
            id: request.session_id,
            items,
            is_incremental: true,
            kept: Some(kept),
        })
    }

    /// How many sessions there are, and how many partitions are in them.
    pub fn counts(&self) -> (usize, usize) {
        let slots = self.slots.lock();
        (slots.len(), held(&slots))
    }

    /// Sessions that had to make room for others.
    pub fn evictions(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// A session that has become too large ends; its client begins anew, and may get none.
    fn check_growth(&self, id: i32, partitions: usize) -> Result<(), ErrorCode> {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(&id) else {
            return Ok(());
        };
        let grows = partitions > slot.partitions;
        slot.partitions = partitions;
        if grows && held(&slots) > self.partitions_max {
            slots.remove(&id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        Ok(())
    }

    fn begin(
        &self,
        items: Vec<Item>,
        by_id: bool,
        owner: Option<BrokerId>,
        now_ms: u64,
    ) -> Session {
        let mut slots = self.slots.lock();
        if slots.len() >= self.max {
            if !evict(&mut slots, owner.is_some(), now_ms) {
                return Session::none(items);
            }
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        if held(&slots) + items.len() > self.partitions_max {
            return Session::none(items);
        }
        let id = {
            let mut next = self.next.lock();
            while slots.contains_key(&*next) {
                *next = next.checked_add(1).unwrap_or(1);
            }
            let id = *next;
            *next = next.checked_add(1).unwrap_or(1);
            id
        };
        let kept = Arc::new(Mutex::new(Kept {
            epoch: 1,
            items: None,
            by_id,
        }));
        slots.insert(
            id,
            Slot {
                kept: kept.clone(),
                owner,
                used_ms: now_ms,
                partitions: items.len(),
            },
        );
        Session {
            id,
            items,
            is_incremental: false,
            kept: Some(kept),
        }
    }
}

fn held(slots: &BTreeMap<i32, Slot>) -> usize {
    slots.values().map(|slot| slot.partitions).sum()
}

/// Makes room for one session; says whether there is some.
fn evict(slots: &mut BTreeMap<i32, Slot>, for_follower: bool, now_ms: u64) -> bool {
    let may_go = |slot: &Slot| {
        now_ms.saturating_sub(slot.used_ms) > IDLE_MS || (for_follower && slot.owner.is_none())
    };
    let oldest = slots
        .iter()
        .filter(|(_, slot)| may_go(slot))
        .min_by_key(|(_, slot)| slot.used_ms);
    let Some(id) = oldest.map(|(id, _)| *id) else {
        return false;
    };
    slots.remove(&id);
    true
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

fn items(request: &FetchRequest, by_id: bool) -> Vec<Item> {
    let topics = request.topics.iter();
    let of_topic = |topic: &wire::messages::fetch_request::FetchTopic| {
        // A name with memory of its own: a session must not keep the frame that it came in.
        let name = Str::copy_from(&topic.topic);
        let key = TopicKey::new(by_id, topic.topic_id, &name);
        topic
            .partitions
            .iter()
            .map(|p| item(&key, p))
            .collect::<Vec<_>>()
    };
    topics.flat_map(of_topic).collect()
}

fn item(topic: &TopicKey, partition: &FetchPartition) -> Item {
    Item {
        topic: topic.clone(),
        index: partition.partition,
        offset: partition.fetch_offset,
        leader_epoch: partition.current_leader_epoch,
        last_fetched_epoch: partition.last_fetched_epoch,
        max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
        told: None,
    }
}

impl Kept {
    /// Lends the items to a request, which is the only one of its session at that time.
    fn enter(&mut self, request: &FetchRequest, by_id: bool) -> Result<Vec<Item>, ErrorCode> {
        if self.epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if self.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let mut items = self
            .items
            .take()
            .ok_or(ErrorCode::InvalidFetchSessionEpoch)?;
        self.epoch = next_epoch(self.epoch);
        update(&mut items, request, by_id);
        Ok(items)
    }
}

/// Takes in what has changed since the last request.
fn update(kept: &mut Vec<Item>, request: &FetchRequest, by_id: bool) {
    let mut changed: BTreeMap<_, Item> = items(request, by_id)
        .into_iter()
        .map(|i| ((i.topic.clone(), i.index), i))
        .collect();
    let mut forgotten = BTreeSet::new();
    for topic in &request.forgotten_topics_data {
        let key = TopicKey::new(by_id, topic.topic_id, &topic.topic);
        forgotten.extend(topic.partitions.iter().map(|index| (key.clone(), *index)));
    }
    if changed.is_empty() && forgotten.is_empty() {
        return;
    }
    kept.retain_mut(|item| {
        let key = (item.topic.clone(), item.index);
        if let Some(new) = changed.remove(&key) {
            *item = Item {
                told: item.told,
                ..new
            };
            return true;
        }
        !forgotten.contains(&key)
    });
    kept.extend(changed.into_values());
}

impl Session {
    fn none(items: Vec<Item>) -> Session {
        Session {
            id: NONE,
            items,
            is_incremental: false,
            kept: None,
        }
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    /// The partitions to look at, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    pub fn is_incremental(&self) -> bool {
        self.is_incremental
    }

    /// Keeps what has been told. Partitions that had records go to the end: the next fetch begins with the others.
    pub fn leave(&mut self, told: Vec<(Item, bool)>) {
        let Some(kept) = &self.kept else { return };
        let (with_records, without): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(_, records)| *records);
        let items = without
            .into_iter()
            .chain(with_records)
            .map(|(item, _)| item)
            .collect();
        kept.lock().items = Some(items);
    }
}
