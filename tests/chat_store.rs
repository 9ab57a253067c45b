//! Does a state that was written behind and taken up again, with the rest of its log replayed, end
//! where one does that never stopped?

use lastword::chat::change::{Change, Image};
use lastword::chat::{Effects, State};
use lastword::store::{Batch, MemoryStore, SqliteStore, Store};
use lastword::types::{
    AccountId, ChatOp, ConversationId, Name, OpNumber, Origin, Outcome, PasswordVersion,
    RequestNumber, SecretHash, SessionId, SessionRequest, Text, Timestamp,
};

const OPS: u64 = 3000;
const NAMES: u64 = 8;

/// The op at a place of a log that makes, uses and ends everything there is. Nothing in it is
/// random but looks so.
fn operation(place: u64) -> ChatOp<'static> {
    let mut bits = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |limit: u64| {
        bits ^= bits >> 29;
        bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits >> 32) % limit
    };
    let kind = below(100);
    let account = AccountId(1 + below(NAMES));
    let session = SessionId(u128::from(account.0 * 100 + below(20)));
    let number = place / 4;
    let request = SessionRequest {
        session,
        number: RequestNumber(number),
        lowest_open: RequestNumber(number.saturating_sub(below(40))),
    };
    let origin = Origin {
        account,
        request: Some(request).filter(|_| below(3) > 0),
    };
    let to = name(below(NAMES));
    match kind {
        _ if place < NAMES => created(name(place), request),
        0..5 => created(to, request),
        5..35 => ChatOp::OpenSession {
            account,
            password_version: PasswordVersion(0),
            session,
            secret_hash: SecretHash([place as u8; 32]),
        },
        35..37 => ChatOp::CloseSession { origin },
        37 if place > OPS / 2 && below(4) == 0 => ChatOp::DeleteAccount {
            origin,
            password_version: PasswordVersion(0),
        },
        38..85 => ChatOp::Send {
            origin,
            to,
            text: Text::parse("hello").unwrap(),
        },
        _ => ChatOp::Acknowledge {
            origin,
            conversation: Some(ConversationId(below(NAMES * 12))).filter(|id| id.0 % 4 > 0),
            up_to: OpNumber(below(2 * place)),
        },
    }
}

fn created(name: Name, request: SessionRequest) -> ChatOp<'static> {
    ChatOp::CreateAccount {
        name,
        password_hash: "$argon2id$hash",
        retry: Some(request),
    }
}

fn name(number: u64) -> Name {
    Name::parse(&format!("user-{number}")).unwrap()
}

/// Applies the ops after the last one of `state`, up to `end`.
fn run(state: &mut State, end: u64, changes: &mut Vec<Change>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut effects = Effects::default();
    for place in state.applied().0..end {
        let operation = operation(place);
        let time = Timestamp(place / 3);
        outcomes.push(state.apply(OpNumber(place + 1), time, &operation, &mut effects));
    }
    changes.append(&mut effects.changes);
    state.flush_sessions(changes);
    outcomes
}

/// Takes the state up to `end`, in turns of `turn` ops, each of which the store takes in.
fn run_with(store: &mut dyn Store, state: &mut State, end: u64, turn: u64) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while state.applied().0 < end {
        let mut changes = Vec::new();
        let next = end.min(state.applied().0 + turn);
        outcomes.append(&mut run(state, next, &mut changes));
        let batch = Batch {
            applied: state.applied(),
            clock: state.clock(),
            changes,
        };
        store.apply(batch).unwrap();
    }
    outcomes
}

/// What the log makes of an empty state, and what its ops get.
fn without_a_stop() -> (Image, Vec<Outcome>) {
    let mut state = State::new();
    let outcomes = run(&mut state, OPS, &mut Vec::new());
    (state.image(), outcomes)
}

#[test]
fn a_state_from_the_database_goes_on_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut state = State::new();
    let mut outcomes = Vec::new();
    for (end, turn) in [(700, 1), (1600, 7), (1601, 1), (2500, 64), (OPS, 300)] {
        let mut store = SqliteStore::open(&path).unwrap();
        let image = store.load().unwrap();
        assert_eq!(image, state.image());
        state = State::restore(&image).unwrap();
        outcomes.append(&mut run_with(&mut store, &mut state, end, turn));
        store.commit().unwrap();
    }
    let (image, expected) = without_a_stop();
    assert_eq!(state.image(), image);
    assert_eq!(outcomes, expected);
}

#[test]
fn a_log_that_is_replayed_from_an_older_image_ends_alike() {
    let (image, expected) = without_a_stop();
    let mut store = MemoryStore::new();
    for end in (200..=OPS).step_by(200) {
        let older = store.load().unwrap();
        let mut state = State::restore(&older).unwrap();
        let from = older.applied.0 as usize;
        let outcomes = run_with(&mut store, &mut state, end, 32);
        assert_eq!(outcomes, expected[from..end as usize]);
        store.commit().unwrap();
        // What comes now is lost, and the last commit with it every other time.
        run_with(&mut store, &mut state, (end + 50).min(OPS), 8);
        store.crash(usize::from(end % 400 == 0 && end < OPS));
    }
    assert_eq!(store.load().unwrap(), image);
}

#[test]
fn the_log_has_something_of_everything() {
    let (image, outcomes) = without_a_stop();
    assert!(image.accounts.len() > 1 && image.conversations.len() > 10);
    assert!(image.sessions.iter().any(|one| one.answers.len() > 1));
    assert!(image.accounts.iter().any(|one| !one.read_up_to.is_empty()));
    assert!(image.creations.len() > 10);
    for outcome in [
        Outcome::Deleted,
        Outcome::SessionOpened,
        Outcome::SessionClosed,
    ] {
        assert!(outcomes.contains(&outcome), "no {outcome:?}");
    }
}
