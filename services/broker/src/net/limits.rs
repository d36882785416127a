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

    /// Waits until `bytes` fit.
    pub async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let share = if bytes <= SMALL_BYTES {
            &self.small
        } else {
            &self.large
        };
        let permits = share.permits.clone();
        permits
            .acquire_many_owned(share.units_of(bytes))
            .await
            .expect("the budget is never closed")
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
            units,
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

    #[test]
    fn small_requests_get_through_where_large_ones_have_filled_the_budget() {
        let budget = ByteBudget::new(1 << 20);
        let large = budget.take(1 << 20).now_or_never();
        assert!(large.is_some());
        assert!(budget.take(100_000).now_or_never().is_none());
        assert!(budget.take(1_000).now_or_never().is_some());
        drop(large);
        assert!(budget.take(100_000).now_or_never().is_some());
    }
}
