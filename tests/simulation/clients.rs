//! What do people do meanwhile, and what do their clients when a server goes away?
//!
//! The clients are the library's own ([`lastword::client::failover`]): here are the network, the
//! clock and the people. Each makes an account, or shares that of another one, logs in, and then
//! sends, acknowledges and reads, with several requests open. What the client says is compared with
//! what is true.

use std::collections::BTreeMap;

use lastword::client::event::{Message, Part};
use lastword::client::failover::{self, Change, Input, LinkId, Output};
use lastword::types::{
    ErrorCode, Name, OpNumber, Password, RequestNumber, SessionId, Text, Time, ViewNumber,
};
use lastword::wire::message::{Answer, Deliver, HistoryScope, Refusal, Request};

use super::lines::{CLIENT, Parcel};
use super::network::service_address;
use super::random::Random;
use super::settings::{MILLISECOND, SECOND, Settings};
use super::told::Wanted;
use super::world::{Event, World};

/// How long a client waits for an answer before it tries another server.
const PATIENCE: u64 = 700 * MILLISECOND;
/// How long one waits that is patient: it is there when a server wakes.
const LONG_PATIENCE: u64 = 5 * SECOND;
/// More often in a row no client has a reason to be woken at once.
const SPINS_MAX: u32 = 100;

const PASSWORD: &str = "correct-horse";

/// What an open request is about.
#[derive(Clone, Debug, PartialEq)]
enum Wish {
    Account,
    Login,
    Logout,
    Message {
        to: Name,
        /// Somebody knew then that there is such an account.
        is_known: bool,
        text: String,
    },
    Acknowledge,
    Read(Wanted),
}

/// An open request.
struct Question {
    wish: Wish,
    /// What was acknowledged to anybody when it was asked.
    newest: u64,
    /// In which session.
    session: Option<SessionId>,
    /// What has come of its answer.
    got: Vec<Message>,
}

/// Somebody who chats.
pub struct Client {
    index: usize,
    /// The account that it uses.
    name: Name,
    /// Others use it, too.
    is_shared: bool,
    core: failover::Client,
    lines: BTreeMap<LinkId, u64>,
    has_account: bool,
    is_logged_in: bool,
    session: Option<SessionId>,
    open: BTreeMap<RequestNumber, Question>,
    texts: u64,
    /// When it was last not logged in, it had sent so many texts.
    texts_before: u64,
    /// The last message that came.
    last_came: OpNumber,
    /// What is sent from then on has to come. `None` before the first login.
    reads_since: Option<u64>,
    /// What came since then.
    came: std::collections::BTreeSet<u64>,
    /// The newest view of a server that has served it.
    view: ViewNumber,
    patience: u64,
    wakes_at: u64,
    /// How often in a row it wanted to be woken at once.
    spins: u32,
    /// Nothing new is asked any more.
    pub is_resting: bool,
    pub answers: u64,
}

impl Client {
    pub fn new(
        index: usize,
        settings: &Settings,
        members: &[std::net::SocketAddr],
        random: &mut Random,
    ) -> Self {
        let patience = if random.percent(30) {
            LONG_PATIENCE
        } else {
            PATIENCE
        };
        let mut its = failover::Settings::new(vec![service_address()], random.next());
        if random.percent(30) {
            its.servers.extend_from_slice(members);
        }
        its.silence_max = std::time::Duration::from_nanos(patience);
        // Nothing is hashed here.
        its.hashing_max = its.silence_max;
        its.status_interval = random
            .percent(30)
            .then_some(std::time::Duration::from_secs(2));
        let mut core = failover::Client::new(its, Time(0));
        core.sabotage(settings.broken.client);
        // Every third one is somebody's second device.
        let account = if index % 3 == 2 { index - 2 } else { index };
        Self {
            index,
            name: Name::parse(&format!("client{account}")).expect("a name"),
            is_shared: account != index || index + 2 < settings.clients && index.is_multiple_of(3),
            core,
            lines: BTreeMap::new(),
            has_account: false,
            is_logged_in: false,
            session: None,
            open: BTreeMap::new(),
            texts: 0,
            texts_before: 0,
            last_came: OpNumber::ZERO,
            reads_since: None,
            came: Default::default(),
            view: ViewNumber(0),
            patience,
            wakes_at: u64::MAX,
            spins: 0,
            is_resting: false,
            answers: 0,
        }
    }

    /// It is logged in, and nothing is open.
    fn is_idle(&self) -> bool {
        self.is_logged_in && self.open.is_empty()
    }

    /// What was acknowledged to anybody when it asked this.
    pub fn newest_at(&self, number: RequestNumber) -> Option<u64> {
        self.open.get(&number).map(|it| it.newest)
    }

    /// The account and the session that it has now, if any.
    pub fn identity(&self) -> Option<(Name, SessionId)> {
        let session = self.session.filter(|_| self.is_logged_in)?;
        Some((self.name, session))
    }

    fn asks(&self, which: impl Fn(&Wish) -> bool) -> bool {
        self.open.values().any(|it| which(&it.wish))
    }
}

impl World {
    /// Somebody looks up from the screen: is there something to say?
    pub fn tick(&mut self, index: usize) {
        if let Some(wish) = self.wish(index) {
            self.ask(index, wish);
        }
        self.drive(index);
        let pause = self.random.between(1, self.settings.thinking_time.max(2));
        self.after(pause, Event::Tick { client: index });
    }

    fn wish(&mut self, index: usize) -> Option<Wish> {
        let wants_read = self.random.percent(20);
        let draw = self.random.below(1000);
        let to = self.random.index(self.clients.len());
        let limit = self.random.between(1, 12) as usize;
        let requests_open = self.settings.requests_open;
        let client = &self.clients[index];
        if !client.is_logged_in {
            let enters = client.asks(|it| matches!(it, Wish::Account | Wish::Login));
            return match client.has_account {
                _ if enters => None,
                true => Some(Wish::Login),
                false => Some(Wish::Account),
            };
        }
        if client.is_resting || client.asks(|it| *it == Wish::Logout) && draw < 900 {
            return None;
        }
        // Readers do not wait until their writes are done: who still answers reads shows it.
        if wants_read && !client.asks(|it| matches!(it, Wish::Read(_))) {
            let last = client.last_came;
            return Some(Wish::Read(match draw {
                0..600 => Wanted::Newest(limit),
                600..900 => Wanted::After(last, None),
                _ => Wanted::After(OpNumber::ZERO, Some(limit)),
            }));
        }
        if client.open.len() >= requests_open {
            return None;
        }
        let text = format!("{index}/{}", client.texts + 1);
        let to = match draw {
            980.. => Name::parse("nobody").expect("a name"),
            _ => self.clients[to].name,
        };
        let mut others = self.clients.iter();
        let is_known = others.any(|it| it.name == to && it.has_account);
        Some(match draw {
            0..5 if !client.asks(|it| *it == Wish::Logout) => Wish::Logout,
            5..150 if client.last_came > OpNumber::ZERO => Wish::Acknowledge,
            _ => Wish::Message { to, is_known, text },
        })
    }

    fn ask(&mut self, index: usize, wish: Wish) {
        let now = Time(self.now);
        let bits = u128::from(self.random.bits()) << 64 | index as u128;
        let newest = self.checker.newest_acknowledged;
        let client = &mut self.clients[index];
        if !client.core.can_ask() {
            return;
        }
        if wish == Wish::Login {
            client.session = Some(SessionId(bits));
        }
        let request = match &wish {
            Wish::Account => Request::Create {
                name: client.name,
                password: Password::parse(PASSWORD).expect("a password"),
                session: Some(SessionId(bits)),
            },
            Wish::Login => Request::Login {
                name: client.name.as_str(),
                password: PASSWORD,
                session: client.session,
                deliver: match client.reads_since {
                    None => Deliver::Unread,
                    Some(_) => Deliver::After(client.last_came),
                },
            },
            Wish::Logout => Request::Logout,
            Wish::Message { to, text, .. } => Request::Send {
                to: *to,
                text: Text::parse(text).expect("a text"),
            },
            Wish::Acknowledge => Request::Acknowledge {
                conversation: None,
                up_to: client.last_came,
            },
            Wish::Read(Wanted::Newest(limit)) => Request::History {
                scope: HistoryScope::All,
                limit: *limit as u32,
                before: OpNumber::MAX,
            },
            Wish::Read(Wanted::After(after, limit)) => Request::Log {
                after: *after,
                limit: limit.map(|it| it as u32),
            },
        };
        let number = match client.core.ask(&request, now) {
            Ok(number) => number,
            Err(error) => panic!("client {index} may not ask for {wish:?}: {error}"),
        };
        client.texts += u64::from(matches!(wish, Wish::Message { .. }));
        let question = Question {
            wish,
            newest,
            session: client.session,
            got: Vec::new(),
        };
        client.open.insert(number, question);
    }

    // --- the driver ---

    /// Something came to a client by one of its connections.
    pub fn client_hears(&mut self, index: usize, link: LinkId, parcel: Parcel) {
        let input = match &parcel {
            Parcel::Syn => Input::Connected(link),
            Parcel::Bytes(bytes) => Input::Received(link, bytes),
            Parcel::Fin => Input::Closed(link),
            Parcel::Rst => Input::Failed(link, "it was reset, or refused".into()),
        };
        let client = &mut self.clients[index];
        if matches!(parcel, Parcel::Fin | Parcel::Rst) {
            client.lines.remove(&link);
        }
        client.core.handle_input(input, Time(self.now));
        self.drive(index);
    }

    /// A client has asked to be woken.
    pub fn client_wakes(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.wakes_at = u64::MAX;
        client.core.handle_timeout(Time(self.now));
        self.drive(index);
    }

    /// Carries out everything that a client wants, and hears what it has to say.
    fn drive(&mut self, index: usize) {
        while let Some(output) = self.clients[index].core.poll_output() {
            match output {
                Output::Dial { link, address } => {
                    self.say(|| format!("client {index} dials {address}"));
                    let line = self.call(index, link, address);
                    self.clients[index].lines.insert(link, line);
                }
                Output::Send { link, bytes } => {
                    if let Some(line) = self.clients[index].lines.get(&link) {
                        let parcel = Parcel::Bytes(bytes);
                        self.send_parcel(*line, super::lines::SERVER, parcel);
                    }
                }
                Output::HangUp(link) => {
                    if let Some(line) = self.clients[index].lines.remove(&link) {
                        self.close_line(line, CLIENT);
                    }
                }
                told => self.told(index, told),
            }
        }
        let client = &mut self.clients[index];
        let Some(Time(at)) = client.core.poll_timeout() else {
            return;
        };
        let at = at.max(self.now);
        client.spins = if at == self.now { client.spins + 1 } else { 0 };
        assert!(
            client.spins < SPINS_MAX,
            "LIVE: client {index} wants to be woken again and again:\n{:#?}",
            client.core
        );
        if at < client.wakes_at {
            client.wakes_at = at;
            self.at(at, Event::ClientWakes { client: index });
        }
    }

    /// A client says something to its user.
    fn told(&mut self, index: usize, output: Output) {
        self.say(|| format!("client {index} says: {output:?}"));
        let client = &mut self.clients[index];
        match output {
            Output::Item { number, item } => {
                if let (Some(question), Part::Message(message)) =
                    (client.open.get_mut(&number), item)
                {
                    question.got.push(message);
                }
            }
            Output::Answered { number, answer } => {
                let question = client.open.remove(&number);
                let question = question.expect("TRUE: an answer to what was not asked");
                client.answers += 1;
                match answer {
                    Ok(answer) => self.done(index, question, answer),
                    Err(refusal) => self.refused(index, question, &refusal),
                }
            }
            Output::Delivered(message) => self.delivered(index, &message),
            Output::Changed(Change::Up { view, .. }) => {
                let newest = client.view;
                assert!(
                    view >= newest,
                    "BEHIND: client {index} is served by a server of view {view} after one of \
                     view {newest}"
                );
                client.view = view;
                // Who has seen nothing yet asks for what is unread: what a second device has
                // acknowledged meanwhile is not.
                if client.is_shared && client.last_came == OpNumber::ZERO {
                    let since = client.reads_since.as_mut();
                    since.into_iter().for_each(|it| *it = self.checker.length());
                }
            }
            Output::Changed(Change::LoggedOut { .. }) => self.logged_out(index),
            _ => {}
        }
    }

    fn logged_out(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.is_logged_in = false;
        client.texts_before = client.texts;
    }

    /// Something was done.
    fn done(&mut self, index: usize, question: Question, answer: Answer<'static>) {
        let client = &mut self.clients[index];
        let told = &mut self.checker.told;
        match (question.wish, answer) {
            (Wish::Account, Answer::Created { name }) => {
                assert_eq!(name, client.name);
                told.told_account(name);
                client.has_account = true;
            }
            (Wish::Login, Answer::LoggedIn { name, .. }) => {
                assert_eq!(name, client.name);
                client.is_logged_in = true;
                client.session = client.core.identity().and_then(|it| it.session);
                client.reads_since.get_or_insert(self.checker.length());
            }
            (Wish::Logout, Answer::LoggedOut) => self.logged_out(index),
            (Wish::Message { text, .. }, Answer::Sent { id }) => told.told_sent(&text, id),
            (Wish::Acknowledge, Answer::Acknowledged { .. }) => {}
            (Wish::Read(wanted), Answer::Messages { count }) => {
                assert_eq!(question.got.len() as u64, count);
                told.told_messages(client.name, wanted, &question.got, question.newest);
            }
            (wish, answer) => panic!("client {index} asked for {wish:?} and got {answer:?}"),
        }
    }

    /// Something was not done, or nobody knows.
    fn refused(&mut self, index: usize, question: Question, refusal: &Refusal) {
        let client = &mut self.clients[index];
        let told = &mut self.checker.told;
        match (&question.wish, refusal.code) {
            (Wish::Account, ErrorCode::NameTaken) => {
                assert!(client.is_shared, "TRUE: nobody else wants {}", client.name);
                told.told_account(client.name);
                client.has_account = true;
            }
            (Wish::Message { .. } | Wish::Acknowledge, ErrorCode::UnknownOutcome) => {
                told.told_session_over(question.session);
            }
            (Wish::Message { to, is_known, text }, ErrorCode::NoSuchAccount) => {
                assert!(!is_known, "TRUE: there is {to}");
                told.told_refused(text);
            }
            // Nobody is logged in any more, and it was not asked before.
            (wish, ErrorCode::SessionGone | ErrorCode::NotLoggedIn) => {
                told.told_session_over(question.session);
                if let Wish::Message { text, .. } = wish {
                    told.told_refused(text);
                }
                assert!(
                    !matches!(wish, Wish::Login | Wish::Account | Wish::Logout),
                    "client {index} asked for {wish:?} and got {refusal:?}"
                );
            }
            (wish, _) => panic!("client {index} asked for {wish:?} and got {refusal:?}"),
        }
    }

    fn delivered(&mut self, index: usize, message: &Message) {
        let client = &mut self.clients[index];
        assert!(
            message.id > client.last_came,
            "DELIVERED: client {index} gets {message:?} after op {}",
            client.last_came
        );
        client.last_came = message.id;
        client.came.insert(message.id.0);
        // What was sent in a session that is over may come: nobody can tell any more whose it is.
        let number = message.text.split('/').next_back();
        let number: u64 = number.and_then(|it| it.parse().ok()).unwrap_or(0);
        let may_be_own = number <= client.texts_before || client.core.identity().is_none();
        let told = &self.checker.told;
        told.delivered(index, client.name, message, may_be_own);
    }

    // --- the end ---

    /// Nothing new is asked from now on.
    pub fn let_clients_rest(&mut self) {
        self.clients.iter_mut().for_each(|it| it.is_resting = true);
    }

    /// Everybody has every answer, and every message that is for him.
    pub fn clients_have_everything(&self) -> bool {
        self.clients
            .iter()
            .all(|client| client.is_idle() && self.missing_at(client).is_empty())
    }

    fn missing_at(&self, client: &Client) -> Vec<u64> {
        let since = client.reads_since.unwrap_or(u64::MAX);
        let due = self.checker.told.due(client.index, client.name, since);
        due.filter(|op| !client.came.contains(op)).collect()
    }

    /// What each client lacks, for a message.
    pub fn describe_clients(&self) -> String {
        let describe = |client: &Client| {
            let open: Vec<_> = client.open.iter().map(|(n, it)| (n.0, &it.wish)).collect();
            format!(
                "  client {} as {}: logged in {}, at {:?}, open {open:?}, missing {:?}\n",
                client.index,
                client.name,
                client.is_logged_in,
                client.core.server(),
                self.missing_at(client)
            )
        };
        self.clients.iter().map(describe).collect()
    }

    /// Everybody's next request begins now, and waits for nothing older.
    pub fn answers_of_all(&self) -> Vec<u64> {
        self.clients.iter().map(|it| it.answers).collect()
    }

    /// How long clients have to be given to find a server that answers.
    pub fn clients_time(&self) -> u64 {
        let patience = self.clients.iter().map(|it| it.patience).max();
        patience.unwrap_or(PATIENCE) * self.hosts.len() as u64 + SECOND
    }
}
