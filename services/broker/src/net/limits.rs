//! Limits that protect the broker from its network: connections, connections per address, and the
//! bytes of requests in memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::dynamic::ConnectionLimits;

/// Permits of the byte budget are counted in units of this many bytes, since a permit count is
/// bounded by 32 bits.
const UNIT_BYTES: usize = 1024;
/// Requests up to this size are small.
const SMALL_BYTES: usize = 64 * 1024;
/// The small requests' part of the budget is one of so many.
const SMALL_SHARE: usize = 8;

/// Counts open connections over all listeners.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    per_ip: BTreeMap<IpAddr, usize>,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `max.connections` are open.
    #[error("max.connections={0} are open")]
    Total(usize),
    /// `max.connections.per.ip` are open from this address.
    #[error("max.connections.per.ip={0} are open from this address")]
    PerIp(usize),
}

/// One counted connection; dropping it gives its place back.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    ip: IpAddr,
}

impl Connections {
    /// Takes a place for a connection from `ip` within the limits, which may change while connections are open.
    pub fn admit(self: &Arc<Self>, ip: IpAddr, limits: ConnectionLimits) -> Result<Place, Refused> {
        let mut open = self.open.lock();
        if open.total >= limits.total {
            return Err(Refused::Total(limits.total));
        }
        let from_ip = open.per_ip.get(&ip).copied().unwrap_or(0);
        if from_ip >= limits.per_ip {
            return Err(Refused::PerIp(limits.per_ip));
        }
        open.total += 1;
        open.per_ip.insert(ip, from_ip + 1);
        Ok(Place {
            connections: self.clone(),
            ip,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.total -= 1;
        if let Some(count) = open.per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.per_ip.remove(&self.ip);
            }
        }
    }
}

/// The bytes of requests that may be in memory at once.
///
/// Small requests have a part of their own: heartbeats, commits and the fetches of followers must get through where
/// large ones have filled the budget, the more so as producers wait for those very fetches.
#[derive(Debug)]
pub struct ByteBudget {
    small: Share,
    large: Share,
}

/// Bytes that may be in memory at once. What is larger than all of it takes all of it, so that it is served alone rather
/// than never.
#[derive(Debug)]
pub struct Share {
    permits: Arc<Semaphore>,
    /// Of the one frame that may go on where there is no room.
    passage: Arc<Semaphore>,
    units: u32,
}

/// How far a budget is used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub limit_bytes: usize,
    pub used_bytes: usize,
}

impl ByteBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> ByteBudget {
        let small = bytes / SMALL_SHARE;
        ByteBudget {
            small: Share::new(small),
            large: Share::new(bytes - small),
        }
    }

    /// The parts by name, with what each allows and what is taken of it.
    pub fn shares(&self) -> [(&'static str, Usage); 2] {
        [
            ("small_requests", self.small.usage()),
            ("large_requests", self.large.usage()),
        ]
    }

    /// The part of the budget for frames of this size.
    pub fn share_of(&self, frame_bytes: usize) -> &Share {
        if frame_bytes <= SMALL_BYTES {
            &self.small
        } else {
            &self.large
        }
    }
}

/// What one frame has of a share. Dropping it gives all of it back.
#[derive(Debug, Default)]
pub struct Held {
    permits: Option<OwnedSemaphorePermit>,
    passage: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn units(&self) -> u32 {
        // As many as a share has at most, which is below 2^29.
        self.permits.as_ref().map_or(0, |p| p.num_permits() as u32)
    }
}

impl Share {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Share {
        let units = u32::try_from(bytes / UNIT_BYTES)
            .unwrap_or(u32::MAX >> 3)
            .clamp(1, u32::MAX >> 3);
        Share {
            permits: Arc::new(Semaphore::new(units as usize)),
            passage: Arc::new(Semaphore::new(1)),
            units,
        }
    }

    /// Waits until `held` may be `bytes` in all. Cancel-safe: what it has had before it keeps.
    ///
    /// Frames that are arriving may hold all of the share, each a part, so that none of them can end. Therefore one
    /// frame at a time needs no room to go on: the share is exceeded by what that one still lacks.
    pub async fn extend(&self, held: &mut Held, bytes: usize) {
        let missing = self.units_of(bytes).saturating_sub(held.units());
        if missing == 0 || held.passage.is_some() {
            return;
        }
        tokio::select! {
            biased;
            more = self.permits.clone().acquire_many_owned(missing) => {
                let more = more.expect("the budget is never closed");
                match &mut held.permits {
                    Some(permits) => permits.merge(more),
                    none => *none = Some(more),
                }
            }
            passage = self.passage.clone().acquire_owned() => {
                held.passage = Some(passage.expect("the budget is never closed"));
            }
        }
    }

    /// Takes `bytes` if they fit now.
    pub fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = self.permits.clone();
        permits.try_acquire_many_owned(self.units_of(bytes)).ok()
    }

    pub fn usage(&self) -> Usage {
        let free = self.permits.available_permits();
        Usage {
            limit_bytes: self.units as usize * UNIT_BYTES,
            used_bytes: (self.units as usize).saturating_sub(free) * UNIT_BYTES,
        }
    }

    fn units_of(&self, bytes: usize) -> u32 {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        units.min(self.units)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let connections = Arc::new(Connections::default());
        let a: IpAddr = [127, 0, 0, 1].into();
        let b: IpAddr = [127, 0, 0, 2].into();
        let c: IpAddr = [127, 0, 0, 3].into();
        let limits = ConnectionLimits {
            total: 2,
            per_ip: 1,
        };
        let first = connections.admit(a, limits).unwrap();
        assert_eq!(connections.admit(a, limits).unwrap_err(), Refused::PerIp(1));
        let _second = connections.admit(b, limits).unwrap();
        assert_eq!(connections.admit(c, limits).unwrap_err(), Refused::Total(2));
        drop(first);
        assert!(connections.admit(a, limits).is_ok());
    }

    fn taken(share: &Share, bytes: usize) -> Option<Held> {
        let mut held = Held::default();
        let now = share.extend(&mut held, bytes).now_or_never();
        now.map(|()| held)
    }

    #[test]
    fn small_requests_get_through_where_large_ones_have_filled_the_budget() {
        let budget = ByteBudget::new(1 << 20);
        let large = budget.share_of(100_000);
        let all = taken(large, 1 << 20);
        let passage = taken(large, 100_000);
        assert!(all.is_some() && passage.is_some());
        assert!(taken(large, 100_000).is_none());
        assert!(taken(budget.share_of(1_000), 1_000).is_some());
        drop(all);
        assert!(taken(large, 100_000).is_some());
    }

    #[test]
    fn frames_that_hold_all_of_it_together_end_one_after_the_other() {
        // Given four that have half of what they need, and no room is left
        let share = Share::new(64 << 10);
        let mut held: Vec<Held> = (0..4).filter_map(|_| taken(&share, 16 << 10)).collect();
        assert_eq!(share.usage().used_bytes, 64 << 10);

        // Then one goes on, and the others wait for it
        let grows = |one: &mut Held| share.extend(one, 32 << 10).now_or_never().is_some();
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
}
