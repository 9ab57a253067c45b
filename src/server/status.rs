//! How is the server? For people and for scripts, without a login.

use super::Server;
use crate::net::ConnectionId;
use crate::replica::ServerStatus;
use crate::types::{RequestNumber, ServerId, ViewNumber};
use crate::wire::hello::Hello;
use crate::wire::message::{Answer, Item};
use crate::wire::text;

impl Server {
    /// Answers STATUS.
    pub(super) fn report_status(&mut self, id: ConnectionId, number: RequestNumber) {
        let lines = self.status_lines();
        self.answer_lines(id, number, lines.into_iter(), &Answer::Reported);
    }

    /// Answers HELP.
    pub(super) fn help(&mut self, id: ConnectionId, number: RequestNumber) {
        self.answer_lines(id, number, text::help_lines(), &Answer::Helped);
    }

    fn answer_lines(
        &mut self,
        id: ConnectionId,
        number: RequestNumber,
        lines: impl Iterator<Item = String>,
        answer: &Answer<'_>,
    ) {
        if let (Some(client), Some(out)) = (self.clients.get(&id), self.network.output(id)) {
            for line in lines {
                client.write_item(out, number, &Item::Line(&line));
            }
        }
        self.write_answer(id, number, answer);
    }

    /// STATUS's lines. What is said first never changes its place; readers skip lines that they
    /// do not know.
    fn status_lines(&self) -> Vec<String> {
        let me = self.replica.identity();
        let service = self.options.service;
        let name = match me.server {
            ServerId(0) => "-".to_owned(),
            server => server.to_string(),
        };
        let mut lines = vec![format!(
            "server {name} {} view {} commit {} member {} service {service}",
            self.replica.role(),
            self.replica.view().map_or(0, |view| view.number.round()),
            self.replica.commit(),
            me.address,
        )];
        lines.push(match self.replica.leader() {
            Some(leader) => format!("primary {} {}", leader.server, leader.address),
            None => "primary unknown".into(),
        });
        for ServerStatus {
            server,
            address,
            condition,
            lag,
        } in self.replica.servers()
        {
            let lag = lag.map_or_else(String::new, |lag| format!(" lag {lag}"));
            lines.push(format!("member {server} {condition} {address}{lag}"));
        }
        lines.push(format!("holds {}", self.replica.holds()));
        lines.push(format!("clients {}", self.clients.len()));
        lines.push(format!("longest-turn-ms {}", self.longest_turn.as_millis()));
        lines.push(format!("longest-sync-ms {}", self.longest_sync.as_millis()));
        if self.disk.has_damaged_store() {
            lines.push("damaged the store: start a server that has everything".into());
        }
        let not_ready = self.replica.not_ready();
        if let Some(waited) = self.gate.has_waited(self.now) {
            lines.push(format!("waiting-s {}", waited.as_secs()));
        }
        if let Some(what_to_do) = not_ready.as_ref().and_then(|why| self.what_to_do(why)) {
            lines.push(format!("remedy {what_to_do}"));
        }
        lines.push(match not_ready {
            None => "ready yes".into(),
            Some(why) => format!("ready no {why}"),
        });
        lines
    }

    /// What this server says of itself at the beginning of a binary connection.
    pub(super) fn hello(&self) -> Hello {
        let me = self.replica.identity();
        let view = self.replica.view().map_or(ViewNumber(0), |it| it.number);
        Hello::server(super::SOFTWARE, me.cluster, me.server, view)
    }
}
