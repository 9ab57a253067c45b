//! A journal's random life, and what it was promised to keep at each moment of it.

use std::ops::ControlFlow;

use lastword::journal::storage::{FaultyStorage, Storage};
use lastword::journal::{CutFile, Journal, JournalError, Recovery, read_cut};
use lastword::types::OpNumber;

use super::{CLUSTER, Random, create_after, open, read};

/// What a run has been promised so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promise {
    /// The number of changes of the storage by then.
    pub steps: usize,
    /// The journal was made.
    pub created: bool,
    /// A sync answered this.
    pub synced: u64,
    /// Up to here, ops were released.
    pub released: u64,
    /// How often the log was cut off: which of the run's logs it is.
    pub log: usize,
    /// It is being cut off after this op: from now on, that may have happened or not.
    pub cutting: Option<u64>,
}

/// What became of files that were another segment's before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reuse {
    /// So many segments were made out of a spare one.
    pub made: usize,
    /// So often the log was cut off inside of one.
    pub cut: usize,
    /// So often the journal was opened again where one was the last, and went on in it.
    pub gone_on: usize,
}

impl Reuse {
    /// Counts those of another run, too.
    pub fn add(&mut self, other: Self) {
        self.made += other.made;
        self.cut += other.cut;
        self.gone_on += other.gone_on;
    }
}

/// A journal on its way through a random life.
pub struct Run {
    random: Random,
    pub storage: FaultyStorage,
    /// The op that the journal begins after.
    base: u64,
    /// The body of each op after `base`, as it was appended last: one log for the time before the
    /// first cut, one for that between it and the second, and so on; each as it was at last.
    logs: Vec<Vec<Vec<u8>>>,
    /// The file of each cut that was made: the first one between the first and the second log.
    cuts: Vec<CutFile>,
    /// After each call that came back, oldest first; the first one promises nothing.
    pub promises: Vec<Promise>,
    /// What it did with files that were another segment's.
    pub reuse: Reuse,
    /// The last segment, if the journal was opened with it and has not written to it since.
    reopened: Option<String>,
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let storage = FaultyStorage::new();
        storage.record();
        let mut random = Random(seed);
        let base = match random.below(3) {
            0 => random.below(1 << 40),
            _ => 0,
        };
        let nothing = Promise {
            synced: base,
            released: base,
            ..Promise::default()
        };
        Self {
            random,
            storage,
            base,
            logs: vec![Vec::new()],
            cuts: Vec::new(),
            promises: vec![nothing],
            reuse: Reuse::default(),
            reopened: None,
        }
    }

    /// Creates the journal and does some things with it, until the storage fails, if it does.
    pub fn live(&mut self, actions: u64) -> Result<(), JournalError> {
        let mut journal = create_after(&self.storage, self.base)?;
        self.promise(|it| it.created = true);
        if self.random.below(2) == 0 {
            self.begin_in_a_reused_segment(&mut journal)?;
        }
        for _ in 0..actions {
            match self.random.below(16) {
                0..6 => self.append(&mut journal),
                6..10 => self.sync(&mut journal)?,
                10..12 => {
                    // Nearly all of it, more often than not: only then is a file left over.
                    let synced = journal.synced().0 - self.base;
                    let held_back = self.random.below(synced + 1) / (1 + self.random.below(9));
                    self.release(&mut journal, self.base + synced - held_back)?;
                }
                12..14 => self.truncate(&mut journal)?,
                _ => {
                    // The process is killed: what was only appended is gone.
                    drop(journal);
                    let (reopened, recovery) = open(&self.storage)?;
                    assert_eq!(recovery.cut, None);
                    journal = reopened;
                    self.reopened = self.last_reused();
                    let count = (recovery.head.0 - self.base) as usize;
                    self.log().truncate(count);
                    self.promise(|it| it.synced = recovery.head.0);
                }
            }
        }
        self.sync(&mut journal)
    }

    /// The log as it is now.
    fn log(&mut self) -> &mut Vec<Vec<u8>> {
        self.logs.last_mut().expect("there is the first")
    }

    /// Fills some segments, releases them, and begins a new one, which is made out of what is spare.
    fn begin_in_a_reused_segment(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        for _ in 0..4 {
            self.append_one(journal, 600);
        }
        self.sync(journal)?;
        self.release(journal, journal.synced().0)?;
        for _ in 0..2 {
            self.append_one(journal, 30);
        }
        self.sync(journal)
    }

    fn release(&mut self, journal: &mut Journal, up_to: u64) -> Result<(), JournalError> {
        // It may happen from now on, whether the call comes back or not.
        self.promise(|it| it.released = it.released.max(up_to));
        journal.release(OpNumber(up_to))?;
        self.promise(|_| {});
        Ok(())
    }

    fn append(&mut self, journal: &mut Journal) {
        for _ in 0..=self.random.below(4) {
            let length = match self.random.below(8) {
                0 => self.random.below(900),
                _ => self.random.below(60),
            };
            self.append_one(journal, length);
        }
    }

    fn append_one(&mut self, journal: &mut Journal, length: u64) {
        let body = self.random.bytes(length);
        journal.append(journal.head().next(), &body);
        self.log().push(body);
    }

    fn sync(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        let before = (journal.synced(), self.segments());
        let synced = journal.sync()?.0;
        assert_eq!(synced, self.base + self.log().len() as u64);
        self.promise(|it| it.synced = synced);
        if before.0 < journal.synced() {
            self.count_reuse(&before.1);
        }
        Ok(())
    }

    /// After a sync that has written something, and before which there were these segments.
    fn count_reuse(&mut self, before: &[String]) {
        let now = self.segments();
        let made = now.iter().filter(|it| !before.contains(it));
        self.reuse.made += made.filter(|it| self.is_reused(it)).count();
        if let Some(reopened) = self.reopened.take()
            && now.last() == Some(&reopened)
        {
            self.reuse.gone_on += 1;
        }
    }

    /// The names of the journal's segments, in order.
    fn segments(&self) -> Vec<String> {
        let mut names = self.storage.list().expect("it is in memory");
        names.retain(|it| it.ends_with(".segment"));
        names
    }

    /// Whether the header of a segment says that its file was another one's.
    fn is_reused(&self, segment: &str) -> bool {
        self.storage.contents(segment)[48] == 1
    }

    /// The last segment, if its file was another one's.
    fn last_reused(&self) -> Option<String> {
        let last = self.segments().pop()?;
        self.is_reused(&last).then_some(last)
    }

    fn truncate(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        let (begin, head) = (journal.first().0 - 1, journal.head().0);
        let after = begin + self.random.below(head - begin + 2);
        if after < head {
            self.promise(|it| it.cutting = Some(after));
        }
        let truncated = journal.truncate(OpNumber(after))?;
        assert_eq!(truncated.head.0, after.min(head));
        assert_eq!(truncated.cut.is_some(), after < head);
        if let Some(cut) = truncated.cut {
            assert_eq!((cut.first.0, cut.last.0), (after + 1, head));
            let count = (after - self.base) as usize;
            let rest = self.log()[..count].to_vec();
            self.logs.push(rest);
            self.cuts.push(cut);
            self.promise(|it| it.log += 1);
            let first = self.last_reused().and_then(|it| it[..20].parse().ok());
            self.reuse.cut += usize::from(first.is_some_and(|it: u64| it <= after));
        }
        self.promise(|it| {
            it.synced = after.min(head);
            it.cutting = None;
        });
        Ok(())
    }

    fn promise(&mut self, change: impl FnOnce(&mut Promise)) {
        let mut promise = self.last_promise();
        change(&mut promise);
        promise.steps = self.storage.steps();
        self.promises.push(promise);
    }

    pub fn last_promise(&self) -> Promise {
        *self.promises.last().expect("there is the first")
    }

    /// The last promise that was made within so many changes.
    pub fn promise_after(&self, steps: usize) -> Promise {
        let made = self.promises.partition_point(|it| it.steps <= steps);
        self.promises[made - 1]
    }

    /// Is everything kept that was promised, and does the journal go on?
    pub fn check(&self, left: &FaultyStorage, promise: Promise, random: &mut Random) {
        left.record();
        let mut journal = match open(left) {
            Ok((journal, recovery)) => {
                self.check_opened(left, &journal, &recovery, promise);
                journal
            }
            Err(JournalError::Missing { .. }) if !promise.created => {
                create_after(left, self.base).unwrap()
            }
            Err(error) => panic!("{error}"),
        };
        // The power goes again while the end is repaired.
        let steps = random.below(left.steps() as u64 + 1) as usize;
        let again = left.after(steps).crash(&mut |_| random.below(2) == 0);
        self.check_again(&again, promise);
        self.check_going_on(left, &mut journal, random);
    }

    /// Is everything kept that was promised?
    pub fn check_again(&self, again: &FaultyStorage, promise: Promise) {
        match open(again) {
            Ok((journal, recovery)) => self.check_opened(again, &journal, &recovery, promise),
            Err(JournalError::Missing { .. }) if !promise.created => {}
            Err(error) => panic!("in the recovery: {error}"),
        }
    }

    fn check_going_on(&self, left: &FaultyStorage, journal: &mut Journal, random: &mut Random) {
        // Other bodies than those that were torn or cut off, for the same ops.
        let first = journal.first().0;
        let mut bodies = read(journal, first - 1).unwrap();
        for _ in 0..=random.below(3) {
            for _ in 0..=random.below(2) {
                // As long as the one that was torn, it ends where the remains of the next one would
                // pass for its successor.
                let index = (first - 1 - self.base) as usize + bodies.len();
                let torn = self.logs.iter().find_map(|log| log.get(index));
                let length = match torn {
                    Some(body) if random.below(4) > 0 => body.len() as u64,
                    _ => random.below(100),
                };
                bodies.push(random.bytes(length));
                journal.append(journal.head().next(), bodies.last().unwrap());
            }
            if random.below(4) == 0 {
                let count = random.below(bodies.len() as u64 + 1);
                journal.truncate(OpNumber(first - 1 + count)).unwrap();
                bodies.truncate(count as usize);
            }
            journal.sync().unwrap();
        }
        let (journal, recovery) = open(&left.crash(&mut |_| random.below(2) == 0)).unwrap();
        assert_eq!((recovery.torn, recovery.cut), (None, None));
        assert_eq!(read(&journal, first - 1).unwrap(), bodies);
    }

    fn check_opened(
        &self,
        storage: &FaultyStorage,
        journal: &Journal,
        recovery: &Recovery,
        promise: Promise,
    ) {
        let (first, head) = (recovery.first.0, recovery.head.0);
        let log = &self.logs[promise.log];
        let index = |op: u64| (op - self.base) as usize;
        assert!(first <= promise.released + 1, "op {} is lost", first - 1);
        assert_eq!(journal.cluster(), CLUSTER);
        if promise.cutting == Some(head) {
            // It is cut off, and that has left a file; or it ends there because what came behind
            // was not synced.
            let mut names = storage.list().unwrap().into_iter();
            let kept =
                names.any(|it| it.ends_with(".ops") && kept(storage, &it) == log[index(head)..]);
            assert!(kept || head >= promise.synced, "what was cut off is lost");
        } else {
            assert!(head >= promise.synced, "op {} is lost", promise.synced);
        }
        if recovery.cut.is_some() {
            assert_eq!(promise.cutting, Some(head), "nobody wanted that cut");
        }
        assert!(index(head) <= log.len(), "op {head} was never appended");
        let found = read(journal, first - 1).unwrap();
        assert!(
            found == log[index(first) - 1..index(head)],
            "not the ops that were appended"
        );
        for (cut, log) in self.cuts.iter().zip(&self.logs).take(promise.log) {
            assert_eq!(
                kept(storage, &cut.name),
                log[index(cut.first.0) - 1..],
                "{}",
                cut.name
            );
        }
    }
}

/// The bodies that a file of cut off ops holds.
fn kept(storage: &FaultyStorage, name: &str) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut visit = |_, body: &[u8]| {
        bodies.push(body.to_vec());
        ControlFlow::Continue(())
    };
    read_cut(storage, name, &mut visit).unwrap();
    bodies
}
