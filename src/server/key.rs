//! Which secret do the servers share?

use std::path::Path;

use super::StartError;
use crate::journal::storage::leftovers::read_secret;
use crate::net::secure::{ClusterKey, InvalidKey};

/// Reads the cluster key out of a file, which has to be its owner's alone.
pub(super) fn read(path: &Path) -> Result<ClusterKey, StartError> {
    let invalid = |reason: InvalidKey| StartError::Key {
        path: path.to_owned(),
        reason,
    };
    let (contents, mode) = read_secret(path).map_err(|source| StartError::KeyUnreadable {
        path: path.to_owned(),
        source,
    })?;
    ClusterKey::check_mode(mode).map_err(invalid)?;
    ClusterKey::parse(&contents).map_err(invalid)
}
