//! Bytes that may be in memory at once, and who has to go where there is no room.
//!
//! What peers send slowly, or do not take, keeps its room. As long as nobody else needs that it may; then the slowest of
//! them are cut off first. Kafka lets them keep it, and its memory is what they make of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A peer that moves less in a second is slow.
pub const SLOW_BYTES_PER_SECOND: u32 = 64 << 10;
/// A peer begins with so much time, and is never further ahead, nor behind.
pub const GRACE: Duration = Duration::from_secs(1);

/// Bytes that may be in memory at once. What is larger than all of it takes all of it, so that it is served alone rather
/// than never. Clones are the same share.
#[derive(Clone, Debug)]
pub struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit_bytes: usize,
    state: Mutex<State>,
    /// Some has been given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    used_bytes: usize,
    /// What of it belongs to those that have been cut off, and is about to be given back.
    leaving_bytes: usize,
    /// Whether the one frame that may go on where there is no room is under way.
    has_passage: bool,
    transfers: BTreeMap<u64, Moving>,
    next: u64,
}

#[derive(Debug)]
struct Moving {
    bytes: usize,
    /// Until when its peer's pace is good enough; none while it is not its peer that is waited for.
    good_until: Option<Instant>,
    /// Whose it is; none once it has been cut off.
    cut: Option<Arc<Cut>>,
}

/// How far a share is used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub limit_bytes: usize,
    pub used_bytes: usize,
}

/// How much somebody needs room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It waits until there is room; those that are slow go.
    Patient,
    /// It is small and whole: whatever is still on its way goes, the slowest first.
    Urgent,
}

/// What somebody has of a share. Dropping it gives all of it back.
#[derive(Debug, Default)]
pub struct Held {
    of: Option<Arc<Inner>>,
    bytes: usize,
    has_passage: bool,
}

/// By this a connection learns that it has to go.
#[derive(Debug, Default)]
pub struct Cut {
    is_told: AtomicBool,
    told: Notify,
}

impl Cut {
    /// Tells it to go.
    pub fn tell(&self) {
        self.is_told.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// Ends when the connection has been cut off. One task waits for it.
    pub async fn told(&self) {
        while !self.is_told.load(Ordering::Acquire) {
            self.told.notified().await;
        }
    }
}

/// Bytes that are on their way from or to a peer, in memory for as long as it takes the peer. It ends when this is dropped.
#[derive(Debug)]
pub struct Transfer {
    share: Arc<Inner>,
    number: u64,
}

impl Share {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Share {
        Share(Arc::new(Inner {
            limit_bytes: bytes.max(1),
            state: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Waits until `held` may be `bytes` in all. Cancel-safe: what it has had before it keeps.
    ///
    /// Frames that are arriving may hold all of the share, each a part, so that none of them can end. Therefore one
    /// frame at a time needs no room to go on: the share is exceeded by what that one still lacks.
    pub async fn extend(&self, held: &mut Held, bytes: usize, need: Need) {
        loop {
            let freed = self.0.freed.notified();
            let again = match self.try_extend(held, bytes, need) {
                Ok(()) => return,
                Err(again) => again,
            };
            match again {
                Some(at) => tokio::select! {
                    biased;
                    () = freed => {}
                    () = sleep_until(at) => {}
                },
                None => freed.await,
            }
        }
    }

    /// Extends it now, or says when somebody will be too slow.
    fn try_extend(&self, held: &mut Held, bytes: usize, need: Need) -> Result<(), Option<Instant>> {
        let missing = bytes.min(self.0.limit_bytes).saturating_sub(held.bytes);
        if missing == 0 || held.has_passage {
            return Ok(());
        }
        let mut state = self.0.state.lock();
        if self.0.make_room(&mut state, missing, need) {
            state.used_bytes += missing;
            held.bytes += missing;
        } else if !state.has_passage {
            state.has_passage = true;
            held.has_passage = true;
        } else {
            return Err(state.transfers.values().filter_map(Moving::due).min());
        }
        held.of.get_or_insert_with(|| self.0.clone());
        drop(state);
        // Who comes next may fit as well.
        self.0.freed.notify_one();
        Ok(())
    }

    /// Takes `bytes` if they fit now, or where those that are slow are gone.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let bytes = bytes.min(self.0.limit_bytes);
        let mut state = self.0.state.lock();
        let fits = self.0.make_room(&mut state, bytes, Need::Patient);
        fits.then(|| self.0.take(&mut state, bytes))
    }

    /// Takes `bytes` that are in memory already. Where there is no room for them, others go.
    pub fn take(&self, bytes: usize) -> Held {
        let mut state = self.0.state.lock();
        self.0.make_room(&mut state, bytes, Need::Urgent);
        self.0.take(&mut state, bytes)
    }

    /// `bytes`, for which there is room, begin to move at the pace of a peer.
    pub fn begin(&self, cut: &Arc<Cut>, bytes: usize) -> Transfer {
        let mut state = self.0.state.lock();
        let number = state.next;
        state.next += 1;
        let moving = Moving {
            bytes,
            good_until: Some(Instant::now() + GRACE),
            cut: Some(cut.clone()),
        };
        state.transfers.insert(number, moving);
        Transfer {
            share: self.0.clone(),
            number,
        }
    }

    /// Whether with `bytes` more there would still be half of it.
    pub fn is_roomy(&self, bytes: usize) -> bool {
        let used = self.0.state.lock().used_bytes;
        used.saturating_add(bytes) <= self.0.limit_bytes / 2
    }

    pub fn usage(&self) -> Usage {
        Usage {
            limit_bytes: self.0.limit_bytes,
            used_bytes: self.0.state.lock().used_bytes,
        }
    }
}

impl Inner {
    /// Whether there is room for so much more, once those have gone that are told to here.
    fn make_room(&self, state: &mut State, bytes: usize, need: Need) -> bool {
        while state.used_bytes.saturating_sub(state.leaving_bytes) + bytes > self.limit_bytes {
            let now = Instant::now();
            let of_slow = |moving: &&mut Moving| match need {
                Need::Urgent => moving.cut.is_some() && moving.bytes > 0,
                Need::Patient => moving.due().is_some_and(|due| due <= now),
            };
            // One that waits for the broker is the last to go.
            let patience = |moving: &&mut Moving| moving.good_until.unwrap_or(now + 2 * GRACE);
            let slowest = state.transfers.values_mut().filter(of_slow);
            let Some(slowest) = slowest.min_by_key(patience) else {
                return false;
            };
            if let Some(cut) = slowest.cut.take() {
                cut.tell();
            }
            state.leaving_bytes += slowest.bytes;
        }
        true
    }

    fn take(self: &Arc<Self>, state: &mut State, bytes: usize) -> Held {
        state.used_bytes += bytes;
        Held {
            of: Some(self.clone()),
            bytes,
            has_passage: false,
        }
    }
}

impl Moving {
    /// When its peer is too slow, if nothing comes until then.
    fn due(&self) -> Option<Instant> {
        let is_patient = self.cut.is_some() && self.bytes > 0;
        self.good_until.filter(|_| is_patient)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(share) = &self.of else { return };
        let mut state = share.state.lock();
        state.used_bytes -= self.bytes;
        state.has_passage &= !self.has_passage;
        drop(state);
        share.freed.notify_one();
    }
}

impl Transfer {
    fn change(&self, change: impl FnOnce(&mut Moving)) {
        let mut state = self.share.state.lock();
        // It is there for as long as this is.
        if let Some(moving) = state.transfers.get_mut(&self.number) {
            // What was cut off is counted as leaving, with the bytes that it had.
            if moving.cut.is_some() {
                change(moving);
            }
        }
    }

    /// The peer has sent, or taken, so many bytes.
    pub fn moved(&self, bytes: usize) {
        let now = Instant::now();
        let worth = Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX)
            / SLOW_BYTES_PER_SECOND;
        self.change(|moving| {
            let until = moving.good_until.unwrap_or(now);
            let behind = until.max(now.checked_sub(GRACE).unwrap_or(until));
            moving.good_until = Some((behind + worth).min(now + GRACE));
        });
    }

    /// It is not the peer now who is waited for.
    pub fn pause(&self) {
        self.change(|moving| moving.good_until = None);
    }

    /// The peer is waited for again, for what holds `bytes`.
    pub fn resume(&self, bytes: usize) {
        self.change(|moving| {
            moving.bytes = bytes;
            moving.good_until = Some(Instant::now() + GRACE);
        });
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut state = self.share.state.lock();
        if let Some(moving) = state.transfers.remove(&self.number)
            && moving.cut.is_none()
        {
            state.leaving_bytes -= moving.bytes;
        }
    }
}

impl Held {
    /// The bytes that are counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    fn extended(share: &Share, held: &mut Held, bytes: usize, need: Need) -> bool {
        share.extend(held, bytes, need).now_or_never().is_some()
    }

    fn taken(share: &Share, bytes: usize) -> Option<Held> {
        let mut held = Held::default();
        extended(share, &mut held, bytes, Need::Patient).then_some(held)
    }

    #[test]
    fn frames_that_hold_all_of_it_together_end_one_after_the_other() {
        // Given four that have half of what they need, and no room is left
        let share = Share::new(64 << 10);
        let mut held: Vec<Held> = (0..4).filter_map(|_| taken(&share, 16 << 10)).collect();
        assert_eq!(share.usage().used_bytes, 64 << 10);

        // Then one goes on, and the others wait for it
        let grows = |one: &mut Held| extended(&share, one, 32 << 10, Need::Patient);
        assert!(grows(&mut held[0]));
        assert!(held[1..].iter_mut().all(|one| !grows(one)));

        // And when it has ended, the next
        held.remove(0);
        assert!(grows(&mut held[0]));
        assert!(grows(&mut held[1]), "there is the room of the first");
        assert!(!grows(&mut held[2]));
        held.clear();
        assert_eq!(share.usage().used_bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_has_it_when_somebody_is_too_slow() {
        // Given all of it in the hands of one that sends nothing more, and the passage taken
        let share = Share::new(64 << 10);
        let cut = Arc::<Cut>::default();
        let slow = taken(&share, 64 << 10);
        let transfer = share.begin(&cut, 64 << 10);
        let passage = taken(&share, 10);

        // When another waits
        let began = Instant::now();
        let mut held = Held::default();
        share.extend(&mut held, 32 << 10, Need::Patient).await;

        // Then it has its room after the grace, and the slow one is told to go
        assert_eq!(began.elapsed(), GRACE);
        assert!(cut.told().now_or_never().is_some());
        drop((slow, transfer, passage));
        assert_eq!(share.usage().used_bytes, 32 << 10);
        drop(held);
        assert_eq!(
            taken(&share, 64 << 10).map(|all| all.bytes()),
            Some(64 << 10)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_broker_is_not_slow_but_goes_for_what_is_urgent() {
        let share = Share::new(64 << 10);
        let cut = Arc::<Cut>::default();
        let held = taken(&share, 64 << 10);
        let transfer = share.begin(&cut, 64 << 10);
        let passage = taken(&share, 10);
        transfer.pause();
        advance(10 * GRACE).await;
        assert!(taken(&share, 1).is_none());
        let mut small = Held::default();
        assert!(extended(&share, &mut small, 1, Need::Urgent));
        assert!(cut.told().now_or_never().is_some());
        drop((held, transfer, passage, small));
        assert_eq!(share.usage().used_bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_pace_is_good_stays_and_whose_is_not_goes_although_it_moves() {
        let share = Share::new(64 << 10);
        let paces = [SLOW_BYTES_PER_SECOND, SLOW_BYTES_PER_SECOND / 4];
        let moving = paces.map(|pace| {
            let cut = Arc::<Cut>::default();
            let held = taken(&share, 32 << 10);
            let transfer = share.begin(&cut, 32 << 10);
            (pace, cut, held, transfer)
        });
        let _passage = taken(&share, 10);
        for _ in 0..100 {
            advance(GRACE / 10).await;
            for (pace, _, _, transfer) in &moving {
                transfer.moved(*pace as usize / 10);
            }
        }
        assert!(taken(&share, 32 << 10).is_some());
        let gone = moving
            .each_ref()
            .map(|(_, cut, ..)| cut.told().now_or_never().is_some());
        assert_eq!(gone, [false, true]);
    }
}
