//! What becomes of answers and deliveries?

use super::super::conversations::{Fate, Local, Source};
use super::{
    Asked, Chat, FIRST_PAGES_MAX, NAMES_MAX, PAGE_MESSAGES, PRESENCE_INTERVAL, Page, Parting,
};
use crate::client::event::{Message, Part};
use crate::client::failover::Client;
use crate::limits::HISTORY_MESSAGES_MAX;
use crate::types::{ConversationId, ErrorCode, OpNumber, RequestNumber, Time};
use crate::wire::message::{Answer, Refusal};

impl Chat {
    /// A message came.
    pub fn delivered(&mut self, message: Message) {
        self.conversations.take_in(message, Source::Delivery);
        self.conversations.trim(self.open);
    }

    /// A part of an answer came.
    pub fn take_part(&mut self, number: RequestNumber, part: Part) {
        let Some(asked) = self.asked.get_mut(&number) else {
            return;
        };
        match (asked, part) {
            (Asked::First { oldest, .. }, Part::Message(message)) => {
                *oldest = (*oldest).min(message.id);
                self.conversations.take_in(message, Source::History);
            }
            (Asked::Older { .. }, Part::Message(message)) => {
                self.conversations.take_in(message, Source::History);
            }
            (Asked::Accounts, Part::Account { name, online }) => {
                self.keep_name(name.as_str());
                if let Some(Page::Accounts { accounts, .. }) = &mut self.page {
                    accounts.push((name, online));
                }
            }
            (Asked::Names { .. }, Part::Account { name, .. }) => self.keep_name(name.as_str()),
            (Asked::Whether { is_there, .. }, Part::Account { .. }) => *is_there = true,
            (Asked::Presence { online, .. }, Part::Account { online: is, .. }) => {
                *online = Some(is);
            }
            _ => {}
        }
    }

    fn keep_name(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned());
        }
    }

    /// A request has its answer.
    pub fn answered(
        &mut self,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        client: &mut Client,
        now: Time,
    ) {
        let Some(asked) = self.asked.remove(&number) else {
            return;
        };
        match (asked, answer) {
            (Asked::Send(key), answer) => self.sent(key, number, answer, now),
            (Asked::First { pages, oldest }, answer) => {
                self.first_came(pages, oldest, &answer, client, now);
            }
            (Asked::Older { key, before }, answer) => self.older_came(key, before, &answer),
            (Asked::Accounts, Ok(_)) => {
                if let Some(Page::Accounts { is_whole, .. }) = &mut self.page {
                    *is_whole = true;
                }
            }
            (Asked::Names { line }, Ok(_)) => self.names_came(&line),
            (
                Asked::Whether {
                    name,
                    text,
                    is_there,
                },
                Ok(_),
            ) => match is_there {
                true => {
                    self.names.insert(name.as_str().to_owned());
                    if let Err(sentence) = self.go_to_known(name, text, client, now) {
                        self.complain(sentence);
                    }
                }
                false => self.complain(format!(
                    "there is no command and no account /{name}; /help lists the commands"
                )),
            },
            (Asked::Presence { name, online }, answer) => {
                if answer.is_ok() {
                    self.presence = online.map(|online| (name, online));
                }
                self.presence_at = Some(now + PRESENCE_INTERVAL);
            }
            (Asked::Logout, _) => {
                let to_create = self.to_create;
                self.parting = Some(Parting::LoggedOut { to_create });
            }
            (Asked::Delete, Ok(_)) => self.parting = Some(Parting::Deleted),
            (Asked::Delete, Err(refusal)) => {
                let sentence = match refusal.code {
                    ErrorCode::BadLogin => "nothing was deleted: the password is wrong".to_owned(),
                    _ => format!("nothing was deleted: {}", refusal.sentence),
                };
                self.complain(sentence);
            }
            // Whoever reads it again is told again.
            (Asked::Read, _) => {}
            (_, Err(refusal)) => self.complain(refusal.sentence),
        }
    }

    /// A message has its answer: only now it is a message, and only with this id.
    fn sent(
        &mut self,
        key: super::Key,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        now: Time,
    ) {
        let Some(local) = self.conversations.take_pending(key, number) else {
            return;
        };
        let refusal = match answer {
            Ok(Answer::Sent { id }) => return self.is_message(key, id, local, now),
            Ok(_) => ErrorCode::Internal.into(),
            Err(refusal) => refusal,
        };
        let fate = match refusal.code {
            ErrorCode::UnknownOutcome => Fate::Unknown,
            _ => Fate::Refused(refusal.sentence.into_owned()),
        };
        self.conversations.put_behind(key, Local { fate, ..local });
    }

    fn is_message(&mut self, key: super::Key, id: OpNumber, local: Local, now: Time) {
        let me = self.me.as_str().to_owned();
        let Some(conversation) = self.conversations.of_mut(key) else {
            return;
        };
        // A message to oneself may have been delivered before.
        if conversation.messages.contains_key(&id) {
            return;
        }
        let message = Message {
            id,
            time: self.wall.time(now),
            // A conversation is called after its first message. Whether this is it, is known when there is
            // an answer that says so.
            conversation: conversation.id.unwrap_or(ConversationId(0)),
            from: me,
            to: conversation.peer.clone(),
            text: local.text,
        };
        conversation.put(message);
    }

    /// The newest messages are there, among them those of the conversations that are listed.
    fn first_came(
        &mut self,
        pages: u32,
        oldest: OpNumber,
        answer: &Result<Answer<'static>, Refusal>,
        client: &mut Client,
        now: Time,
    ) {
        self.is_loading = false;
        let count = match answer {
            Ok(Answer::Messages { count }) => *count,
            Ok(_) => 0,
            Err(refusal) => return self.complain(refusal.sentence.clone()),
        };
        let is_all = count < u64::from(HISTORY_MESSAGES_MAX);
        for conversation in self.conversations.all_mut() {
            if conversation.loaded_from > oldest {
                conversation.loaded_from = oldest;
            }
            conversation.is_complete |= is_all;
        }
        if self.open.is_none() && pages == 0 {
            self.open_newest(client, now);
        }
        if !is_all && pages + 1 < FIRST_PAGES_MAX {
            self.ask_first(pages + 1, oldest, client, now);
        }
        self.conversations.trim(self.open);
    }

    /// The conversation in which something happened last is opened, but for a narrow screen, on which
    /// the list is.
    fn open_newest(&mut self, client: &mut Client, now: Time) {
        let ordered = self.conversations.in_order();
        if let Some(key) = ordered.first().map(|(key, _)| *key) {
            self.open(key, client, now);
            self.list_is_shown = true;
        }
    }

    fn older_came(
        &mut self,
        key: super::Key,
        before: OpNumber,
        answer: &Result<Answer<'static>, Refusal>,
    ) {
        let Some(conversation) = self.conversations.of_mut(key) else {
            return;
        };
        let count = match answer {
            Ok(Answer::Messages { count }) => *count,
            Ok(_) => 0,
            // There is nothing older with somebody who is not there; the first message to them says so.
            Err(_) => 0,
        };
        // It may have lost what this page was to stand above.
        if conversation.loaded_from != before {
            return;
        }
        if count < u64::from(PAGE_MESSAGES) {
            conversation.is_complete = true;
        }
        let mut below = conversation.messages.range(..before).rev();
        let oldest = below.nth((count as usize).saturating_sub(1));
        if count > 0
            && let Some((oldest, _)) = oldest
        {
            conversation.loaded_from = *oldest;
        }
    }
}
