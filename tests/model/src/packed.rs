//! How is a state kept by the million? As few bytes as it takes, one after the other.

use crate::rules::Setting;
use crate::state::{Contact, Entry, Process, State};

/// Appends the bytes of `state` to `bytes`. Equal states have equal bytes, and only they.
pub fn pack(state: &State, bytes: &mut Vec<u8>) {
    let count = state.count;
    for id in state.all() {
        let server = &state.servers[id];
        let process = match server.process {
            Process::Up => 0,
            Process::Paused => 1,
            Process::Down => 2,
        };
        bytes.extend([
            server.incarnation << 3 | process << 1 | u8::from(server.serves),
            server.before << 4 | server.id,
            server.promised,
            server.candidate,
            server.length << 4 | server.commit,
            server.forced << 6
                | server.lineage << 4
                | u8::from(server.wishes) << 3
                | u8::from(server.copied) << 2
                | u8::from(server.clean) << 1
                | u8::from(server.damaged),
            server.stood,
            server.in_force << 4 | server.counter,
        ]);
        bytes.extend(server.descent.to_le_bytes());
        bytes.extend(&server.binding.to_le_bytes()[..3]);
        let log = &server.log[..usize::from(server.length)];
        bytes.extend(log.iter().map(|entry| entry.0));
        for other in state.all() {
            bytes.extend(server.promises[other].to_le_bytes());
            bytes.extend(server.dead[other].to_le_bytes());
            let contact = state.contact[id][other] as u8;
            bytes.push(server.acknowledged[other] << 4 | contact);
        }
        bytes.extend([state.fresh_before[id], state.cut[id]]);
        if state.counts_starts {
            bytes.extend(&state.counters[id]);
        }
    }
    bytes.push(state.highest);
    for proposal in &state.proposals[1..=usize::from(state.highest)] {
        bytes.push(proposal.candidate << 4 | proposal.lineage << 1 | u8::from(proposal.cold));
        for id in 0..count {
            bytes.push(proposal.members[id]);
            bytes.extend(proposal.silent[id].to_le_bytes());
        }
    }
    let spent = &state.spent;
    bytes.extend([
        state.lineages << 4 | spent.ops,
        spent.crashes << 4 | spent.restarts,
        spent.pauses << 4 | spent.stops,
        spent.cuts << 4 | spent.heals,
        spent.copies << 4 | spent.restores,
        spent.losses << 4 | spent.damages,
        spent.forces << 4 | state.beside_living,
    ]);
    for lineage in 0..=usize::from(state.lineages) {
        bytes.push(state.raised[lineage] << 4 | state.answered_count[lineage]);
        let count = usize::from(state.answered_count[lineage]);
        bytes.extend(&state.answered[lineage][..count]);
    }
}

/// Reads one state back.
pub fn unpack(setting: &Setting, bytes: &mut impl Iterator<Item = u8>) -> State {
    let mut take = || bytes.next().expect("a whole state was packed");
    let mut state = State::start(setting);
    for id in 0..state.count {
        let first = take();
        let server = &mut state.servers[id];
        server.incarnation = first >> 3;
        server.process = [Process::Up, Process::Paused, Process::Down][usize::from(first >> 1 & 3)];
        server.serves = first & 1 == 1;
        let second = take();
        (server.before, server.id) = (second >> 4, second & 15);
        server.promised = take();
        server.candidate = take();
        let lengths = take();
        (server.length, server.commit) = (lengths >> 4, lengths & 15);
        let flags = take();
        (server.forced, server.lineage) = (flags >> 6, flags >> 4 & 3);
        server.wishes = flags >> 3 & 1 == 1;
        server.copied = flags >> 2 & 1 == 1;
        server.clean = flags >> 1 & 1 == 1;
        server.damaged = flags & 1 == 1;
        server.stood = take();
        let counts = take();
        (server.in_force, server.counter) = (counts >> 4, counts & 15);
        server.descent = u16::from_le_bytes([take(), take()]);
        server.binding = u32::from_le_bytes([take(), take(), take(), 0]);
        server.log = [Entry::default(); _];
        for at in 0..usize::from(server.length) {
            server.log[at] = Entry(take());
        }
        for other in 0..state.count {
            server.promises[other] = u16::from_le_bytes([take(), take()]);
            server.dead[other] = u16::from_le_bytes([take(), take()]);
            let heard = take();
            server.acknowledged[other] = heard >> 4;
            state.contact[id][other] =
                [Contact::Fresh, Contact::Stale, Contact::Silent][usize::from(heard & 15)];
        }
        (state.fresh_before[id], state.cut[id]) = (take(), take());
        if state.counts_starts {
            state.counters[id] = std::array::from_fn(|_| take());
        }
    }
    state.highest = take();
    for number in 1..=usize::from(state.highest) {
        let first = take();
        let proposal = &mut state.proposals[number];
        (proposal.candidate, proposal.lineage) = (first >> 4, first >> 1 & 7);
        proposal.cold = first & 1 == 1;
        for id in 0..state.count {
            proposal.members[id] = take();
            proposal.silent[id] = u16::from_le_bytes([take(), take()]);
        }
    }
    let spent = &mut state.spent;
    let [first, processes, stops, links] = [take(), take(), take(), take()];
    let [copies, losses, forces] = [take(), take(), take()];
    (state.lineages, spent.ops) = (first >> 4, first & 15);
    (spent.crashes, spent.restarts) = (processes >> 4, processes & 15);
    (spent.pauses, spent.stops) = (stops >> 4, stops & 15);
    (spent.cuts, spent.heals) = (links >> 4, links & 15);
    (spent.copies, spent.restores) = (copies >> 4, copies & 15);
    (spent.losses, spent.damages) = (losses >> 4, losses & 15);
    (spent.forces, state.beside_living) = (forces >> 4, forces & 15);
    for lineage in 0..=usize::from(state.lineages) {
        let counts = take();
        (state.raised[lineage], state.answered_count[lineage]) = (counts >> 4, counts & 15);
        for at in 0..usize::from(state.answered_count[lineage]) {
            state.answered[lineage][at] = take();
        }
    }
    state
}

/// 64 bits that stand for a state: among ten million states two of them agree by chance once in
/// 370,000 searches.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9fb2_1c65_1e98_df25;
    let mut hash = bytes.len() as u64 ^ 0x5851_f42d_4c95_7f2d;
    let mut chunks = bytes.chunks_exact(8);
    let mut mix = |word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(MULTIPLIER);
        let folded = (wide >> 64) as u64 ^ wide as u64;
        hash = folded.wrapping_add(hash.rotate_left(29)) ^ 0xd6e8_feb8_6659_fd93;
    };
    for chunk in &mut chunks {
        mix(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
    }
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(u64::from_le_bytes(last));
    hash ^ hash >> 31
}
