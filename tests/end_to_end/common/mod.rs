//! What do the tests stand on? Servers on ports and folders of their own, and clients that wait
//! for an answer or fail, never for a time.

pub mod binary;
pub mod closed_loop;
pub mod files;
pub mod process;
pub mod random;
pub mod server;
pub mod status;
pub mod text;

use std::time::{Duration, Instant};

/// How long anything may take before a test says that it does not happen. Generous: it is only
/// ever waited out by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The password of every account whose password is not what is being tested.
pub const PASSWORD: &str = "correct-horse-battery";

/// Asks again and again until there is an answer, and fails with `what` when there is none.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
