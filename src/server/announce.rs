//! What are people told?
//!
//! At the start: who this server is, where it is reached, what it is in the cluster, what it waits for
//! if it waits, and what to type next. Later, in the log, a few lines for each change of view.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use super::opening::Opened;
use super::{Options, Server, StartError};
use crate::replica::{Note, Role};
use crate::types::{Member, ServerId, Time, View};
use crate::wire::text::in_utc;

/// How long something has to be so before people are told: a start goes through many states.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
/// How often it is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(50);

/// What people were told of.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// The last that was said.
    said: String,
    /// What is to be said if it stays so.
    next: String,
    /// Since when it is so.
    since: Time,
    looked_at: Time,
    /// The last view that the log was told of.
    noted: Option<Note>,
    /// This server has found its place since it was started.
    is_placed: bool,
}

/// Whoever forces a primary is told what that means and where this server's log ends, and asked.
pub(super) fn ask_about_force(options: &Options, opened: &Opened) -> Result<(), StartError> {
    if !options.force_primary {
        return Ok(());
    }
    let Some((last, time)) = opened.last() else {
        log::warn!("--force-primary has no effect: this folder has nothing yet to go on with");
        return Ok(());
    };
    let cost = format!(
        "--force-primary: this server's log ends with op {last}, written {}. Whatever other servers \
         acknowledged after that will be lost",
        in_utc(time)
    );
    if options.yes {
        log::warn!("{cost}");
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(StartError::ForceUnconfirmed { cost });
    }
    println_quietly(&format!(
        "{cost} to everybody.\n\
         It will lead alone, and begin a history of its own; servers that come back later put aside\n\
         what only they have, and follow this one. Do this only when the disks of the servers that\n\
         it waits for are gone for good.\n\
         Type yes to go on:"
    ));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(StartError::ForceDeclined),
    }
}

impl Server {
    /// Says who this server is, and where.
    pub(super) fn print_start(&self) {
        let me = self.replica.identity();
        let name = match me.server.0 {
            0 => "a new server".to_owned(),
            server => format!("server {server}"),
        };
        println_quietly(&format!(
            "lastword {version}: {name}, process {process}\n\
             service {service}, member address {member}{advertised}\n\
             data in {data}",
            version = env!("CARGO_PKG_VERSION"),
            process = std::process::id(),
            service = self.options.service,
            member = self.member.address,
            advertised = match self.options.advertise {
                Some(address) => format!(" (others are told {address})"),
                None => String::new(),
            },
            data = self.disk.slot().directory().display(),
        ));
    }

    /// Says that clients are let in, and what to type next.
    pub(super) fn print_ready(&mut self) {
        self.say_where_it_stands();
    }

    /// Looks whether there is something to say about this server's place.
    pub(super) fn look_at_place(&mut self) {
        if self.now.since(self.announced.looked_at) < LOOKED_AT_EVERY {
            return;
        }
        self.announced.looked_at = self.now;
        let place = self.place();
        if place != self.announced.next {
            self.announced.next = place;
            self.announced.since = self.now;
        }
        if self.now.since(self.announced.since) >= SETTLED_AFTER {
            self.say_where_it_stands();
        }
    }

    fn say_where_it_stands(&mut self) {
        let place = self.place();
        if place == self.announced.said {
            return;
        }
        // The first lines are an answer to whoever has typed the command.
        if !self.announced.is_placed {
            println_quietly(&place);
            if let Some(next) = self.next_command() {
                println_quietly(&next);
            }
        } else {
            log::info!("{place}");
        }
        self.announced.is_placed |= self.replica.serves() || self.replica.role() == Role::Backup;
        self.announced.said = place;
    }

    /// What this server is, in a sentence.
    fn place(&self) -> String {
        let server = match self.replica.identity().server.0 {
            0 => "this server".to_owned(),
            server => format!("server {server}"),
        };
        let not_ready = self.replica.not_ready();
        match (self.replica.role(), not_ready) {
            (Role::Primary, None) => {
                format!("{server} is the primary, {}, and ready", self.company())
            }
            (Role::Primary, Some(why)) => {
                format!(
                    "{server} is the primary, and not ready: {}",
                    self.remedy(&why)
                )
            }
            (Role::Backup, _) => format!("{server} is a backup{}", self.of_leader()),
            (Role::Learner, _) => format!("{server} is catching up{}", self.of_leader()),
            (Role::Waiting, Some(why)) => format!("{server} is not ready: {}", self.remedy(&why)),
            (Role::Waiting, None) => format!("{server} is waiting"),
        }
    }

    fn of_leader(&self) -> String {
        let leader = self.replica.leader();
        leader.map_or_else(String::new, |it| {
            format!(" of server {}, the primary at {}", it.server, it.address)
        })
    }

    /// With whom a primary is in sync.
    fn company(&self) -> String {
        let members = self.replica.view().map_or(&[][..], |view| &view.members);
        let me = self.replica.identity().server;
        let others: Vec<String> = members
            .iter()
            .filter(|member| member.server != me)
            .map(|member| member.server.to_string())
            .collect();
        match others.len() {
            0 => "alone".into(),
            1 => format!("with server {} in sync", others[0]),
            _ => format!("with servers {} in sync", others.join(" and ")),
        }
    }

    /// What somebody who has started this server will want to type.
    fn next_command(&self) -> Option<String> {
        let service = self.options.service;
        let (ip, port) = (service.ip(), service.port());
        match self.replica.role() {
            Role::Primary if self.replica.serves() => Some(format!(
                "next: nc {ip} {port}   or: client --server {service}"
            )),
            _ => None,
        }
    }

    /// A line for the log.
    pub(super) fn note(&mut self, note: &Note) {
        // Who leads is told by several servers, and by each again when a link comes up.
        if matches!(note, Note::Leads { .. } | Note::Follows { .. }) {
            if self.announced.noted.as_ref() == Some(note) {
                return;
            }
            self.announced.noted = Some(note.clone());
        }
        match note {
            Note::Leads { view } => log::info!("this server leads {}", named(view)),
            Note::Follows { view } => {
                log::info!("server {} leads {}", view.primary, named(view));
            }
            Note::Stopped => log::info!("this server does not lead any more"),
            Note::Dead(Member { server, .. }) => {
                log::info!("server {server} is dead: its process has ended");
            }
            Note::Silent(Member { server, .. }) => log::info!("server {server} is silent"),
            Note::SlowDisk(Member { server, .. }, time) => log::warn!(
                "the disk of server {server} takes {} ms for a sync, far longer than the others': it \
                 holds up every write, and leaves the servers in sync until it is quick again",
                time.as_millis()
            ),
            Note::Resigned => {
                log::info!(
                    "the others went on without this server: it comes back as a new process"
                );
            }
            Note::Adopted => log::warn!(
                "another server was forced to lead, and its history counts from now on: what only others have \
                 acknowledged since is put aside, with everything that this server has"
            ),
            Note::Joined(server) => log::info!("this is server {server} from now on"),
            // The journal says where it keeps them.
            Note::Cut { .. } => {}
            Note::SnapshotFor(server) => log::info!("server {server} is to get a snapshot"),
            // It ends the server, which says so.
            Note::FoundedBeside(_) => {}
            Note::Forced { last, time, others } => {
                let others: Vec<String> = others.iter().map(ServerId::to_string).collect();
                log::warn!(
                    "--force-primary: this server leads alone from now on, with its log up to op {} \
                     (written {}). What {} acknowledged after that is given up: a server that comes \
                     back keeps it in a file aside, and follows this history",
                    last.op,
                    in_utc(*time),
                    match &others[..] {
                        [] => "any other server".to_owned(),
                        [one] => format!("server {one}"),
                        all => format!("servers {}", all.join(", ")),
                    },
                );
            }
            Note::ForceRefused(why) => {
                log::error!("--force-primary is refused, and nothing was changed: {why}");
            }
            Note::OptionsDiffer(server) => log::warn!(
                "server {server} was started with another --grace or --trust-refused than this one: until they \
                 are alike, a primary proves itself by the shorter grace, an election waits for the longer one, \
                 and the most careful --trust-refused is that of all"
            ),
            Note::GivesWay => log::warn!(
                "the store here is damaged: the other servers are asked to go on without this one, which comes \
                 back with a snapshot"
            ),
        }
    }
}

/// A view as people are shown it.
fn named(view: &View) -> String {
    let members: Vec<String> = view.members.iter().map(|m| m.server.to_string()).collect();
    format!(
        "view {}: servers in sync {}",
        view.number.round(),
        members.join(", ")
    )
}

/// Standard output may be closed; that is no reason to end.
fn println_quietly(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
