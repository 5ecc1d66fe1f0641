//! The ports of services. All of them, and the machine's own programs, share one network, where a port has one owner at a time.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use tokio::sync::watch;

/// The ports that services of running jobs have. Jobs of a run take turns at them.
#[derive(Debug, Default)]
pub(super) struct Ports(watch::Sender<BTreeSet<u16>>);

/// Ports that are one job's until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    ports: BTreeSet<u16>,
    claimed: watch::Sender<BTreeSet<u16>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claimed.send_modify(|claimed| claimed.retain(|port| !self.ports.contains(port)));
    }
}

impl Ports {
    /// Waits until no other job has any of these, and takes all of them at once: who has some never waits for more. Says `waiting`
    /// if it has to.
    pub(super) async fn claim(&self, ports: BTreeSet<u16>, waiting: impl FnOnce(&BTreeSet<u16>)) -> Claim {
        let mut changes = self.0.subscribe();
        let mut waiting = Some(waiting);
        loop {
            let mut free = false;
            self.0.send_if_modified(|claimed| {
                free = claimed.is_disjoint(&ports);
                if free {
                    claimed.extend(&ports);
                }
                false // nobody waits for ports to be taken
            });
            if free {
                return Claim { ports, claimed: self.0.clone() };
            }
            if let Some(waiting) = waiting.take() {
                waiting(&ports);
            }
            let _ = changes.changed().await; // it fails without a sender, and that is here
        }
    }
}

/// Whether another program listens at a port, so that a service could not.
pub(super) fn is_taken(port: u16) -> bool {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => false,
        Err(e) if e.kind() == ErrorKind::AddrInUse => true,
        // A port that only root may have: whoever answers there is not the service.
        Err(_) => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_has_a_port() {
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let listener = TcpListener::bind((address, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(is_taken(port), "{address}");
            drop(listener);
            assert!(!is_taken(port), "{address}");
        }
    }

    #[tokio::test]
    async fn jobs_take_turns() {
        let ports = Ports::default();
        let quiet = |_: &BTreeSet<u16>| {};
        let first = ports.claim([1, 2].into(), quiet).await;
        let _other = ports.claim([3].into(), quiet).await;
        let (mut told, mut second) = (false, std::pin::pin!(ports.claim([2, 4].into(), quiet)));
        tokio::select! {
            biased;
            _ = &mut second => {}
            () = std::future::ready(()) => told = true,
        }
        assert!(told, "2 belongs to the first");
        drop(first);
        let second = second.await;
        assert_eq!(*second.claimed.borrow(), [2, 3, 4].into());
    }
}
