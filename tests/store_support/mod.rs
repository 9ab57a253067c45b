//! What may happen to a chat, as a store is told of it, and what every query has to answer then.

pub mod model;
pub mod story;

use lastword::store::{Batch, Query, Range, Scope};
use lastword::types::{AccountId, ConversationId, OpNumber};
use proptest::prelude::*;

use model::Model;
use story::Action;

/// What ends a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The transaction stays open.
    Open,
    /// It is committed.
    Commit,
    /// It is committed and checkpointed.
    Checkpoint,
}

/// A whole run: batches of actions, each with its end.
pub type Run = Vec<(Vec<Action>, End)>;

/// Any run of at most so many batches.
pub fn any_run(batches_max: usize) -> impl Strategy<Value = Run> {
    let end = prop_oneof![
        4 => Just(End::Open),
        4 => Just(End::Commit),
        1 => Just(End::Checkpoint),
    ];
    let actions = prop::collection::vec(Action::any(), 1..24);
    prop::collection::vec((actions, end), 1..batches_max)
}

/// The batches of a run, with what has to be in the store after each.
pub fn told(run: &Run) -> Vec<(Batch, End, Model)> {
    let mut story = story::Story::default();
    let mut model = Model::default();
    run.iter()
        .map(|(actions, end)| {
            let batch = story.batch(actions);
            model.take_in(&batch);
            (batch, *end, model.clone())
        })
        .collect()
}

/// Queries of every kind about everybody and everything, and about what there is not.
pub fn queries(model: &Model) -> Vec<Query> {
    let last = model.image().applied;
    let middle = OpNumber(last.0 / 2);
    let bounds = [
        (OpNumber::ZERO, OpNumber::MAX),
        (middle, last),
        (OpNumber::ZERO, middle),
        (last, middle),
        (OpNumber::MAX, OpNumber::MAX),
    ];
    let mut queries = Vec::new();
    for account in model.everybody().chain([AccountId(u64::MAX), AccountId(0)]) {
        queries.push(Query::PasswordHash { account });
        for scope in scopes(model, account) {
            for (after, before) in bounds {
                let range = Range {
                    account,
                    scope: scope.clone(),
                    after,
                    before,
                };
                queries.push(Query::Count(range.clone()));
                for limit in [0, 1, 4, 256] {
                    let (range, newest) = (range.clone(), range.clone());
                    queries.push(Query::Page { range, limit });
                    let range = newest;
                    queries.push(Query::Newest { range, limit });
                }
            }
        }
    }
    queries
}

fn scopes(model: &Model, account: AccountId) -> Vec<Scope> {
    let read_up_to: Vec<_> = model
        .image()
        .accounts
        .into_iter()
        .filter(|image| image.id == account)
        .flat_map(|image| image.read_up_to)
        .collect();
    let nothing_read = Vec::new();
    let mut scopes = vec![
        Scope::All,
        Scope::Unread {
            read_up_to: nothing_read,
        },
        Scope::Unread { read_up_to },
        Scope::Conversation(ConversationId(u64::MAX)),
    ];
    scopes.extend(model.every_conversation().map(Scope::Conversation));
    scopes
}
