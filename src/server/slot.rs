//! What is in the data directory, and which part of it is this server's?
//!
//! Everything is looked at before anything is changed. A founding writes its superblock last: a
//! slot without one holds nothing, whatever else a crash has left in it.

use std::net::SocketAddr;

use super::{Options, StartError};
use crate::journal::storage::{ClaimError, DataDirectory, DiskStorage, SlotState};
use crate::journal::superblock;

/// The slot that a server is to have, and what else there is.
pub(super) struct Choice {
    /// The slot.
    pub slot: SlotState,
    /// The member address that its server had; `None` if it is empty.
    pub kept_address: Option<SocketAddr>,
    /// The member addresses of the servers in the other slots.
    pub siblings: Vec<SocketAddr>,
}

/// The slot that was named, or the lowest that no live process has. Changes nothing.
pub(super) fn choose_slot(options: &Options) -> Result<Choice, StartError> {
    let slots: Vec<SlotState> = match DataDirectory::examine(&options.data)? {
        DataDirectory::Missing | DataDirectory::Empty => Vec::new(),
        DataDirectory::Slots(slots) => slots,
        DataDirectory::Foreign { entry } => return Err(ClaimError::Foreign { entry }.into()),
    };
    let number = options.slot.unwrap_or_else(|| {
        (1..)
            .find(|n| !slots.iter().any(|s| s.number == *n && s.locked))
            .expect("there are more numbers than slots")
    });
    let chosen = slots.iter().find(|slot| slot.number == number);
    let slot = chosen.copied().unwrap_or(SlotState {
        number,
        has_data: false,
        locked: false,
        process: None,
    });
    if slot.locked {
        let (number, process) = (slot.number, slot.process);
        let directory = options.data.clone();
        return Err(ClaimError::InUse {
            number,
            directory,
            process,
        }
        .into());
    }
    let others = slots.iter().filter(|it| it.number != number && it.has_data);
    // What another server's superblock says is no reason not to start this one.
    let siblings = others.filter_map(|it| address_in(options, *it).ok().flatten());
    Ok(Choice {
        siblings: siblings.collect(),
        kept_address: match slot.has_data {
            true => address_in(options, slot)?,
            false => None,
        },
        slot,
    })
}

/// The member address of the server in a slot.
fn address_in(options: &Options, slot: SlotState) -> Result<Option<SocketAddr>, StartError> {
    let directory = options.data.join(format!("server-{}", slot.number));
    let storage = DiskStorage::open(&directory)?;
    Ok(superblock::read(&storage)?.map(|it| it.member_address))
}
