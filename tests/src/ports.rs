//! Ports for processes that must be told theirs. The node binds with SO_REUSEPORT, so two nodes that were given the
//! same "free" port would silently share it: a lock file per port keeps all test processes of this machine apart.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel draws ports by itself.
const FIRST: u16 = 18_000;
const COUNT: u16 = 8_000;

/// A port of this process for as long as it is held.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free one.
    pub(crate) fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let folder = std::env::temp_dir().join("larder-test-ports");
        std::fs::create_dir_all(&folder).expect("a folder for the port locks");
        let start = (std::process::id() % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let number = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let path = folder.join(number.to_string());
            let Ok(lock) = File::options().create(true).append(true).open(path) else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// The address to listen on.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.number).into()
    }
}
