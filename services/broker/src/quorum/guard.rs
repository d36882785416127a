//! What anybody may do to the controller listener before anybody knows who it is.
//!
//! Whoever reaches it can connect, and a voter that has lost its connections has to get through all the same. So those
//! who have not said a word yet are a few, of whom the oldest goes when another comes; and the memory of requests and of
//! answers has bounds of its own, of which slow peers lose their part first (`net::share`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::frame::MAX_FRAME_BYTES;
use crate::config::dynamic::ConnectionLimits;
use crate::net::{ByteBudget, Complaints, Connections, Cut, Place, Refused, Share};

/// Connections at a time, and of one address; a quorum and its observers need far fewer.
const LIMITS: ConnectionLimits = ConnectionLimits {
    total: 4096,
    per_ip: 512,
};
/// Those among them that have not sent a request that could be understood.
const STRANGERS: usize = 128;
/// Requests in memory: the largest, beside the parts of snapshots of some peers.
const REQUEST_BYTES: usize = 2 * MAX_FRAME_BYTES;
/// Answers in memory. An observer that has been away gets an image of all the metadata.
const ANSWER_BYTES: usize = MAX_FRAME_BYTES;

/// What the connections of the controller listener share.
pub struct Guard {
    connections: Arc<Connections>,
    strangers: Mutex<BTreeMap<u64, Arc<Cut>>>,
    /// The bytes of requests in memory.
    pub requests: ByteBudget,
    /// The bytes of answers in memory.
    pub answers: Share,
    pub complaints: Complaints,
}

/// A connection that has been let in.
pub struct Guest {
    guard: Arc<Guard>,
    pub number: u64,
    pub cut: Arc<Cut>,
    _place: Place,
}

impl Guard {
    pub fn new() -> Guard {
        Guard {
            connections: Arc::default(),
            strangers: Mutex::default(),
            requests: ByteBudget::new(REQUEST_BYTES),
            answers: Share::new(ANSWER_BYTES),
            complaints: Complaints::default(),
        }
    }

    /// Lets in connection `number`, numbers ascending.
    pub fn admit(self: &Arc<Self>, ip: IpAddr, number: u64) -> Result<Guest, Refused> {
        let place = self.connections.admit(ip, LIMITS)?;
        let cut = Arc::<Cut>::default();
        let mut strangers = self.strangers.lock();
        if strangers.len() >= STRANGERS
            && let Some((_, oldest)) = strangers.pop_first()
        {
            oldest.tell();
        }
        strangers.insert(number, cut.clone());
        Ok(Guest {
            guard: self.clone(),
            number,
            cut,
            _place: place,
        })
    }
}

impl Guest {
    /// It has sent a request that could be understood.
    pub fn is_known(&self) {
        self.guard.strangers.lock().remove(&self.number);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.is_known();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_cut(guest: &Guest) -> bool {
        guest.cut.told().now_or_never().is_some()
    }

    #[test]
    fn a_flood_of_strangers_displaces_strangers_only() {
        // Given a node that is known, and as many strangers as there may be
        let guard = Arc::new(Guard::new());
        let ip: IpAddr = [127, 0, 0, 1].into();
        let admit = |number| guard.admit(ip, number).expect("there is room");
        let known = admit(0);
        known.is_known();
        let mut strangers: Vec<Guest> = (1..=STRANGERS as u64).map(admit).collect();
        assert!(!strangers.iter().any(is_cut));

        // When some are gone, then as many may come; for each further one the oldest goes
        strangers.remove(0);
        strangers.push(admit(1000));
        assert!(!strangers.iter().any(is_cut));
        strangers.push(admit(1001));
        strangers.push(admit(1002));
        let cut: Vec<bool> = strangers.iter().map(is_cut).collect();
        assert_eq!(cut.iter().filter(|cut| **cut).count(), 2);
        assert!(cut[0] && cut[1] && !is_cut(&known));
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        let guard = Arc::new(Guard::new());
        let admit = |last, number| guard.admit([127, 0, 0, last].into(), number);
        let guests: Vec<Guest> = (0..LIMITS.per_ip as u64)
            .map(|number| admit(1, number).expect("there is room"))
            .collect();
        guests.iter().for_each(Guest::is_known);
        assert!(matches!(admit(1, 1000), Err(Refused::PerIp(_))));
        assert!(admit(2, 1001).is_ok());
    }
}
