//! Who may connect: so many at once, of whom no address may have more than its share, so that one neighbour cannot lock out the
//! others; and a few seats that only this machine itself gets, whose questions decide over the health of the device.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Kept for this machine: health checks, and a person who looks.
const OWN: usize = 4;
/// One address may have one in so many of all seats.
const SHARE: usize = 3;

/// How many seats each address has taken.
type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The seats of a listener.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    taken: Taken,
    share: usize,
}

/// A seat, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    of: Option<(IpAddr, Taken)>,
}

impl Seats {
    /// So many seats for everybody.
    pub(super) fn new(all: usize) -> Self {
        Seats {
            all: Arc::new(Semaphore::new(all)),
            own: Arc::new(Semaphore::new(OWN)),
            taken: Arc::default(),
            share: all.div_ceil(SHARE),
        }
    }

    /// A seat for a connection from this address, if there is one for it.
    pub(super) fn take(&self, from: IpAddr) -> Option<Seat> {
        let from = from.to_canonical();
        if from.is_loopback() {
            let permit = self.all.clone().try_acquire_owned();
            let permit = permit.or_else(|_| self.own.clone().try_acquire_owned());
            let permit = permit.ok()?;
            return Some(Seat {
                _permit: permit,
                of: None,
            });
        }
        let household = household(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&household).copied().unwrap_or(0);
        if count >= self.share {
            return None;
        }
        let permit = self.all.clone().try_acquire_owned().ok()?;
        taken.insert(household, count + 1);
        Some(Seat {
            _permit: permit,
            of: Some((household, self.taken.clone())),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((from, taken)) = &self.of else {
            return;
        };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(from) {
            *count -= 1;
            if *count == 0 {
                taken.remove(from);
            }
        }
    }
}

/// Whose share it is: an IPv6 host has as many addresses as it likes, all of them in its network of 64 bits.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn no_address_has_more_than_its_share_and_a_seat_is_free_again() {
        let seats = Seats::new(9);
        let mut held: Vec<Seat> = (0..3)
            .map(|_| seats.take(from("192.0.2.7")).unwrap())
            .collect();
        assert!(seats.take(from("192.0.2.7")).is_none());
        assert!(seats.take(from("::ffff:192.0.2.7")).is_none(), "the same");
        held.push(seats.take(from("192.0.2.8")).unwrap());
        drop(held);
        assert!(seats.take(from("192.0.2.7")).is_some());
        assert!(seats.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_one_household_has_one_share() {
        let seats = Seats::new(3);
        let _one = seats.take(from("2001:db8::1")).unwrap();
        assert!(seats.take(from("2001:db8::2")).is_none());
        assert!(seats.take(from("2001:db8:0:1::2")).is_some());
    }

    #[test]
    fn this_machine_gets_in_when_all_seats_are_taken() {
        let seats = Seats::new(3);
        let strangers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        let _held = strangers.map(|stranger| seats.take(from(stranger)).unwrap());
        assert!(seats.take(from("192.0.2.4")).is_none());
        let own: Vec<Seat> = (0..OWN)
            .map(|_| seats.take(from("127.0.0.1")).unwrap())
            .collect();
        assert!(seats.take(from("::1")).is_none());
        drop(own);
        assert!(seats.take(from("::1")).is_some());
    }
}
