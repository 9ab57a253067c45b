//! How is the cluster, as one server's STATUS tells it?

use std::net::SocketAddr;

/// What STATUS says. Lines that are not known, of a newer server, are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The id of the server that was asked; `None` while it has none.
    pub server: Option<u16>,
    /// What it is: `primary`, `backup`, `learner`, `waiting`.
    pub role: String,
    /// The round of the newest view that it knows.
    pub view: u64,
    /// The highest op that it knows to be on every member's disk.
    pub commit: u64,
    /// Its own address.
    pub member: Option<SocketAddr>,
    /// The service's address.
    pub service: Option<SocketAddr>,
    /// Who leads, as far as it knows: its id and address.
    pub primary: Option<(u16, SocketAddr)>,
    /// Every server that it knows, itself included, in the order of their ids.
    pub members: Vec<ClusterMember>,
    /// How many clients are connected to it.
    pub clients: Option<u64>,
    /// Why it does not serve: the reason behind `ready no`. `None` if it does.
    pub not_ready: Option<String>,
    /// What is to be done about that, where there is something.
    pub remedy: Option<String>,
}

/// A server of the cluster, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMember {
    /// Its id.
    pub server: u16,
    /// `in-sync`, `catching-up`, `down`, `unknown`, or a word of a newer server.
    pub state: String,
    /// Its own address.
    pub address: SocketAddr,
    /// How many ops it is behind, where that is known.
    pub lag: Option<u64>,
}

impl Cluster {
    /// Understands the lines of STATUS.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut cluster = Self::default();
        for line in lines {
            cluster.take_line(line);
        }
        cluster.members.sort_by_key(|member| member.server);
        cluster
    }

    /// How many servers are in sync.
    pub fn in_sync(&self) -> usize {
        let states = self.members.iter().map(|member| member.state.as_str());
        states.filter(|state| *state == "in-sync").count()
    }

    fn take_line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["server", id, role, ref pairs @ ..] => {
                self.server = id.parse().ok();
                self.role = role.to_owned();
                for pair in pairs.chunks_exact(2) {
                    match pair[0] {
                        "view" => self.view = pair[1].parse().unwrap_or_default(),
                        "commit" => self.commit = pair[1].parse().unwrap_or_default(),
                        "member" => self.member = pair[1].parse().ok(),
                        "service" => self.service = pair[1].parse().ok(),
                        _ => {}
                    }
                }
            }
            ["primary", id, address] => {
                self.primary = id.parse().ok().zip(address.parse().ok());
            }
            ["member", id, state, address, ref rest @ ..] => {
                if let (Ok(server), Ok(address)) = (id.parse(), address.parse()) {
                    let lag = match rest {
                        ["lag", lag, ..] => lag.parse().ok(),
                        _ => None,
                    };
                    self.members.push(ClusterMember {
                        server,
                        state: state.to_owned(),
                        address,
                        lag,
                    });
                }
            }
            ["clients", count] => self.clients = count.parse().ok(),
            ["remedy", ..] => {
                let remedy = line.strip_prefix("remedy").unwrap_or_default();
                self.remedy = Some(remedy.trim().to_owned());
            }
            ["ready", "no", ..] => {
                let why = line.strip_prefix("ready no").unwrap_or_default();
                self.not_ready = Some(why.trim().to_owned());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_design_shows_is_understood() {
        let cluster = Cluster::parse([
            "server 2 primary view 7 commit 1042 member 127.0.0.1:5002 service 127.0.0.1:5000",
            "primary 2 127.0.0.1:5002",
            "member 3 down 127.0.0.1:5003",
            "member 1 in-sync 127.0.0.1:5001 lag 4",
            "member 2 in-sync 127.0.0.1:5002 lag 0",
            "clients 12",
            "longest-turn-ms 12",
            "something new",
            "ready yes",
        ]);
        assert_eq!(
            (cluster.server, cluster.role.as_str()),
            (Some(2), "primary")
        );
        assert_eq!((cluster.view, cluster.commit), (7, 1042));
        assert_eq!(cluster.service, "127.0.0.1:5000".parse().ok());
        assert_eq!(cluster.primary.unwrap().0, 2);
        let members: Vec<_> = cluster
            .members
            .iter()
            .map(|it| (it.server, it.lag))
            .collect();
        assert_eq!(members, [(1, Some(4)), (2, Some(0)), (3, None)]);
        assert_eq!((cluster.in_sync(), cluster.clients), (2, Some(12)));
        assert_eq!(cluster.not_ready, None);
    }

    #[test]
    fn a_server_that_waits_says_why_and_one_that_is_new_has_no_id() {
        let cluster = Cluster::parse([
            "server - waiting view 0 commit 0 member 127.0.0.1:5001 service 127.0.0.1:5000",
            "primary unknown",
            "remedy start `server 127.0.0.1 5000 0`",
            "ready no waiting for 1 more backup",
        ]);
        assert_eq!((cluster.server, cluster.primary), (None, None));
        let why = cluster.not_ready.as_deref();
        assert_eq!(why, Some("waiting for 1 more backup"));
        let remedy = cluster.remedy.as_deref();
        assert_eq!(remedy, Some("start `server 127.0.0.1 5000 0`"));
        assert_eq!(
            Cluster::parse(["", "x", "member x y z"]),
            Cluster::default()
        );
    }
}
