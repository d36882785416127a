//! Limits that protect the broker from its network: connections, connections per address, and the
//! bytes of requests in memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::share::{Need, Share, Usage};
use crate::config::dynamic::ConnectionLimits;

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

    /// The part of the budget for frames of this size, and how much one needs it that is whole.
    pub fn share_of(&self, frame_bytes: usize) -> (&Share, Need) {
        if frame_bytes <= SMALL_BYTES {
            (&self.small, Need::Urgent)
        } else {
            (&self.large, Need::Patient)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::share::Held;
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

    fn taken(budget: &ByteBudget, frame_bytes: usize, bytes: usize) -> Option<Held> {
        let (share, need) = budget.share_of(frame_bytes);
        let mut held = Held::default();
        let now = share.extend(&mut held, bytes, need).now_or_never();
        now.map(|()| held)
    }

    #[test]
    fn small_requests_get_through_where_large_ones_have_filled_the_budget() {
        let budget = ByteBudget::new(1 << 20);
        let all = taken(&budget, 1 << 20, 1 << 20);
        let passage = taken(&budget, 100_000, 100_000);
        assert!(all.is_some() && passage.is_some());
        assert!(taken(&budget, 100_000, 100_000).is_none());
        assert!(taken(&budget, 1_000, 1_000).is_some());
        drop(all);
        assert!(taken(&budget, 100_000, 100_000).is_some());
    }
}
