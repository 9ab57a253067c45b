//! Every maximum of the program in one place, each with what happens when it is reached.
//!
//! Sizes are bytes and times are [`Duration`]s unless a name says otherwise. What an operator may
//! want otherwise is an option of the server; its default stands here.

use std::time::Duration;

// --- what people may write ---

/// Longest name: a longer one is `bad_name`.
pub const NAME_BYTES_MAX: usize = 32;
/// Shortest password: a shorter one is `bad_password`.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Longest password: a longer one is `bad_password`.
pub const PASSWORD_BYTES_MAX: usize = 128;
/// Longest text of a message: a longer one is `too_long`.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Longest pattern of LIST: a longer one is `bad_arguments`.
pub const PATTERN_BYTES_MAX: usize = 128;
/// Longest PHC string of a password hash in an op.
pub const PASSWORD_HASH_BYTES_MAX: usize = 256;

// --- lines and frames ---

/// Longest line before login, its end not counted: `too_long`, and the rest of it is skipped.
pub const LINE_BYTES_MAX_BEFORE_LOGIN: usize = 4 * 1024;
/// Longest line after login, its end not counted: `too_long`, and the rest of it is skipped.
/// A text of 16 KiB in which every byte is escaped still fits.
pub const LINE_BYTES_MAX: usize = 33 * 1024;
/// Longest body of a client's frame before login: `too_long`, and the connection is closed.
pub const FRAME_BODY_BYTES_MAX_BEFORE_LOGIN: usize = 1024;
/// Longest body of a client's frame after login: `too_long`, and the connection is closed.
pub const FRAME_BODY_BYTES_MAX: usize = 32 * 1024;
/// Longest body of a frame that a server sends to a client; it divides what is longer.
pub const FRAME_BODY_BYTES_MAX_TO_CLIENT: usize = 64 * 1024;
/// Longest sentence or line that a server writes for people: the rest is cut off.
pub const SENTENCE_BYTES_MAX: usize = 1024;
/// Longest name that a program gives itself in its hello: a longer one is `bad_arguments`, and the
/// connection is closed.
pub const SOFTWARE_BYTES_MAX: usize = 64;
/// Longest payload of an op in the log.
pub const OP_BYTES_MAX: usize = 20 * 1024;

// --- history ---

/// How many messages HISTORY gives when nothing is said.
pub const HISTORY_MESSAGES_DEFAULT: u32 = 100;
/// How many messages HISTORY gives at most: more is `bad_arguments`.
pub const HISTORY_MESSAGES_MAX: u32 = 1000;
/// How many messages the store hands out at a time; a longer answer takes several pages.
pub const PAGE_MESSAGES_MAX: u32 = 256;
/// How many bytes of text the store hands out at a time (but always at least one message).
pub const PAGE_TEXT_BYTES_MAX: usize = 128 * 1024;

// --- sessions ---

/// Requests that a session may have open: beyond, `bad_arguments`.
pub const SESSION_OPEN_REQUESTS_MAX: u64 = 256;
/// Sessions of an account: beyond, the least recently used one is let go.
pub const ACCOUNT_SESSIONS_MAX: usize = 16;
/// Answers to account creations that are kept for a retry: beyond, the oldest is forgotten, and
/// its retry gets `name_taken`. At Argon2's price that many take more than a minute to make.
pub const REMEMBERED_CREATIONS_MAX: usize = 4096;

// --- connections ---

/// Requests of one connection on their way through the log: beyond, nothing more is read from it.
pub const CONNECTION_REQUESTS_MAX: usize = 256;
/// Clients at a time (`--max-clients`): beyond, a connection is closed with `busy`.
pub const CLIENTS_MAX_DEFAULT: usize = 20_000;
/// Clients of one address at a time (`--max-clients-per-ip`), loopback exempt: beyond, a
/// connection is closed with `busy`.
pub const CLIENTS_PER_IP_MAX_DEFAULT: usize = 1000;
/// Bytes of a connection before login that were read and not consumed: beyond, nothing more is
/// read from it.
pub const INPUT_BYTES_MAX_BEFORE_LOGIN: usize = 8 * 1024;
/// Bytes waiting to be sent on a connection before login: beyond, no request of it is taken up.
pub const SEND_QUEUE_BYTES_MAX_BEFORE_LOGIN: usize = 16 * 1024;
/// Bytes waiting to be sent on one connection: beyond, no request of it is taken up, and
/// deliveries wait in the store.
pub const SEND_QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// How long a send queue may stay full: then the connection is closed.
pub const SEND_QUEUE_FULL_MAX: Duration = Duration::from_secs(30);
/// How long a connection that is being closed may take to send what is queued: then it is cut.
pub const CLOSING_TIME_MAX: Duration = SEND_QUEUE_FULL_MAX;
/// How long a connection that has sent everything waits for the peer's end, so that a reset does
/// not overtake the last answer: then it is freed.
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read and thrown away while a connection is being closed: beyond, it is cut.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read from one connection before the next has its turn.
pub const READ_BUDGET_BYTES: usize = 64 * 1024;
/// Bytes read from one link to another server before the next has its turn. A backup syncs once a
/// turn, so this is how much one sync is for at most.
pub const LINK_READ_BUDGET_BYTES: usize = 1024 * 1024;
/// Bytes read from all connections in one turn: the others come first in the next one.
pub const TURN_READ_BUDGET_BYTES: usize = 1024 * 1024;
/// Bytes of one connection that were read and not consumed: beyond, nothing more is read from it.
/// It holds the largest message several times over.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;
/// Connections that the kernel completes ahead of accept: beyond, it lets their clients try again.
pub const LISTEN_BACKLOG: i32 = 1024;
/// Clients beyond the caps that are being told so: beyond, the oldest of them is cut. A server that
/// comes in says what it is before that many can follow it. Where file descriptors are scarce, they are a quarter
/// of the clients' share.
pub const REFUSALS_MAX: usize = 256;
/// How long a connection may be silent before the kernel asks whether its peer still lives.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How often the kernel asks a silent peer; after nine questions without an answer it gives up.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// File descriptors that no connection can have. What the server itself needs at the same time: 14 for the
/// standard streams, the loop, the listeners, the folder's lock, a segment and the store; and for a moment up to 7
/// for a snapshot that is being made, 5 for one that is checked, 6 for one that takes the store's place, 3 for the
/// superblock and the next segment.
pub const DESCRIPTORS_FOR_FILES: usize = 40;
/// File descriptors that no client can have: an open link and a dial for each other server, or a third of what
/// connections may have where that is less.
pub const DESCRIPTORS_FOR_LINKS_MAX: usize = 2 * SERVERS_MAX;
/// With fewer file descriptors of its own (`ulimit -n`) a server does not start: it would have no more than two
/// dozen connections.
pub const DESCRIPTORS_MIN: usize = DESCRIPTORS_FOR_FILES + 24;
/// Connections accepted from one listener before the others have their turn.
pub const ACCEPT_BUDGET: usize = 64;
/// How long accepting pauses when there are no file descriptors left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be silent before it is told how to get help.
pub const GREETING_AFTER: Duration = Duration::from_secs(1);
/// Time to log in over binary frames: then the connection is closed.
pub const LOGIN_TIME_MAX_BINARY: Duration = Duration::from_secs(10);
/// Time to log in over text: then the connection is closed.
pub const LOGIN_TIME_MAX_TEXT: Duration = Duration::from_secs(60);
/// Time from the first byte of a line or a frame to its last: then the connection is closed.
pub const PARTIAL_MESSAGE_TIME_MAX: Duration = Duration::from_secs(60);
/// Errors in a row before login: then the connection is closed.
pub const ERRORS_BEFORE_LOGIN_MAX: u32 = 10;

// --- passwords ---

/// Checks and hashes waiting for the password worker: beyond, `busy`.
pub const PASSWORD_QUEUE_MAX: usize = 1024;
/// Wrong passwords of one account or one address (loopback exempt) before it has to wait.
pub const LOGIN_FAILURES_FREE: u32 = 5;
/// The first wait; each further failure doubles it.
pub const LOGIN_WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Accounts and addresses of which failures are remembered: beyond, the oldest are forgotten.
pub const LOGIN_FAILURES_REMEMBERED_MAX: usize = 65_536;

// --- other servers ---

/// Backups that a new cluster waits for before it lets clients in (`--backups`): until then,
/// `not_ready`.
pub const BACKUPS_DEFAULT: u16 = 2;
/// How long a server that takes over leaves the service's address to whoever is dying
/// (`--rebind-delay`), and how often it tries it again.
pub const REBIND_DELAY_DEFAULT: Duration = Duration::from_millis(50);
/// How often servers tell each other that they are alive (`--heartbeat`).
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_millis(100);
/// How old the proof may be by which a primary answers reads (`--fresh`): beyond, it asks first.
pub const FRESH_DEFAULT: Duration = Duration::from_millis(800);
/// How long a server may be unheard (`--grace`): beyond, the others go on without it.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(1);
/// How far the time of a message may be ahead of the clocks of all other members that are linked: the primary takes
/// the latest of theirs and this much, where its own wall clock shows more. One clock that was wrong would otherwise
/// give its time to all later messages, since no message has an earlier time than the one before. A primary that
/// has no other member believes its own clock.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(2);
/// How long a dialed server may take to connect (or `--fresh`, if that is shorter: a server that is
/// farther away could never be fresh), and then to say who it is: beyond, it is given up, and dialed
/// again. So no dial waits for the kernel's next attempt, which comes after a second at the earliest.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(1);
/// Ports above the service's at which a server that knows no primary looks for the others of its
/// cluster: those beyond are found only if somebody else has found them.
pub const NEIGHBOURS_MAX: usize = 12;
/// How long what was sent to another server may stay unacknowledged by its machine: then the link is
/// cut. Shorter than TCP's own patience, which is a quarter of an hour; a machine whose process does
/// not read for that long (its disk hangs) loses its links, too.
pub const LINK_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
/// Bytes from another server that were read and not taken in: beyond, nothing more is read. It
/// holds the longest frame several times over.
pub const LINK_INPUT_BYTES_MAX: usize = 4 * PEER_FRAME_BODY_BYTES_MAX;
/// Bytes waiting to be sent to another server. More than what can be on its way to it ever is;
/// where it stays beyond for [`SEND_QUEUE_FULL_MAX`], the link is cut.
pub const LINK_SEND_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same complaint about the same address is written to the log once in this time.
pub const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);
/// Complaints that are remembered: beyond, all are forgotten, and may be repeated.
pub const COMPLAINTS_REMEMBERED_MAX: usize = 256;
/// Parts of a snapshot on their way to one server: beyond, it has to acknowledge some first.
pub const SNAPSHOT_PARTS_OPEN_MAX: u64 = 4;
/// How long a client's requests may wait for a change of view before it is told so.
pub const WRITES_WAIT_TOLD_AFTER: Duration = Duration::from_millis(100);

/// Views whose beginnings are remembered. A server that was away for more gets a snapshot, though
/// the ops that it lacks may still be there.
pub const VIEWS_REMEMBERED_MAX: usize = 256;
/// The longest disk time that time-outs follow: a server whose disk takes longer for a sync counts
/// as silent then.
pub const DISK_TIME_MAX: Duration = Duration::from_secs(10);
/// Members of a view: beyond, no further server is admitted. Each of them has to acknowledge
/// every op.
pub const MEMBERS_MAX: usize = 9;
/// Servers that have an id: beyond, one that is gone and that no view needs is forgotten for each
/// that joins, and if there is none, no further one joins. A new server also takes the place of one
/// whose address it has.
pub const SERVERS_MAX: usize = 32;
/// Promises that bind at a time: beyond, a server promises nothing new before one is released.
pub const BINDINGS_MAX: usize = 8;
/// Earlier processes of a server that its folder is known to continue. An older one is forgotten: a
/// cold start that has to ask for exactly that one waits for ever. (Only a process that may have been
/// a member counts, not each start.)
pub const DESCENT_MAX: usize = 128;
/// The newest of them that servers tell each other about a third one.
pub const GOSSIPED_DESCENT_MAX: usize = 8;
/// Longest body of a frame between servers.
pub const PEER_FRAME_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of ops in one Prepare: the rest follows in the next (a longer single op goes alone).
pub const PREPARE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a snapshot in one frame.
pub const SNAPSHOT_PART_BYTES: usize = 256 * 1024;
/// Bytes of committed ops that are kept in memory for servers that are nearly up to date: others
/// get them out of the journal.
pub const LOG_TAIL_BYTES: usize = 1024 * 1024;
/// Bytes of ops that are on their way to one learner: beyond, it has to acknowledge some first.
pub const LEARNER_WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// How far behind a learner may be to be admitted: about what one sync takes.
pub const LEARNER_LAG_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of ops that are not committed: beyond, no new requests are taken up.
pub const UNCOMMITTED_BYTES_MAX: usize = 16 * 1024 * 1024;

// --- journal and store ---

/// Size at which the journal begins a new segment.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// How much of a segment is written with zeros ahead of the records, so that a sync does not
/// have to change the file's size.
pub const SEGMENT_PREPARED_BYTES: u64 = 1024 * 1024;
/// Full segments that are kept behind the store's checkpoint, for servers that catch up.
pub const SEGMENTS_KEPT: usize = 1;
/// Files of segments that nobody needs any more which are kept to become the next ones: others are removed.
pub const SEGMENTS_SPARE: usize = 2;
/// Ops in one transaction of the store: then it is committed. A page of lists of messages is
/// written once for each transaction that changes it, and when everybody talks to everybody, 4096
/// ops change nearly as many pages as 32,768 do: their messages cost a multiple.
pub const TRANSACTION_OPS_MAX: u64 = 32 * 1024;
/// Age of a transaction of the store: then it is committed.
pub const TRANSACTION_AGE_MAX: Duration = Duration::from_secs(1);
/// Bytes of the store's write-ahead log: beyond, it is checkpointed. What is moved then is synced at once, and
/// a message that is acknowledged meanwhile waits for it: 64 MiB kept it for a tenth of a second.
pub const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;
/// How much later than the loop the store's thread has the processor, in steps of `nice`: the loop is what people wait
/// for.
pub const STORE_NICENESS: i32 = 5;
/// Bytes of applied ops that the store has not taken in: beyond, no new requests are taken.
pub const STORE_LAG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Queries waiting for the store's worker: beyond, `busy`.
pub const STORE_QUERIES_MAX: usize = 65_536;
/// Bytes of the disk that a snapshot in the making leaves free: it is given up before it takes
/// them, because the journal and the store end the server when the disk is full. Each may need so
/// much at once.
pub const SNAPSHOT_BYTES_LEFT_FREE: u64 = 2 * SEGMENT_BYTES;

// --- the loop ---

/// How long a turn takes up requests, and likewise writes out what the store has found and goes
/// on with long lists: the rest waits for the next turn.
pub const TURN_WORK_TIME_MAX: Duration = Duration::from_millis(10);
/// Events taken from one poll.
pub const EVENTS_PER_POLL: usize = 1024;
/// How long a stopping server waits for the others to go on without it: then it stops all the
/// same.
pub const HANDOVER_TIME_MAX: Duration = Duration::from_millis(1500);
/// How long a stopping server goes on in all, to hand over and to send what is still queued. With
/// what the store needs afterwards it is to be gone within 2 s.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_millis(1700);
