//! How is the server? For people and for scripts, without a login.

use super::Server;
use crate::net::ConnectionId;
use crate::types::{RequestNumber, ViewNumber};
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
        let serves = self.replica.serves();
        let mut lines = vec![format!(
            "server {} {} view {} commit {} member {} service {service}",
            me.server,
            if serves { "primary" } else { "waiting" },
            self.replica
                .view()
                .map_or(crate::types::ViewNumber(0), |v| v.number)
                .round(),
            self.replica.commit(),
            me.address,
        )];
        if serves {
            lines.push(format!("primary {} {}", me.server, me.address));
        } else {
            lines.push("primary unknown".into());
        }
        for record in self.replica.cluster().iter().flat_map(|c| &c.servers) {
            lines.push(format!(
                "member {} in-sync {} lag 0",
                record.server, record.address
            ));
        }
        lines.push(format!("clients {}", self.clients.len()));
        lines.push(format!("longest-turn-ms {}", self.longest_turn.as_millis()));
        lines.push(format!("longest-sync-ms {}", self.longest_sync.as_millis()));
        lines.push(if serves {
            "ready yes".into()
        } else {
            "ready no the view is not in force yet".into()
        });
        lines
    }

    /// What this server says of itself at the beginning of a binary connection.
    pub(super) fn hello(&self) -> Hello {
        let me = self.replica.identity();
        let view = self.replica.view().map_or(ViewNumber(0), |view| view.number);
        Hello::server(super::SOFTWARE, me.cluster, me.server, view)
    }
}
