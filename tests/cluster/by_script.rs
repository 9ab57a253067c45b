//! What does somebody's script see that starts three servers from three folders, a second apart,
//! kills them and starts them again, with nothing but the three arguments?

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::text::{TextClient, texts};
use crate::rig::address::own_service;
use crate::rig::hosts::{Host, Network};
use crate::rig::{Cluster, Server};

/// How long a script waits between two of its steps.
const STEP: Duration = Duration::from_secs(1);

#[test]
fn three_folders_on_loopback() {
    play(own_service(), None);
}

#[test]
fn three_folders_on_the_hosts_own_address() {
    let Some(network) = Network::of(1) else {
        return;
    };
    let host = &network.hosts()[0];
    // Neither loopback nor with a key: they are of the same host all the same.
    let service = (host.address(), 5000).into();
    host.inside(|| play(service, Some(host)));
}

/// Plays it all, and prints how long after each step clients were served. The promise is a second
/// or two; a machine that is busy with other tests gets longer.
fn play(service: SocketAddr, host: Option<&Host>) {
    let mut cluster = Cluster::at(service, 0, &[]);
    for name in ["one", "two", "three"] {
        let folder = cluster.folder().join(name);
        let server = Server::new(name, service, folder);
        cluster.add_server(match host {
            None => server,
            Some(host) => server.on(host),
        });
    }
    let mut script = Script {
        cluster,
        sent: Vec::new(),
    };
    // The backups come before the primary.
    script.cluster[1].start_to_join();
    std::thread::sleep(STEP);
    script.cluster[2].start_to_join();
    std::thread::sleep(STEP);
    script.cluster[0].start_as_primary();
    script.served("all are started");
    script.cluster.until_all_in_sync();

    for killed in [0, 1] {
        script.cluster[killed].kill();
        script.served(&format!("{killed} is killed"));
        std::thread::sleep(STEP);
    }
    for started in [1, 0] {
        script.cluster[started].start();
        script.served(&format!("{started} is started again"));
        script.cluster.until_in_sync(started);
    }
    script.cluster[2].kill();
    script.served("2 is killed");
    script.cluster.assert_well();
}

struct Script {
    cluster: Cluster,
    sent: Vec<String>,
}

impl Script {
    /// Sends a message at the service's address, as soon as that is possible, and looks whether all
    /// those before are there.
    fn served(&mut self, after: &str) {
        let begin = Instant::now();
        let service = self.cluster.service();
        let mut client = crate::common::eventually(&format!("served after {after}"), || {
            let mut client = TextClient::try_connect_for(service, STEP)?;
            if self.sent.is_empty() {
                client.try_ask("CREATE alice correct-horse-battery")?;
            }
            let answer = client.try_ask("LOGIN alice correct-horse-battery")?;
            answer.last.starts_with("OK ").then_some(client)
        });
        client.send("alice", after);
        println!("served {} ms after {after}", begin.elapsed().as_millis());
        self.sent.push(after.to_string());
        client.ping();
        client.pushed();
        assert_eq!(texts(&client.messages("LOG")), self.sent);
    }
}
