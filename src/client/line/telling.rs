//! How are answers, deliveries and mistakes told to a person?

use std::time::Duration;

use super::super::command::USAGE;
use super::super::event::{Message, Part};
use super::super::failover::{Change, Client};
use super::super::show::{Role, escape_line};
use super::{Asked, Awaited, Kind, LineMode, Shown, UNREAD_TIME_MAX};
use crate::types::{Name, RequestNumber, Time};
use crate::wire::message::{Answer, HistoryScope, NoteKind, Refusal};

/// Only when there has been no server for so long is it said where none was found.
const TOLD_AFTER: Duration = Duration::from_secs(1);

impl LineMode {
    pub(super) fn show_part(&mut self, number: RequestNumber, part: Part, client: &Client) {
        match part {
            Part::Line(line) => self.say(&escape_line(&line)),
            Part::Account { name, online } => {
                let presence = if online { "online" } else { "offline" };
                let role = if online { Role::Person } else { Role::Faint };
                let presence = self.options.colours.paint(role, presence);
                self.say(&format!("{name} {presence}"));
            }
            Part::Message(message) => {
                if let Some(Asked {
                    kind: Kind::History { oldest, .. },
                    ..
                }) = self.asked.get_mut(&number)
                {
                    oldest.get_or_insert(message.id);
                }
                self.show_message(&message, client);
            }
        }
    }

    pub(super) fn delivered(&mut self, message: &Message, client: &mut Client, now: Time) {
        self.show_message(message, client);
        let is_for_me = me(client).is_some_and(|me| me.as_str() == message.to);
        if is_for_me {
            self.shown.given = self.shown.given.max(message.id);
            let left = self.awaited.map_or(0, |awaited| awaited.messages - 1);
            self.await_unread(left, now);
            self.go_on(client, now);
        }
    }

    fn await_unread(&mut self, messages: u64, now: Time) {
        self.awaited = (messages > 0).then(|| Awaited {
            messages,
            at_latest: now + UNREAD_TIME_MAX,
        });
    }

    fn show_message(&mut self, message: &Message, client: &Client) {
        let shown = self.conversation.message(message.view(), me(client));
        self.erase_prompt();
        self.out.push_str(&shown);
    }

    pub(super) fn answered(
        &mut self,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        client: &mut Client,
        now: Time,
    ) {
        let Some(asked) = self.asked.remove(&number) else {
            return;
        };
        self.told.clear();
        match (&asked.kind, answer) {
            // Nobody asked for it. If it was refused, there is a reason that is told elsewhere.
            (Kind::Read(up_to), _) => self.shown.read = self.shown.read.max(*up_to),
            (Kind::Leave, _) => {
                if let Some(leaving) = self.leaving.take() {
                    self.finish(leaving.exit);
                }
            }
            (_, Ok(answer)) => self.show_answer(&asked, &answer, now),
            (_, Err(refusal)) => self.refuse(&asked.typed, &refusal),
        }
        self.call_read(client, now);
        self.go_on(client, now);
    }

    fn show_answer(&mut self, asked: &Asked, answer: &Answer<'_>, now: Time) {
        match answer {
            Answer::LoggedIn { name, unread, .. } => {
                self.shown = Shown::default();
                self.await_unread(*unread, now);
                let unread = match unread {
                    0 => "no unread messages".to_owned(),
                    1 => "1 unread message:".to_owned(),
                    unread => format!("{unread} unread messages:"),
                };
                self.say(&format!("you are {name}; {unread}"));
            }
            Answer::Created { name } => {
                self.say(&format!("created {name}; now LOGIN {name}"));
            }
            Answer::Pong => {
                let milliseconds = now.since(asked.asked_at).as_secs_f64() * 1000.0;
                self.say(&format!("pong after {milliseconds:.1} ms"));
            }
            Answer::LoggedOut => self.say("logged out"),
            Answer::Deleted { name } => self.say(&format!("deleted {name}")),
            Answer::Listed { count: 1 } => self.say_faintly("1 account"),
            Answer::Listed { count } => self.say_faintly(&format!("{count} accounts")),
            Answer::Sent { id } => self.say_faintly(&format!("sent, id {id}")),
            Answer::Messages { count } => self.show_end_of_messages(&asked.kind, *count),
            Answer::Acknowledged { up_to } => self.say(&format!("read up to {up_to}")),
            Answer::You { name } => self.say(&format!("you are {name}")),
            Answer::Helped | Answer::Reported | Answer::Bye => {}
            Answer::Refused(refusal) => self.refuse(&asked.typed, refusal),
        }
    }

    fn show_end_of_messages(&mut self, kind: &Kind, count: u64) {
        if count == 0 {
            return self.say_faintly("no messages");
        }
        let plural = if count == 1 { "" } else { "s" };
        let mut line = format!("{count} message{plural}");
        if let Kind::History {
            scope,
            limit,
            oldest: Some(oldest),
        } = kind
            && count == u64::from(*limit)
        {
            let name = match scope {
                HistoryScope::With(name) => name.as_str(),
                HistoryScope::All | HistoryScope::Conversation(_) => "*",
            };
            line.push_str(&format!("; older ones: HISTORY {name} {limit} {oldest}"));
        }
        self.say_faintly(&line);
    }

    pub(super) fn noted(&mut self, about: NoteKind, sentence: &str) {
        if matches!(about, NoteKind::SessionEnded | NoteKind::AccountDeleted) {
            self.awaited = None;
        }
        // Who the server is has been told by its hello.
        if about != NoteKind::Greeting {
            self.say_faintly(&format!("-- {}", escape_line(sentence)));
        }
    }

    /// It is not as it was with the servers.
    pub(super) fn changed(&mut self, change: Change, client: &mut Client, now: Time) {
        match &change {
            Change::Up {
                address, software, ..
            } if !self.greeted => {
                self.told.clear();
                return self.greeted(software, *address, client, now);
            }
            // Who hears nothing of a short absence has not lost anything by it.
            Change::Up { .. } if !self.down_is_told => return,
            Change::Up { .. } => self.down_is_told = false,
            Change::Unreachable { .. } | Change::Waiting { .. }
                if client.down_for(now).is_some_and(|it| it < TOLD_AFTER) =>
            {
                return;
            }
            Change::Down { .. } => self.down_is_told = true,
            Change::Unreachable { .. } | Change::Waiting { .. } => self.down_is_told = true,
            Change::LoggedOut { .. } => self.awaited = None,
        }
        let mut sentence = change.to_string();
        let waiting = self.asked.values().filter(|it| !it.kind.is_read()).count();
        if matches!(change, Change::Down { .. }) && waiting > 0 {
            sentence.push_str(&format!(" ({waiting} unanswered)"));
        }
        // One round of looking is like the other, but for the order.
        let news = match &change {
            Change::Unreachable { tried, .. } => tried.iter().map(|it| format!("{it:?}")).collect(),
            _ => vec![sentence.clone()],
        };
        let known = self.told.len();
        self.told.extend(news);
        if self.told.len() == known {
            return;
        }
        if matches!(change, Change::Up { .. }) && client.identity().is_some() {
            self.told.clear();
        }
        match self.options.has_person {
            true => self.say_faintly(&format!("-- {}", escape_line(&sentence))),
            false => {
                let line = format!("client: {}\n", escape_line(&sentence));
                self.error.push_str(&line);
            }
        }
    }

    /// Names what has no answer: nobody may take it for done.
    pub(super) fn name_unanswered(&mut self) {
        for asked in std::mem::take(&mut self.asked).into_values() {
            match asked.kind {
                Kind::Read(_) | Kind::Leave => {}
                Kind::Send => self.refuse_sentence(
                    &asked.typed,
                    "not acknowledged: it may or may not have been sent; look with LOG",
                ),
                Kind::History { .. } | Kind::Plain => self.refuse_sentence(
                    &asked.typed,
                    "not acknowledged: it may or may not have been done",
                ),
            }
        }
    }

    pub(super) fn show_help(&mut self) {
        for (command, arguments, purpose) in USAGE {
            let call = format!("{command} {arguments}");
            self.say(&format!("{call:<32} {purpose}"));
        }
        if !self.options.output_is_read {
            self.say(
                "What is shown here stays unread, and comes again at the next login, until ACK.",
            );
        }
    }

    pub(super) fn refuse(&mut self, typed: &str, refusal: &Refusal) {
        let word = refusal.code.word();
        let sentence = escape_line(&refusal.sentence);
        self.refuse_sentence(typed, &format!("{sentence} ({word})"));
    }

    pub(super) fn refuse_sentence(&mut self, typed: &str, sentence: &str) {
        self.had_trouble = true;
        let line = match typed {
            "" => sentence.to_owned(),
            typed => format!("{}: {sentence}", escape_line(typed)),
        };
        let line = self.options.colours.paint(Role::Trouble, &line);
        self.say(&line);
    }

    pub(super) fn say_faintly(&mut self, line: &str) {
        let line = self.options.colours.paint(Role::Faint, line);
        self.say(&line);
    }

    pub(super) fn say(&mut self, line: &str) {
        self.erase_prompt();
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// Clears the line of the prompt for what is to be written there. What was typed behind it is still
    /// in the terminal's line, though it is not to be seen any more.
    fn erase_prompt(&mut self) {
        if self.prompt_is_shown {
            self.out.push_str("\r\x1b[K");
            self.prompt_is_shown = false;
        }
    }
}

/// As whom one is logged in.
fn me(client: &Client) -> Option<Name> {
    client.identity().map(|identity| identity.name)
}
