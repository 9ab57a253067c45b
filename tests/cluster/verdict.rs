//! Does everything that a server says agree with what clients were told, and with what the other
//! servers say?

use std::net::SocketAddr;

use crate::common::eventually;
use crate::common::status::Status;
use crate::load::{Ledger, check_everything, check_same};
use crate::rig::Cluster;

/// Compares what clients were told with what the primary says, and that with what each of the
/// others says after it has become the primary. Only the last one is left.
#[track_caller]
pub fn check_on_all(cluster: &mut Cluster, ledger: &Ledger) {
    cluster.until_all_in_sync();
    cluster.assert_well();
    let first = cluster.primary();
    let logs = check_everything(cluster[first].member(), ledger);
    while cluster.running().len() > 1 {
        let killed = cluster.primary();
        cluster[killed].kill();
        let heir = cluster.primary();
        check_same(cluster[heir].member(), &logs);
    }
    cluster.assert_well();
}

/// Waits until the server of this id serves at this address.
#[track_caller]
pub fn served_at(address: SocketAddr, server: u16) {
    eventually("the service is where it was", || {
        let status = Status::ask(address)?;
        (status.serves() && status.server == Some(server)).then_some(())
    });
}
