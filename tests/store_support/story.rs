//! Turns arbitrary actions into changes that the chat could have made.

use lastword::chat::change::{Change, Creation, Message, SessionImage};
use lastword::store::Batch;
use lastword::types::{
    AccountId, Cluster, ClusterId, ConversationId, ErrorCode, Incarnation, Lineage, Member, Name,
    OpNumber, Outcome, RequestNumber, SecretHash, ServerId, ServerRecord, SessionId, Timestamp,
    View, ViewMark, ViewNumber,
};
use proptest::prelude::*;

/// Something that somebody does. Small numbers choose among what there is at that moment.
#[derive(Clone, Debug)]
pub enum Action {
    Create(u8),
    Delete(u8),
    Send { from: u8, to: u8, text: TextKind },
    ReadAll { who: u8, up_to: u8 },
    ReadConversation { who: u8, which: u8, up_to: u8 },
    UseSession { who: u8, which: u8, number: u64 },
    EndSession(u8),
    RememberCreation(u64),
    ForgetCreation,
    ChangeCluster(u8),
    Nothing,
}

#[derive(Clone, Debug)]
pub enum TextKind {
    Short(String),
    Long,
}

impl Action {
    pub fn any() -> impl Strategy<Value = Self> {
        let small = any::<u8>;
        let text = prop_oneof![
            6 => "[a-zä\u{1F600}]{1,12}".prop_map(TextKind::Short),
            1 => Just(TextKind::Long),
        ];
        prop_oneof![
            3 => small().prop_map(Self::Create),
            1 => small().prop_map(Self::Delete),
            16 => (small(), small(), text).prop_map(|(from, to, text)| Self::Send { from, to, text }),
            2 => (small(), small()).prop_map(|(who, up_to)| Self::ReadAll { who, up_to }),
            4 => (small(), small(), small())
                .prop_map(|(who, which, up_to)| Self::ReadConversation { who, which, up_to }),
            4 => (small(), small(), any::<u64>())
                .prop_map(|(who, which, number)| Self::UseSession { who, which, number }),
            1 => small().prop_map(Self::EndSession),
            1 => any::<u64>().prop_map(Self::RememberCreation),
            1 => Just(Self::ForgetCreation),
            1 => small().prop_map(Self::ChangeCluster),
            1 => Just(Self::Nothing),
        ]
    }
}

/// What has happened so far, as far as it decides what can happen next.
#[derive(Default)]
pub struct Story {
    op: u64,
    clock: u64,
    living: Vec<(AccountId, u8)>,
    conversations: Vec<(ConversationId, [AccountId; 2])>,
    sessions: Vec<SessionImage>,
    creations: Vec<OpNumber>,
}

impl Story {
    /// One op for each action.
    pub fn batch(&mut self, actions: &[Action]) -> Batch {
        let mut changes = Vec::new();
        for action in actions {
            self.op += 1;
            self.act(action, &mut changes);
        }
        Batch {
            applied: OpNumber(self.op),
            clock: Timestamp(self.clock),
            changes,
        }
    }

    fn act(&mut self, action: &Action, changes: &mut Vec<Change>) {
        match action {
            Action::Create(name) => self.create(name % 6, changes),
            Action::Delete(who) => self.delete(*who, changes),
            Action::Send { from, to, text } => self.send(*from, *to, text, changes),
            Action::ReadAll { who, up_to } => {
                if let Some(account) = self.somebody(*who) {
                    let up_to = self.some_op(*up_to);
                    changes.push(Change::AllRead { account, up_to });
                }
            }
            Action::ReadConversation { who, which, up_to } => {
                let Some(account) = self.somebody(*who) else {
                    return;
                };
                let own: Vec<_> = self
                    .conversations
                    .iter()
                    .filter(|(_, members)| members.contains(&account))
                    .collect();
                if let Some((conversation, _)) = pick(&own, *which) {
                    changes.push(Change::ConversationRead {
                        account,
                        conversation: *conversation,
                        up_to: self.some_op(*up_to),
                    });
                }
            }
            Action::UseSession { who, which, number } => {
                self.use_session(*who, *which, *number, changes)
            }
            Action::EndSession(which) => {
                if !self.sessions.is_empty() {
                    let at = usize::from(*which) % self.sessions.len();
                    let session = self.sessions.remove(at).id;
                    changes.push(Change::SessionEnded { session });
                }
            }
            Action::RememberCreation(number) => self.remember_creation(*number, changes),
            Action::ForgetCreation => {
                if !self.creations.is_empty() {
                    let op = self.creations.remove(0);
                    changes.push(Change::CreationForgotten { op });
                }
            }
            Action::ChangeCluster(seed) => changes.push(Change::Cluster(cluster(*seed))),
            Action::Nothing => {}
        }
    }

    fn create(&mut self, name: u8, changes: &mut Vec<Change>) {
        if self.living.iter().any(|(_, taken)| *taken == name) {
            return;
        }
        let id = AccountId(self.op);
        self.living.push((id, name));
        changes.push(Change::AccountCreated {
            id,
            name: Name::parse(&format!("name-{name}")).unwrap(),
            password_hash: format!("$argon2id$of-op-{id}"),
        });
    }

    fn delete(&mut self, who: u8, changes: &mut Vec<Change>) {
        if let Some(id) = self.somebody(who) {
            self.living.retain(|(living, _)| *living != id);
            self.sessions.retain(|session| session.account != id);
            changes.push(Change::AccountDeleted { id });
        }
    }

    fn send(&mut self, from: u8, to: u8, text: &TextKind, changes: &mut Vec<Change>) {
        let (Some(sender), Some(recipient)) = (self.somebody(from), self.somebody(to)) else {
            return;
        };
        self.clock += u64::from(from % 2);
        let members = [sender.min(recipient), sender.max(recipient)];
        let known = self.conversations.iter().find(|(_, m)| *m == members);
        let conversation = match known {
            Some((conversation, _)) => *conversation,
            None => {
                let id = ConversationId(self.op);
                self.conversations.push((id, members));
                changes.push(Change::ConversationBegun { id, members });
                id
            }
        };
        changes.push(Change::MessageSent(Message {
            id: OpNumber(self.op),
            time: Timestamp(self.clock),
            conversation,
            sender,
            recipient,
            text: match text {
                TextKind::Short(text) => text.clone(),
                TextKind::Long => "x".repeat(lastword::limits::TEXT_BYTES_MAX),
            },
        }));
    }

    fn use_session(&mut self, who: u8, which: u8, number: u64, changes: &mut Vec<Change>) {
        let Some(account) = self.somebody(who) else {
            return;
        };
        let id = SessionId((account.0 as u128) << 100 | u128::from(which % 3));
        let known = self.sessions.iter().position(|session| session.id == id);
        let at = known.unwrap_or_else(|| {
            self.sessions.push(SessionImage {
                id,
                account,
                secret_hash: SecretHash([which; 32]),
                last_used: OpNumber(self.op),
                lowest_open: RequestNumber(number / 2),
                answers: Vec::new(),
            });
            self.sessions.len() - 1
        });
        let session = &mut self.sessions[at];
        session.last_used = OpNumber(self.op);
        session
            .answers
            .push((RequestNumber(number), outcome(number)));
        session.answers.sort_by_key(|(number, _)| *number);
        changes.push(Change::Session(session.clone()));
    }

    fn remember_creation(&mut self, number: u64, changes: &mut Vec<Change>) {
        let op = OpNumber(self.op);
        self.creations.push(op);
        changes.push(Change::CreationRemembered(Creation {
            op,
            session: SessionId(u128::from(number) << 64 | 7),
            number: RequestNumber(number),
            outcome: outcome(number),
        }));
    }

    fn somebody(&self, who: u8) -> Option<AccountId> {
        pick(&self.living, who).map(|(id, _)| *id)
    }

    fn some_op(&self, up_to: u8) -> OpNumber {
        OpNumber(self.op * u64::from(up_to) / 255)
    }
}

fn pick<T>(among: &[T], which: u8) -> Option<&T> {
    let count = among.len().max(1);
    among.get(usize::from(which) % count)
}

fn outcome(seed: u64) -> Outcome {
    match seed % 7 {
        0 => Outcome::Created(AccountId(seed)),
        1 => Outcome::SessionOpened,
        2 => Outcome::SessionClosed,
        3 => Outcome::Deleted,
        4 => Outcome::Sent(OpNumber(seed)),
        5 => Outcome::Acknowledged(OpNumber(seed)),
        _ => Outcome::Refused(ErrorCode::ALL[seed as usize % ErrorCode::ALL.len()]),
    }
}

fn cluster(seed: u8) -> Cluster {
    let server = ServerId(seed.into());
    let incarnation = Incarnation {
        counter: seed.into(),
        random: u64::MAX - u64::from(seed),
    };
    Cluster {
        id: ClusterId(u128::MAX / 3),
        backups: seed.into(),
        formed: seed.is_multiple_of(2),
        servers: vec![
            ServerRecord {
                server,
                address: ([127, 0, 0, 1], 5000).into(),
                incarnation: seed.into(),
            },
            ServerRecord {
                server: ServerId(u16::MAX),
                address: "[2001:db8::1]:65535".parse().unwrap(),
                incarnation: u64::MAX,
            },
        ],
        view: View {
            number: ViewNumber::new(seed.into(), server),
            lineage: Lineage {
                counter: seed.into(),
                random: 1,
            },
            primary: server,
            members: vec![Member {
                server,
                incarnation,
            }],
        },
        views: vec![ViewMark {
            number: ViewNumber::new(seed.into(), server),
            op: OpNumber(seed.into()),
        }],
    }
}
