//! What does one process of the bare pipeline do?

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use super::FileKind;
use crate::journal::storage::{DiskStorage, Storage, StorageFile};
use crate::limits::{FRAME_BODY_BYTES_MAX, LINK_SEND_QUEUE_BYTES_MAX};
use crate::net::{Bounds, ConnectionId, Event, EventLoop, Listener, ListenerTag, LoopConfig};
use crate::types::{ClusterId, OpNumber, RequestNumber, ServerId, ViewNumber};
use crate::wire::decoded::Decoded;
use crate::wire::frame::{Kind, decode_frame, put_frame};
use crate::wire::hello::{Hello, encode_hello};
use crate::wire::message::Answer;
use crate::wire::reply::encode_answer;

/// Length of a file that was prepared. It is written to from the beginning again, when it is full.
const PREPARED_BYTES: usize = 192 << 20;
/// Bytes that go into one batch, about.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Longest frame between the processes.
const BATCH_FRAME_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// How long the first process waits for the others.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Where a process stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where its file is.
    pub folder: PathBuf,
    /// Which of the three it is, from 1.
    pub number: u8,
    /// How its file is written.
    pub kind: FileKind,
    /// Where the others listen, if this is the first.
    pub backups: Vec<SocketAddr>,
}

impl Place {
    /// As the arguments of a process.
    pub(super) fn to_words(&self) -> Vec<OsString> {
        let kind = match self.kind {
            FileKind::Prepared => "prepared",
            FileKind::Growing => "growing",
        };
        let mut words = vec![
            self.folder.clone().into_os_string(),
            self.number.to_string().into(),
            kind.into(),
        ];
        words.extend(self.backups.iter().map(|it| it.to_string().into()));
        words
    }

    /// Out of the arguments of a process; `None` if they are not such.
    pub fn from_words(words: &[OsString]) -> Option<Self> {
        let [folder, number, kind, backups @ ..] = words else {
            return None;
        };
        let kind = match kind.to_str()? {
            "prepared" => FileKind::Prepared,
            "growing" => FileKind::Growing,
            _ => return None,
        };
        let backups = backups.iter().map(|it| it.to_str()?.parse().ok());
        Some(Self {
            folder: folder.into(),
            number: number.to_str()?.parse().ok()?,
            kind,
            backups: backups.collect::<Option<_>>()?,
        })
    }
}

/// Runs one process of the pipeline: says by `listening` where it listens, and goes on until it is killed,
/// or until the process that has started it is gone.
///
/// # Errors
/// The system gives no file or no socket.
pub fn run_stage(place: &Place, listening: impl FnOnce(SocketAddr)) -> io::Result<()> {
    // Whoever has started it may be killed, and then nobody else ends it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut config = LoopConfig::default();
    if place.number != 1 {
        // Its one connection is a link.
        config.read_budget_bytes = config.link_read_budget_bytes;
    }
    let mut network = EventLoop::new(config)?;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr();
    network.listen(listener, ListenerTag(0))?;
    let log = Log::create(place)?;
    let mut stage = Stage {
        network,
        log,
        backups: Vec::new(),
        unread: VecDeque::new(),
        greeted: HashSet::new(),
        batch: Batch::default(),
        last_batch: 0,
        last_op: 0,
    };
    for backup in &place.backups {
        let id = stage.network.connect(*backup, CONNECT_TIME_MAX)?;
        stage.bound(id);
        stage.backups.push(id);
    }
    listening(address);
    if place.number == 1 {
        stage.lead()
    } else {
        stage.follow()
    }
}

struct Stage {
    network: EventLoop<()>,
    log: Log,
    backups: Vec<ConnectionId>,
    /// Clients with input that was not looked at.
    unread: VecDeque<ConnectionId>,
    /// Clients whose hello has come.
    greeted: HashSet<ConnectionId>,
    batch: Batch,
    last_batch: u64,
    last_op: u64,
}

/// What is in flight.
#[derive(Default)]
struct Batch {
    /// The requests, as they came.
    bytes: Vec<u8>,
    /// Who is to be answered, and which request that was.
    askers: Vec<(ConnectionId, RequestNumber)>,
    /// How many processes have yet to acknowledge it.
    open: usize,
}

impl Stage {
    fn bound(&mut self, id: ConnectionId) {
        if let Some(connection) = self.network.connection(id) {
            connection.bound(Bounds {
                input_bytes_max: 2 * BATCH_FRAME_BYTES_MAX,
                output_bytes_max: LINK_SEND_QUEUE_BYTES_MAX,
            });
        }
    }

    /// The first process.
    fn lead(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        loop {
            self.network.poll(&mut events, None)?;
            for event in events.drain(..) {
                match event {
                    Event::Input(id) if self.backups.contains(&id) => {
                        self.take_acknowledgements(id)
                    }
                    Event::Input(id) => self.unread.push_back(id),
                    Event::Closed { connection, .. } | Event::InputEnded(connection) => {
                        if self.backups.contains(&connection) {
                            return Ok(());
                        }
                        self.greeted.remove(&connection);
                        self.network.close(connection);
                    }
                    Event::ConnectFailed { error, .. } => return Err(error.into()),
                    _ => {}
                }
            }
            if self.batch.open == 0 {
                self.answer();
                self.gather();
                if !self.batch.askers.is_empty() {
                    self.forward();
                    self.network.flush();
                    self.log.write(&self.batch.bytes)?;
                    self.log.sync()?;
                    self.batch.open = self.backups.len();
                }
            }
        }
    }

    /// Answers those whose requests are on all disks.
    fn answer(&mut self) {
        for (id, number) in self.batch.askers.drain(..) {
            self.last_op += 1;
            if let Some(out) = self.network.output(id) {
                let id = OpNumber(self.last_op);
                encode_answer(out, number, &Answer::Sent { id });
            }
        }
        self.batch.bytes.clear();
    }

    /// Takes everything that clients have sent.
    fn gather(&mut self) {
        while self.batch.bytes.len() < BATCH_BYTES_MAX
            && let Some(id) = self.unread.pop_front()
        {
            let Some(connection) = self.network.connection(id) else {
                continue;
            };
            let mut input = std::mem::take(connection.input());
            while let Decoded::Message { message, consumed } =
                decode_frame(input.bytes(), FRAME_BODY_BYTES_MAX)
            {
                if message.kind == Kind::HELLO {
                    self.greeted.insert(id);
                } else {
                    self.batch.askers.push((id, message.number));
                    self.batch
                        .bytes
                        .extend_from_slice(&input.bytes()[..consumed]);
                }
                input.consume(consumed);
            }
            if let Some(connection) = self.network.connection(id) {
                *connection.input() = input;
            }
            if self.greeted.remove(&id)
                && let Some(out) = self.network.output(id)
            {
                let hello = Hello::server("bare", ClusterId(0), ServerId(1), ViewNumber(0));
                encode_hello(out, &hello);
            }
        }
    }

    fn forward(&mut self) {
        self.last_batch += 1;
        for id in &self.backups {
            if let Some(out) = self.network.output(*id) {
                let number = RequestNumber(self.last_batch);
                put_frame(out, Kind::PREPARE, number, |out| {
                    out.extend_from_slice(&self.batch.bytes);
                });
            }
        }
    }

    fn take_acknowledgements(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.connection(id) else {
            return;
        };
        let input = connection.input();
        while let Decoded::Message { consumed, .. } = decode_frame(input.bytes(), 0) {
            input.consume(consumed);
            self.batch.open -= 1;
        }
    }

    /// One of the others.
    fn follow(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        loop {
            self.network.poll(&mut events, None)?;
            for event in events.drain(..) {
                match event {
                    Event::Opened { connection, .. } => self.bound(connection),
                    Event::Input(id) => self.take_batches(id)?,
                    Event::Closed { .. } | Event::InputEnded(_) => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    fn take_batches(&mut self, id: ConnectionId) -> io::Result<()> {
        let Some(connection) = self.network.connection(id) else {
            return Ok(());
        };
        let mut input = std::mem::take(connection.input());
        let mut acknowledged = Vec::new();
        while let Decoded::Message { message, consumed } =
            decode_frame(input.bytes(), BATCH_FRAME_BYTES_MAX)
        {
            self.log.write(message.body)?;
            acknowledged.push(message.number);
            input.consume(consumed);
        }
        if !acknowledged.is_empty() {
            self.log.sync()?;
        }
        if let Some(out) = self.network.output(id) {
            for number in acknowledged {
                put_frame(out, Kind::PREPARE_OK, number, |_| {});
            }
        }
        if let Some(connection) = self.network.connection(id) {
            *connection.input() = input;
        }
        Ok(())
    }
}

/// A file that is written to, batch behind batch.
struct Log {
    file: Box<dyn StorageFile>,
    kind: FileKind,
    position: u64,
}

impl Log {
    fn create(place: &Place) -> io::Result<Self> {
        let mut storage = DiskStorage::open(&place.folder)?;
        let name = format!("lastword-bench-{}", std::process::id());
        let mut file = storage.create(&name)?;
        // It stays usable, and whatever ends this process, nothing stays behind.
        storage.remove(&name)?;
        if place.kind == FileKind::Prepared {
            let zeros = vec![0; 1 << 20];
            for offset in (0..PREPARED_BYTES).step_by(zeros.len()) {
                file.write_at(&zeros, offset as u64)?;
            }
        }
        file.sync()?;
        Ok(Self {
            file,
            kind: place.kind,
            position: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.position + bytes.len() as u64;
        if self.kind == FileKind::Prepared && end > PREPARED_BYTES as u64 {
            self.position = 0;
        }
        self.file.write_at(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
