//! What does the manual page of the measures say besides their arguments?

use crate::documents::{Body, Section};

/// How it is called.
pub const SYNOPSIS: &[&str] = &[
    "bench [--server address] [options]",
    "bench command [options]",
];

/// The sections behind the commands.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "WHAT IS MEASURED",
        body: Body::Text(&[
            "Messages a second that were acknowledged, which means that they are on the disk of every server in \
             sync, and how long each took. Without --rate every connection keeps --depth requests open, and asks \
             the next one when one is answered. With it, each message has a time when it is due, and its time is \
             counted from then, also where the server kept it waiting.",
            "In the end every message that was acknowledged is looked up: it has to be there under its id, once.",
            "Figures of different machines, and of different days on a shared one, say little beside each other. \
             grid --against-limit measures the server and a bare pipeline in turns, and says which part of \
             what is possible the server reaches.",
        ]),
    },
    Section {
        title: "EXAMPLES",
        body: Body::Lines(
            "bench --seconds 60 --timeline\n\
             bench --clients 1000 --depth 4 --json | jq .each_second\n\
             bench grid --against-limit --runs 3",
        ),
    },
    Section {
        title: "EXIT STATUS",
        body: Body::List(&[
            (
                "0",
                "It was measured, and all that was acknowledged is there.",
            ),
            (
                "1",
                "It could not be measured, or something is missing; the reason is said.",
            ),
            ("2", "The arguments are wrong."),
        ]),
    },
];
