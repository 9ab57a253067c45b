//! What holds for every log, also for logs that nobody in his right mind would write.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

use super::*;

/// A committed op with its place and time.
#[derive(Clone, Debug)]
struct Entry {
    op: OpNumber,
    time: Timestamp,
    operation: ChatOp<'static>,
}

/// What one op did, seen from outside.
type Seen = (Outcome, Effects<'static>, Vec<Change>);

/// An op in which accounts, sessions and conversations are small numbers. An honest one means
/// what is there, one after the other; the rest take them as they are.
#[derive(Clone, Debug)]
struct Draft {
    kind: Kind,
    honest: bool,
    account: u8,
    other: u8,
    password_version: PasswordVersion,
    session: Option<u128>,
    number: u64,
    lowest_open: u64,
    conversation: Option<u64>,
    up_to: u64,
    time: u64,
    gap: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Create,
    Open,
    Close,
    Delete,
    Send,
    Acknowledge,
}

const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        12 => Just(Kind::Create),
        30 => Just(Kind::Open),
        1 => Just(Kind::Close),
        1 => Just(Kind::Delete),
        24 => Just(Kind::Send),
        12 => Just(Kind::Acknowledge),
    ]
}

/// Numbers around those that a session has open, around those that it may have, and any.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..8_u64, 1 => 250..270_u64, 1 => any::<u64>()]
}

fn drafts() -> impl Strategy<Value = Draft> {
    let who = (
        prop_oneof![3 => Just(0), 1 => 0..8_u8],
        0..7_u8,
        prop_oneof![19 => Just(0), 1 => any::<u32>()],
        prop::option::weighted(0.8, prop_oneof![1 => 0..3_u128, 2 => 0..60_u128]),
    );
    let what = (
        kinds(),
        prop::bool::weighted(0.9),
        numbers(),
        prop_oneof![2 => 0..3_u64, 1 => numbers()],
        prop::option::of(prop_oneof![4 => 0..8_u64, 1 => any::<u64>()]),
        prop_oneof![3 => 0..200_u64, 1 => any::<u64>()],
    );
    let place = (
        prop_oneof![19 => 0..100_u64, 1 => any::<u64>()],
        select(vec![1, 1, 1, 1, 2, 7]),
    );
    (who, what, place).prop_map(|(who, what, place)| Draft {
        kind: what.0,
        honest: what.1,
        account: who.0,
        other: who.1,
        password_version: PasswordVersion(who.2),
        session: who.3,
        number: what.2,
        lowest_open: what.3,
        conversation: what.4,
        up_to: what.5,
        time: place.0,
        gap: place.1,
    })
}

/// One of those that are there.
fn chosen<T: Copy>(all: &[T], place: u64) -> Option<T> {
    let count = all.len() as u64;
    (count > 0).then(|| all[(place % count) as usize])
}

fn account(image: &Image, draft: &Draft) -> AccountId {
    let living: Vec<_> = image.accounts.iter().map(|one| one.id).collect();
    let place = u64::from(draft.account);
    let known = chosen(&living, place).filter(|_| draft.honest);
    known.unwrap_or(AccountId(place))
}

fn conversation(image: &Image, draft: &Draft) -> Option<ConversationId> {
    let place = draft.conversation?;
    let all: Vec<_> = image.conversations.iter().map(|(id, _)| *id).collect();
    let known = chosen(&all, place).filter(|_| draft.honest);
    Some(known.unwrap_or(ConversationId(place)))
}

fn origin(image: &Image, draft: &Draft) -> Origin {
    let Some(session) = draft.session else {
        return without_session(account(image, draft));
    };
    let open: Vec<_> = image
        .sessions
        .iter()
        .map(|one| (one.account, one.id))
        .collect();
    let known = chosen(&open, session as u64).filter(|_| draft.honest);
    let (account, session) = known.unwrap_or((account(image, draft), SessionId(session)));
    within(account, session.0, draft.number, draft.lowest_open)
}

fn operation(image: &Image, draft: &Draft) -> ChatOp<'static> {
    let origin = origin(image, draft);
    let other = NAMES.get(usize::from(draft.other)).unwrap_or(&"nobody");
    let version = draft.password_version;
    let session = draft.session.unwrap_or_default();
    match draft.kind {
        Kind::Create => {
            let retry = draft.session.map(|one| request(one, draft.number % 3, 0));
            creation(other, retry)
        }
        Kind::Open => opening(account(image, draft), version, session, draft.other),
        Kind::Close => closing(origin),
        Kind::Delete => deletion(origin, version),
        Kind::Send => sending(origin, other, "hello"),
        Kind::Acknowledge => acknowledging(origin, conversation(image, draft), draft.up_to),
    }
}

/// The log that drafts make. They mean what is there at their place in it.
fn log(drafts: &[Draft]) -> Vec<Entry> {
    let mut state = State::new();
    let mut entries = Vec::new();
    for draft in drafts {
        let entry = Entry {
            op: OpNumber(state.applied().0 + draft.gap),
            time: Timestamp(draft.time),
            operation: operation(&state.image(), draft),
        };
        see(&mut state, &entry);
        entries.push(entry);
    }
    entries
}

fn logs() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(drafts(), 1..200).prop_map(|drafts| log(&drafts))
}

/// Applies an op and hands over the sessions.
fn see(state: &mut State, entry: &Entry) -> Seen {
    let mut effects = Effects::default();
    let outcome = state.apply(entry.op, entry.time, &entry.operation, &mut effects);
    let mut sessions = Vec::new();
    state.flush_sessions(&mut sessions);
    (outcome, effects, sessions)
}

fn origin_of(operation: &ChatOp<'static>) -> Option<Origin> {
    match operation {
        ChatOp::CloseSession { origin }
        | ChatOp::DeleteAccount { origin, .. }
        | ChatOp::Send { origin, .. }
        | ChatOp::Acknowledge { origin, .. } => Some(*origin),
        ChatOp::CreateAccount { .. } | ChatOp::OpenSession { .. } => None,
    }
}

/// The request, if it is well formed, its session is its account's, and it is answered there.
fn answered(image: &Image, operation: &ChatOp<'static>) -> Option<SessionRequest> {
    let origin = origin_of(operation)?;
    let request = origin.request?;
    let session = image
        .sessions
        .iter()
        .find(|one| one.id == request.session)?;
    let mut answers = session.answers.iter();
    let is_answered = answers.any(|(number, _)| *number == request.number);
    let is_proper = session.account == origin.account && request.lowest_open <= request.number;
    Some(request).filter(|_| is_answered && is_proper)
}

/// The session that opening one more for `account` has to end, if any.
fn least_recently_used(image: &Image, account: AccountId) -> Option<SessionId> {
    let own = || image.sessions.iter().filter(|one| one.account == account);
    let oldest = own().min_by_key(|one| one.last_used).map(|one| one.id);
    oldest.filter(|_| own().count() == crate::limits::ACCOUNT_SESSIONS_MAX)
}

/// A failure prints its smallest log, which then belongs among the rules; no file is written.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Any log has outcomes, and leaves a state without contradictions; two servers that apply
    /// it see the same, also in their effects.
    #[test]
    fn every_log_is_applied_alike(log in logs()) {
        let [mut one, mut other] = [State::new(), State::new()];
        for entry in &log {
            prop_assert_eq!(see(&mut one, entry), see(&mut other, entry));
            one.check_invariants();
        }
        prop_assert_eq!(one.image(), other.image());
    }

    /// Whoever takes in the changes knows the state, however many ops a turn has.
    #[test]
    fn changes_are_complete(log in logs(), turn in 1..20_usize) {
        let mut state = State::new();
        let mut stored = Image::empty();
        for entries in log.chunks(turn) {
            let mut effects = Effects::default();
            for entry in entries {
                state.apply(entry.op, entry.time, &entry.operation, &mut effects);
            }
            state.flush_sessions(&mut effects.changes);
            fold::fold(&mut stored, state.applied(), &effects.changes);
            prop_assert_eq!(&stored, &state.image());
        }
    }

    /// A server that starts again goes on as if it had never stopped.
    #[test]
    fn a_restored_state_goes_on_alike(log in logs(), at in any::<prop::sample::Index>()) {
        let (before, after) = log.split_at(at.index(log.len()));
        let mut state = State::new();
        for entry in before {
            see(&mut state, entry);
        }
        let mut restored = State::restore(&state.image()).unwrap();
        for entry in after {
            prop_assert_eq!(see(&mut state, entry), see(&mut restored, entry));
            restored.check_invariants();
        }
        prop_assert_eq!(state.image(), restored.image());
    }

    /// A request that is sent again, whenever and however often, gets its first answer or hears
    /// that it is too late; and it changes nothing but the time of its session's last use.
    #[test]
    fn a_repeated_request_has_no_effects(log in logs(), again in any::<prop::sample::Selector>()) {
        let mut state = State::new();
        let mut first: BTreeMap<(SessionId, RequestNumber), (Entry, Outcome)> = BTreeMap::new();
        let mut op = OpNumber::ZERO;
        for entry in &log {
            op = op.next();
            let entry = Entry { op, ..entry.clone() };
            let (outcome, effects, _) = see(&mut state, &entry);
            // What a session got is known as long as it is open.
            first.retain(|(id, _), _| state.session(*id).is_some());
            first.retain(|(id, _), _| effects.ended_session != Some(*id));
            if let Some(request) = answered(&state.image(), &entry.operation) {
                let key = (request.session, request.number);
                let known = first.entry(key).or_insert((entry, outcome));
                prop_assert_eq!(known.1, outcome);
            }
            let Some((repeated, outcome)) = again.try_select(first.values()) else {
                continue;
            };
            let mut before = state.image();
            op = op.next();
            let (second, effects, _) = see(&mut state, &Entry { op, ..repeated.clone() });
            let too_late = refused(ErrorCode::StaleRequest);
            prop_assert!(second == *outcome || second == too_late, "{second:?}");
            prop_assert!(effects.is_empty());
            let id = origin_of(&repeated.operation).unwrap().request.unwrap().session;
            let session = before.sessions.iter_mut().find(|one| one.id == id);
            before.applied = op;
            if second == *outcome {
                session.unwrap().last_used = op;
            }
            prop_assert_eq!(state.image(), before);
        }
    }

    /// The session that is let go is the one whose last use was the longest ago; and no other op
    /// than an opening lets one go.
    #[test]
    fn the_oldest_session_is_let_go(log in logs()) {
        let mut state = State::new();
        for entry in &log {
            let before = state.image();
            let (outcome, effects, _) = see(&mut state, entry);
            let expected = match &entry.operation {
                ChatOp::OpenSession { account, session, .. }
                    if outcome == Outcome::SessionOpened
                        && before.sessions.iter().all(|one| one.id != *session) =>
                {
                    least_recently_used(&before, *account)
                }
                ChatOp::CloseSession { origin } if outcome == Outcome::SessionClosed => {
                    origin.request.map(|request| request.session)
                }
                _ => None,
            };
            prop_assert_eq!(effects.ended_session, expected);
        }
    }
}

/// What a log has met, by name.
fn met(log: &[Entry], counts: &mut BTreeMap<String, usize>) {
    let mut state = State::new();
    for entry in log {
        let again = answered(&state.image(), &entry.operation);
        let (outcome, effects, _) = see(&mut state, entry);
        let kind = format!("{:?}", entry.operation);
        let kind = kind.split(' ').next().unwrap();
        let outcome = match outcome {
            _ if again.is_some() => "again",
            Outcome::Refused(code) => code.word(),
            Outcome::Created(id) if id.0 != entry.op.0 => "again",
            Outcome::SessionOpened if effects.ended_session.is_some() => "one let go",
            _ => "done",
        };
        *counts.entry(format!("{kind} {outcome}")).or_default() += 1;
    }
}

/// Properties say nothing about what is never drawn.
#[test]
fn logs_meet_every_case() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = BTreeMap::new();
    for _ in 0..192 {
        let log = logs().new_tree(&mut runner).unwrap().current();
        met(&log, &mut counts);
    }
    for case in [
        "CreateAccount done",
        "CreateAccount again",
        "CreateAccount name_taken",
        "OpenSession done",
        "OpenSession one let go",
        "OpenSession bad_login",
        "OpenSession bad_arguments",
        "CloseSession done",
        "CloseSession again",
        "DeleteAccount done",
        "DeleteAccount again",
        "DeleteAccount bad_login",
        "DeleteAccount session_gone",
        "Send done",
        "Send again",
        "Send no_such_account",
        "Send not_logged_in",
        "Send session_gone",
        "Send stale_request",
        "Send bad_arguments",
        "Acknowledge done",
        "Acknowledge again",
        "Acknowledge bad_arguments",
    ] {
        let count = counts.get(case).copied().unwrap_or_default();
        assert!(count >= 5, "{case}: {count} of {counts:#?}");
    }
}
