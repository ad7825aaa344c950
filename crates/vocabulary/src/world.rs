//! The two things the pure crates are handed from outside: the time and randomness.

use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;

use crate::ContactKey;

/// Tells the time and waits for it. The real one is in `sendlab`; the simulator's runs two weeks in seconds.
pub trait Clock: Send + Sync + 'static {
    /// The time now, cut to microseconds.
    fn now(&self) -> Timestamp;

    /// Completes when [`Clock::now`] has reached `due`.
    fn sleep_until(&self, due: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Gives random bits: from the operating system in service, from a seed in tests.
pub trait Ids: Send + Sync + 'static {
    /// Fills `bytes` with random bits.
    fn fill(&self, bytes: &mut [u8]);

    /// A fresh contact key.
    fn contact_key(&self) -> ContactKey {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        ContactKey::from_random(u64::from_be_bytes(bytes))
    }

    /// 32 hexadecimal digits that nobody has seen before.
    fn token(&self) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Cuts a time to microseconds, the precision of everything that is stored.
#[must_use]
pub fn to_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
