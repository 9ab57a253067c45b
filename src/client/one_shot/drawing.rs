//! How does the state of a cluster look to people, and to programs?

use std::fmt::Write;
use std::net::SocketAddr;

use super::super::cluster::{Cluster, ClusterMember};
use super::super::show::{Colours, Role, escape_line, json_string};

/// The state of a cluster, as the server at `address` tells it.
pub(super) fn draw(cluster: &Cluster, address: SocketAddr, colours: Colours) -> String {
    let mut drawn = String::new();
    let _ = match &cluster.not_ready {
        None => writeln!(drawn, "{}", headline(cluster)),
        Some(why) => {
            let why = escape_line(why);
            let sentence = format!("clients are not let in here: {why}");
            writeln!(drawn, "{}", colours.paint(Role::Trouble, &sentence))
        }
    };
    if let Some(remedy) = &cluster.remedy {
        let _ = writeln!(drawn, "what to do: {}", escape_line(remedy));
    }
    draw_members(cluster, colours, &mut drawn);
    let answered = match cluster.server {
        Some(server) => format!("server {server} at {address} answered"),
        None => format!("a server without an id at {address} answered"),
    };
    let clients = cluster
        .clients
        .map_or_else(String::new, |clients| format!(", clients {clients}"));
    let (view, commit) = (cluster.view, cluster.commit);
    let _ = writeln!(drawn, "{answered}: view {view}, commit {commit}{clients}");
    drawn
}

fn headline(cluster: &Cluster) -> String {
    let (in_sync, all) = (cluster.in_sync(), cluster.members.len());
    format!("clients are let in; {in_sync} of {all} servers in sync")
}

/// A line for each server. What is as long as it likes stands last.
fn draw_members(cluster: &Cluster, colours: Colours, drawn: &mut String) {
    if cluster.members.is_empty() {
        return;
    }
    let head = format!(
        "  {:<7} {:<9} {:<12} {:>8}  {}",
        "server", "role", "state", "lag", "address"
    );
    let _ = writeln!(drawn, "{}", colours.paint(Role::Faint, &head));
    for member in &cluster.members {
        let lag = member.lag.map_or("-".to_owned(), |lag| lag.to_string());
        let line = format!(
            "  {:<7} {:<9} {:<12} {lag:>8}  {}",
            member.server,
            escape_line(role_of(cluster, member)),
            escape_line(&member.state),
            member.address,
        );
        let line = match member.state.as_str() {
            "in-sync" => line,
            _ => colours.paint(Role::Trouble, &line),
        };
        let _ = writeln!(drawn, "{line}");
    }
}

/// What a server is, as far as the one that answered can know.
fn role_of<'a>(cluster: &'a Cluster, member: &ClusterMember) -> &'a str {
    let is_primary = cluster.primary.is_some_and(|it| it.0 == member.server);
    match member.state.as_str() {
        _ if cluster.server == Some(member.server) => &cluster.role,
        _ if is_primary => "primary",
        "in-sync" => "backup",
        "catching-up" => "learner",
        _ => "-",
    }
}

/// The same as one object in one line.
pub(super) fn object(cluster: &Cluster, address: SocketAddr) -> String {
    let members: Vec<String> = cluster
        .members
        .iter()
        .map(|member| {
            format!(
                "{{\"server\":{},\"role\":{},\"state\":{},\"address\":\"{}\",\"lag\":{}}}",
                member.server,
                known_role(role_of(cluster, member)),
                json_string(&member.state),
                member.address,
                or_null(member.lag),
            )
        })
        .collect();
    let text = |text: &Option<String>| text.as_deref().map(json_string);
    let quoted = |address: Option<SocketAddr>| or_null(address.map(|it| format!("\"{it}\"")));
    format!(
        "{{\"answered_by\":\"{address}\",\"server\":{},\"role\":{},\"view\":{},\"commit\":{},\"member\":{},\"service\":{},\"primary\":{},\"members\":[{}],\"clients\":{},\"ready\":{},\"not_ready\":{},\"remedy\":{}}}\n",
        or_null(cluster.server),
        json_string(&cluster.role),
        cluster.view,
        cluster.commit,
        quoted(cluster.member),
        quoted(cluster.service),
        or_null(cluster.primary.map(|it| it.0)),
        members.join(","),
        or_null(cluster.clients),
        cluster.not_ready.is_none(),
        or_null(text(&cluster.not_ready)),
        or_null(text(&cluster.remedy)),
    )
}

fn known_role(role: &str) -> String {
    match role {
        "-" => "null".to_owned(),
        role => json_string(role),
    }
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "127.0.0.1:5000".parse().unwrap()
    }

    fn well() -> Cluster {
        Cluster::parse([
            "server 3 primary view 7 commit 19 member 127.0.0.1:5003 service 127.0.0.1:5000",
            "primary 3 127.0.0.1:5003",
            "member 1 in-sync 127.0.0.1:5001 lag 4",
            "member 2 down 127.0.0.1:5002",
            "member 3 in-sync 127.0.0.1:5003 lag 0",
            "clients 1",
            "ready yes",
        ])
    }

    fn waiting() -> Cluster {
        Cluster::parse([
            "server - waiting view 0 commit 0 member 127.0.0.1:5001 service 127.0.0.1:5000",
            "primary unknown",
            "remedy start `server 127.0.0.1 5000 0`",
            "ready no waiting for 1 more backup",
        ])
    }

    #[test]
    fn every_server_has_a_line_and_what_is_wrong_is_said_first() {
        assert_eq!(
            draw(&well(), address(), Colours::Off),
            "clients are let in; 2 of 3 servers in sync\n\
             \x20 server  role      state             lag  address\n\
             \x20 1       backup    in-sync             4  127.0.0.1:5001\n\
             \x20 2       -         down                -  127.0.0.1:5002\n\
             \x20 3       primary   in-sync             0  127.0.0.1:5003\n\
             server 3 at 127.0.0.1:5000 answered: view 7, commit 19, clients 1\n"
        );
        assert_eq!(
            draw(&waiting(), address(), Colours::Off),
            "clients are not let in here: waiting for 1 more backup\n\
             what to do: start `server 127.0.0.1 5000 0`\n\
             a server without an id at 127.0.0.1:5000 answered: view 0, commit 0\n"
        );
    }

    #[test]
    fn only_what_is_not_well_has_a_colour() {
        let drawn = draw(&well(), address(), Colours::On);
        let red: Vec<&str> = drawn.lines().filter(|it| it.contains("\x1b[31m")).collect();
        assert_eq!(red.len(), 1);
        assert!(red[0].contains("127.0.0.1:5002"));
    }

    #[test]
    fn programs_get_one_line_that_a_parser_reads() {
        let line = object(&well(), address());
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["members"][0]["lag"], 4);
        assert_eq!(value["members"][0]["role"], "backup");
        assert_eq!(value["members"][1]["role"], serde_json::Value::Null);
        assert_eq!(value["primary"], 3);
        assert_eq!(value["ready"], true);
        let value: serde_json::Value =
            serde_json::from_str(&object(&waiting(), address())).unwrap();
        assert_eq!(value["server"], serde_json::Value::Null);
        assert_eq!(value["not_ready"], "waiting for 1 more backup");
        assert_eq!(value["remedy"], "start `server 127.0.0.1 5000 0`");
    }
}
