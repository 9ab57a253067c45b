//! What does a message cost the disk? As much as it is long, and not as much as all those before.

use lastword::types::{Name, SessionId, Text};
use lastword::wire::message::{Deliver, Request};

use crate::common::binary::BinaryClient;
use crate::common::process::written_bytes;
use crate::rig::Cluster;

const MESSAGES: u64 = 300;

#[test]
fn the_store_is_not_written_anew_for_every_message() {
    let cluster = Cluster::of_three();
    cluster.account("alice");
    let mut client = BinaryClient::connect(cluster[cluster.primary()].member());
    client.login("alice", SessionId(1), Deliver::Nothing);
    let mut number = 100;
    let mut bytes_for_each = Vec::new();
    // Right behind so many, the store still has to take them in; once more, it has.
    for stored in [0, 20_000, 0] {
        send(&mut client, &mut number, stored, 200);
        let before: Vec<u64> = (0..3).map(|it| written_bytes(cluster[it].pid())).collect();
        // One at a time: each has a sync of its own.
        send(&mut client, &mut number, MESSAGES, 1);
        for (place, before) in before.iter().enumerate() {
            let written = written_bytes(cluster[place].pid()) - before;
            bytes_for_each.push(written / MESSAGES);
        }
    }
    println!("bytes for each message, on each server: {bytes_for_each:?}");
    // 20,000 messages are 20 MB; a block of the journal, pages of the store and a checkpoint now
    // and then are some kilobytes for each.
    assert!(
        bytes_for_each.iter().all(|bytes| *bytes < 200_000),
        "{bytes_for_each:?}"
    );
}

/// Sends messages of 1,000 bytes, so many ahead of their answers.
fn send(client: &mut BinaryClient, number: &mut u64, count: u64, ahead: u64) {
    let text = "x".repeat(1000);
    let request = Request::Send {
        to: Name::parse("alice").expect("a name"),
        text: Text::parse(&text).expect("a text"),
    };
    let mut open = 0;
    for _ in 0..count {
        client
            .say(*number, *number - open, &request)
            .expect("it is there");
        *number += 1;
        open += 1;
        while open >= ahead {
            client.try_answer().expect("an answer, and not the end");
            open -= 1;
        }
    }
    for _ in 0..open {
        client.try_answer().expect("an answer, and not the end");
    }
}
