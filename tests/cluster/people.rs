//! What do people notice of all this who chat by the real client meanwhile? Nothing but a pause:
//! every message comes once to its reader, in order, and what a client calls sent is sent.

use std::time::{Duration, Instant};

use crate::common::eventually;
use crate::common::random::Random;
use crate::common::text::Message;
use crate::rig::Cluster;
use crate::rig::person::{Person, Shown};

const PEOPLE: usize = 5;
/// Nobody types on who waits for so many answers.
const WAITING_MAX: usize = 20;

#[test]
fn five_people_chat_while_servers_are_killed_and_restarted() {
    let mut cluster = Cluster::of_three();
    chat(
        &mut cluster,
        Duration::from_secs(4),
        1,
        &[Fault::Kill, Fault::Restart],
    );
}

#[test]
#[ignore = "takes two minutes"]
fn five_people_chat_for_two_minutes_while_servers_are_killed_paused_and_restarted() {
    // With the times that users have.
    let mut cluster = Cluster::to_be_started(3, &[]);
    cluster.form();
    let faults = [Fault::Kill, Fault::Pause, Fault::Restart];
    chat(&mut cluster, Duration::from_secs(120), 2, &faults);
}

/// What is done to a server, until it is back and in sync.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Restart,
    Pause,
}

fn chat(cluster: &mut Cluster, duration: Duration, seed: u64, faults: &[Fault]) {
    let mut random = Random::new(seed);
    let names: Vec<String> = (0..PEOPLE).map(|it| format!("person{it}")).collect();
    for name in &names {
        cluster.text().create(name);
    }
    let mut people: Vec<Person> = names
        .iter()
        .map(|name| Person::at(cluster.service(), name))
        .collect();
    let until = Instant::now() + duration;
    let mut done = 0;
    while Instant::now() < until {
        let fault = faults[random.between(0..faults.len() as u64) as usize];
        let victim = random.between(0..3) as usize;
        type_for(&mut people, &mut random, Duration::from_millis(300));
        match fault {
            Fault::Kill => cluster[victim].kill(),
            Fault::Restart => cluster[victim].terminate(),
            Fault::Pause => cluster[victim].pause(),
        }
        let pause = Duration::from_millis(random.between(50..1500));
        type_for(&mut people, &mut random, pause);
        match fault {
            Fault::Kill => cluster[victim].start(),
            Fault::Restart => {
                cluster[victim].wait();
                cluster[victim].start();
            }
            Fault::Pause => cluster[victim].go_on(),
        }
        // A second one, now and then, before the first is back.
        if random.between(0..3) > 0 {
            cluster.until_all_in_sync();
        } else {
            cluster.until_in_sync(victim);
        }
        done += 1;
    }
    assert!(done > 1, "nothing went wrong");
    everything_is_read(&people);
    let sent: usize = people.iter().map(|person| person.typed).sum();
    let shown: Vec<(String, Shown)> = people.into_iter().map(leave).collect();
    cluster.until_all_in_sync();
    for (name, shown) in &shown {
        compare(name, shown, &cluster.login(name).messages("LOG"));
    }
    println!("{sent} messages, {done} faults");
    cluster.assert_well();
}

/// Everybody types for so long, each to somebody else.
fn type_for(people: &mut [Person], random: &mut Random, duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        let from = random.between(0..PEOPLE as u64) as usize;
        let to = (from + random.between(1..PEOPLE as u64) as usize) % PEOPLE;
        let to = people[to].name.clone();
        let person = &mut people[from];
        if person.waiting() < WAITING_MAX {
            let text = format!("{}/{}", person.name, person.typed);
            person.send(&to, &text);
        }
        std::thread::sleep(Duration::from_millis(random.between(1..8)));
    }
}

/// Waits until everything has its answer and has come to its reader.
fn everything_is_read(people: &[Person]) {
    eventually("everything that was typed is sent and has come", || {
        let typed: usize = people.iter().map(|person| person.typed).sum();
        let shown: Vec<Shown> = people.iter().map(Person::shown).collect();
        let sent: usize = shown.iter().map(|it| it.sent.len()).sum();
        let came: usize = shown.iter().map(|it| it.came.len()).sum();
        (sent == typed && came >= typed).then_some(())
    });
}

fn leave(person: Person) -> (String, Shown) {
    let name = person.name.clone();
    let (status, shown) = person.leave();
    assert!(status.success(), "{name}: {status}, {:?}", shown.rest);
    (name, shown)
}

/// What was shown is what the servers have: no less, no more, in the same order.
fn compare(name: &str, shown: &Shown, log: &[Message]) {
    let sent: Vec<u64> = log
        .iter()
        .filter(|it| it.from == name)
        .map(|it| it.id)
        .collect();
    assert_eq!(shown.sent, sent, "what {name} was told to be sent");
    let texts: Vec<&String> = log
        .iter()
        .filter(|it| it.from == name)
        .map(|it| &it.text)
        .collect();
    let typed: Vec<String> = (0..texts.len()).map(|it| format!("{name}/{it}")).collect();
    assert_eq!(
        texts,
        typed.iter().collect::<Vec<_>>(),
        "in the order of typing"
    );
    let came: Vec<(String, String)> = log
        .iter()
        .filter(|it| it.to == name)
        .map(|it| (it.from.clone(), it.text.clone()))
        .collect();
    assert_eq!(shown.came, came, "what came to {name}");
    let refused = shown.rest.iter().find(|line| line.starts_with("SEND"));
    assert_eq!(refused, None);
}
