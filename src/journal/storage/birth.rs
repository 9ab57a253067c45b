//! When was a file made? A copy is younger than its original, whatever it says of itself.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// When the file system says that a file or folder was made, in nanoseconds since 1970; `None` if it
/// does not say.
pub fn made_at(path: &Path) -> Option<u64> {
    let made = fs::metadata(path).ok()?.created().ok()?;
    let since = made.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
