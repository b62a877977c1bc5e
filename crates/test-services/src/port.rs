//! Ports that nobody else takes while they are held.
//!
//! They lie below those that the kernel gives to clients: on loopback a client that tries again and
//! again to reach a port where nothing listens can be given that very port, is then connected to
//! itself, and the server cannot come back. Two processes do not choose the same port either,
//! though the server on it may be down: each holds a name in the kernel for as long as it lives.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port on 127.0.0.1, ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _held: UnixListener,
}

impl Port {
    /// A port where nothing listens, and that no other service has.
    ///
    /// # Panics
    /// When all are taken.
    pub(crate) fn free() -> Self {
        // Processes begin at different places, so that they rarely meet.
        let begin = std::process::id().wrapping_mul(97);
        (0..u32::from(COUNT))
            .map(|step| FIRST + (begin.wrapping_add(step) % u32::from(COUNT)) as u16)
            .find_map(Self::hold)
            .expect("a port from 20000 to 31999 is free")
    }

    fn hold(number: u16) -> Option<Self> {
        let name = format!("forebay-service-port-{number}");
        let name = SocketAddr::from_abstract_name(name).expect("the name is short");
        let held = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind(("127.0.0.1", number)).ok()?;
        Some(Self {
            number,
            _held: held,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn a_port_is_held_until_it_is_dropped() {
        let first = Port::free();
        let number = first.number;
        assert!((20_000..32_000).contains(&number), "{number}");
        assert!(Port::hold(number).is_none(), "it is taken");
        assert_ne!(Port::free().number, number);
        drop(first);
        assert!(Port::hold(number).is_some(), "it is free again");
    }
}
