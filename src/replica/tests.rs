//! The rules of a view of one, each so that breaking it is noticed.

use crate::wire::prepare::Prepare;
use proptest::prelude::*;

use super::*;
use crate::types::{ChatOp, ClusterId, Member, Name, Op, Origin, Text, ViewNumber};
use crate::wire::operation::{decode_op, encode_op};

fn identity(counter: u64) -> Identity {
    Identity {
        cluster: ClusterId(7),
        lineage: Lineage {
            counter: 0,
            random: 9,
        },
        server: ServerId(1),
        incarnation: Incarnation {
            counter,
            random: counter * 31,
        },
        address: "127.0.0.1:5001".parse().unwrap(),
    }
}

fn chat_op(text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    let op = ChatOp::Send {
        origin: Origin {
            account: crate::types::AccountId(5),
            request: None,
        },
        to: Name::parse("bob").unwrap(),
        text: Text::parse(text).unwrap(),
    };
    encode_op(&mut payload, &Op::Chat(op));
    payload
}

/// A driver with a perfect disk that syncs when it is told to.
struct Driver {
    replica: Replica,
    appended: Vec<Arc<Entry>>,
    committed: Vec<(Arc<Entry>, Option<Ticket>)>,
    readable: Vec<Ticket>,
    not_ready: Vec<Ticket>,
}

impl Driver {
    fn new(replica: Replica) -> Self {
        let mut driver = Self {
            replica,
            appended: Vec::new(),
            committed: Vec::new(),
            readable: Vec::new(),
            not_ready: Vec::new(),
        };
        driver.drain();
        driver
    }

    fn input(&mut self, input: Input<'_>) {
        self.replica.handle_input(input, Time(1));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Append(entry) => self.appended.push(entry),
                Output::Committed { entry, ticket } => self.committed.push((entry, ticket)),
                Output::Readable(ticket) => self.readable.push(ticket),
                Output::NotReady(ticket) => self.not_ready.push(ticket),
            }
        }
    }

    fn request(&mut self, ticket: u64) {
        let payload = chat_op("hello");
        self.input(Input::Request {
            ticket: Ticket(ticket),
            time: Timestamp(5),
            payload: &payload,
        });
    }

    /// Syncs everything, again and again, until nothing more is appended.
    fn sync(&mut self) {
        while self.replica.persisted < self.replica.head {
            let op = self.replica.head;
            self.input(Input::Persisted { op });
        }
    }

    fn log(&self) -> Vec<Entry> {
        self.appended
            .iter()
            .map(|entry| Entry::decode(entry.prepare.clone()).unwrap())
            .collect()
    }
}

fn founded() -> Driver {
    let mut driver = Driver::new(Replica::found(identity(1), 0, Timestamp(1)));
    driver.sync();
    driver
}

#[test]
fn a_founder_serves_once_its_view_and_its_forming_are_on_disk() {
    let mut driver = Driver::new(Replica::found(identity(1), 0, Timestamp(1)));
    assert_eq!(driver.appended.len(), 3, "founding, joining, view");
    driver.request(1);
    assert_eq!(driver.not_ready, [Ticket(1)]);
    driver.input(Input::Persisted { op: OpNumber(2) });
    assert!(!driver.replica.serves(), "the view is not on disk");
    driver.input(Input::Persisted { op: OpNumber(3) });
    assert!(!driver.replica.serves(), "forming is not on disk");
    driver.input(Input::Persisted { op: OpNumber(4) });
    assert!(driver.replica.serves());
    let cluster = driver.replica.cluster().unwrap();
    assert_eq!((cluster.id, cluster.formed), (ClusterId(7), true));
    assert_eq!(cluster.view, *driver.replica.view());
    assert_eq!(cluster.servers[0].address, identity(1).address);
    assert_eq!(cluster.view.number, ViewNumber::new(1, ServerId(1)));
}

#[test]
fn a_founder_that_wants_backups_does_not_let_clients_in_without_them() {
    let mut driver = Driver::new(Replica::found(identity(1), 2, Timestamp(1)));
    driver.sync();
    driver.request(1);
    driver.input(Input::Read { ticket: Ticket(2) });
    assert_eq!(driver.not_ready, [Ticket(1), Ticket(2)]);
    assert!(driver.readable.is_empty());
}

#[test]
fn nothing_is_committed_before_it_is_persisted() {
    let mut driver = founded();
    let before = driver.committed.len();
    driver.request(1);
    driver.request(2);
    assert_eq!(driver.committed.len(), before);
    let first = OpNumber(driver.replica.head.0 - 1);
    driver.input(Input::Persisted { op: first });
    assert_eq!(driver.committed.len(), before + 1);
    assert_eq!(driver.committed[before].1, Some(Ticket(1)));
    driver.input(Input::Persisted { op: first });
    assert_eq!(driver.committed.len(), before + 1, "said twice, done once");
}

#[test]
fn a_restarted_server_commits_what_it_has_with_its_new_view() {
    let mut first = founded();
    first.request(1);
    first.request(2);
    first.sync();
    let log = first.log();
    let count = log.len() as u64;
    let mut driver = Driver::new(
        Replica::restart(identity(2), None, OpNumber::ZERO, log, Timestamp(9)).unwrap(),
    );
    assert_eq!(driver.appended.len(), 1, "its view alone is new");
    assert!(driver.committed.is_empty() && !driver.replica.serves());
    driver.request(3);
    assert_eq!(driver.not_ready, [Ticket(3)]);
    driver.sync();
    let ops: Vec<u64> = driver.committed.iter().map(|(e, _)| e.op().0).collect();
    assert_eq!(ops, (1..=count + 1).collect::<Vec<_>>());
    assert!(driver.replica.serves());
    assert_eq!(driver.replica.view().number.round(), 2);
    let incarnation = driver.replica.view().members[0].incarnation;
    assert_eq!(incarnation, identity(2).incarnation);
}

#[test]
fn a_restart_goes_on_from_the_stores_last_op() {
    let mut first = founded();
    first.request(1);
    first.sync();
    let cluster = first.replica.cluster().cloned();
    let applied = OpNumber(4);
    let log = first
        .log()
        .into_iter()
        .filter(|e| e.op() > applied)
        .collect();
    let replica = Replica::restart(identity(2), cluster, applied, log, Timestamp(9)).unwrap();
    let mut driver = Driver::new(replica);
    driver.sync();
    let ops: Vec<u64> = driver.committed.iter().map(|(e, _)| e.op().0).collect();
    assert_eq!(ops, [5, 6]);
    assert!(driver.replica.serves());
}

#[test]
fn a_server_that_moved_tells_the_cluster() {
    let first = founded();
    let mut moved = identity(2);
    moved.address = "127.0.0.1:5009".parse().unwrap();
    let replica = Replica::restart(moved, None, OpNumber::ZERO, first.log(), Timestamp(9)).unwrap();
    let mut driver = Driver::new(replica);
    driver.sync();
    let address = |driver: &Driver| driver.replica.cluster().unwrap().servers[0].address;
    assert_eq!(address(&driver), moved.address);
    let next = "127.0.0.1:5010".parse().unwrap();
    driver.input(Input::Moved {
        address: next,
        time: Timestamp(10),
    });
    driver.sync();
    assert_eq!(address(&driver), next);
    assert_eq!(driver.replica.cluster().unwrap().servers.len(), 1);
}

#[test]
fn a_founding_that_was_cut_short_is_finished() {
    for kept in 1..=4 {
        let first = founded();
        let log: Vec<Entry> = first.log().into_iter().take(kept).collect();
        let replica =
            Replica::restart(identity(2), None, OpNumber::ZERO, log, Timestamp(9)).unwrap();
        let mut driver = Driver::new(replica);
        driver.sync();
        assert!(driver.replica.serves(), "{kept} ops were kept");
        assert_eq!(driver.replica.cluster().unwrap().servers.len(), 1);
    }
}

#[test]
fn a_view_with_others_is_not_gone_on_with_alone() {
    let first = founded();
    let mut cluster = first.replica.cluster().cloned().unwrap();
    cluster.view.members.push(Member {
        server: ServerId(2),
        incarnation: Incarnation::default(),
    });
    let result = Replica::restart(
        identity(2),
        Some(cluster),
        OpNumber(4),
        Vec::new(),
        Timestamp(9),
    );
    assert_eq!(result.unwrap_err(), InvalidLog::OtherMembers);
}

#[test]
fn logs_that_make_no_sense_are_refused() {
    let restart =
        |log| Replica::restart(identity(2), None, OpNumber::ZERO, log, Timestamp(9)).unwrap_err();
    assert_eq!(restart(Vec::new()), InvalidLog::NoFounding);
    let mut log = founded().log();
    log[2].prepare.truncate(Prepare::HEADER_BYTES + 1);
    assert_eq!(restart(log), InvalidLog::Unreadable(OpNumber(3)));
}

#[test]
fn an_entry_carries_its_op_as_it_was_asked_for() {
    let mut driver = founded();
    driver.request(1);
    let entry = driver.appended.last().unwrap();
    assert_eq!(entry.payload(), chat_op("hello"));
    let prepare = Prepare::decode(&entry.prepare).unwrap();
    assert_eq!((prepare.op, prepare.time), (entry.op(), Timestamp(5)));
    assert_eq!(prepare.view, driver.replica.view().number);
    assert!(matches!(
        decode_op(prepare.payload),
        Ok(Op::Chat(ChatOp::Send { .. }))
    ));
}

proptest! {
    /// Whatever is asked and however the disk keeps up: every request is committed once, in the
    /// order it came, never before it is on disk, and without gaps.
    #[test]
    fn every_request_is_committed_once_and_in_order(
        steps in prop::collection::vec((any::<bool>(), 0u64..4), 1..60),
    ) {
        let mut driver = founded();
        let mut asked = Vec::new();
        for (is_request, n) in steps {
            if is_request {
                asked.push(Ticket(asked.len() as u64));
                driver.request(asked.len() as u64 - 1);
            } else {
                let op = OpNumber((driver.replica.persisted.0 + n).min(driver.replica.head.0));
                driver.input(Input::Persisted { op });
                prop_assert!(driver.committed.last().unwrap().0.op() <= op.max(OpNumber(4)));
            }
        }
        driver.sync();
        let answered: Vec<Ticket> = driver.committed.iter().filter_map(|c| c.1).collect();
        prop_assert_eq!(answered, asked);
        let ops: Vec<u64> = driver.committed.iter().map(|(e, _)| e.op().0).collect();
        prop_assert_eq!(ops, (1..=driver.replica.head.0).collect::<Vec<_>>());
    }
}
