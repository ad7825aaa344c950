//! The real clock and the operating system's randomness.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rand::TryRng;
use vocabulary::world::to_micros;
use vocabulary::{Clock, Ids, Timestamp};

/// Timers are asked again at least so often, because the wall clock can be set while they sleep.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// The clock on the wall.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock everybody else is handed")]
    fn now(&self) -> Timestamp {
        to_micros(Timestamp::now())
    }

    fn sleep_until(&self, due: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            while let Ok(left) = Duration::try_from(due.duration_since(self.now())) {
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(SLEEP_MAX)).await;
            }
        })
    }
}

/// The operating system's random bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rngs::SysRng.try_fill_bytes(bytes).expect("the operating system gives random bits");
    }
}
