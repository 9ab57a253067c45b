//! A store in its simplest form: an image, and what each change means for it.

use super::*;
use crate::chat::change::AccountImage;

/// Takes in what the ops up to `applied` changed.
pub(super) fn fold(image: &mut Image, applied: OpNumber, changes: &[Change]) {
    image.applied = applied;
    for change in changes {
        take_in(image, change);
    }
}

fn take_in(image: &mut Image, change: &Change) {
    match change.clone() {
        Change::Cluster(_) => panic!("the chat knows nothing of the cluster"),
        Change::AccountCreated { id, name, .. } => image.accounts.push(AccountImage {
            id,
            name,
            password_version: VERSION,
            all_read_up_to: OpNumber::ZERO,
            read_up_to: Vec::new(),
        }),
        Change::AccountDeleted { id } => delete(image, id),
        Change::ConversationBegun { id, members } => image.conversations.push((id, members)),
        Change::MessageSent(message) => image.clock = message.time,
        Change::AllRead { account, up_to } => {
            let account = account_of(image, account);
            account.all_read_up_to = up_to;
            account.read_up_to.retain(|(_, at)| *at > up_to);
        }
        Change::ConversationRead {
            account,
            conversation,
            up_to,
        } => {
            let account = account_of(image, account);
            account.read_up_to.retain(|(one, _)| *one != conversation);
            account.read_up_to.push((conversation, up_to));
            account.read_up_to.sort();
        }
        Change::Session(session) => {
            image.sessions.retain(|one| one.id != session.id);
            image.sessions.push(session);
            image.sessions.sort_by_key(|one| one.id);
        }
        Change::SessionEnded { session } => image.sessions.retain(|one| one.id != session),
        Change::CreationRemembered(creation) => image.creations.push(creation),
        Change::CreationForgotten { op } => image.creations.retain(|one| one.op != op),
    }
}

fn account_of(image: &mut Image, id: AccountId) -> &mut AccountImage {
    let mut accounts = image.accounts.iter_mut();
    accounts.find(|one| one.id == id).expect("it lives")
}

fn delete(image: &mut Image, id: AccountId) {
    image.accounts.retain(|one| one.id != id);
    image.sessions.retain(|one| one.account != id);
    let living: Vec<_> = image.accounts.iter().map(|one| one.id).collect();
    let has_reader = |members: &[AccountId; 2]| members.iter().any(|one| living.contains(one));
    image
        .conversations
        .retain(|(_, members)| has_reader(members));
}
