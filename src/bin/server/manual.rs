//! What does the server's manual page say besides its arguments?

use crate::documents::{Body, Section};

/// How it is called.
pub const SYNOPSIS: &[&str] = &[
    "server ip port is_primary [options]",
    "server completions shell",
    "server man",
];

/// The sections behind the commands.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "HOW A CLUSTER LIVES",
        body: Body::Text(&[
            "The first server is started with 1, two more with 0 and the same address. OK means that a message is on \
             the disk of every server in sync. When the primary dies, the one with the lowest id takes over; two \
             of three may die. Whoever was killed is started again with the same words, and gets what it has missed.",
            "After all were down, clients are let in as soon as everybody is there who was in sync at the end. \
             Until then STATUS and the client's status command say who is waited for.",
            "SIGTERM or Ctrl+C end a server within two seconds, the primary after it has handed over; a second one \
             at once.",
        ]),
    },
    Section {
        title: "EXIT STATUS",
        body: Body::List(&[
            ("0", "It was told to stop."),
            ("1", "It could not start or go on; the reason is said."),
            ("2", "The arguments are wrong."),
        ]),
    },
    Section {
        title: "ENVIRONMENT",
        body: Body::List(&[
            (
                "LASTWORD_DATA",
                "The data directory, if --data does not say.",
            ),
            (
                "RUST_LOG",
                "How much is logged to standard error: warn, info (the default) or debug.",
            ),
        ]),
    },
    Section {
        title: "FILES",
        body: Body::List(&[
            (
                "lastword-data/IP_PORT/server-N/",
                "A slot: what one server keeps. Each takes the lowest that no live one has locked.",
            ),
            (
                "superblock, journal/",
                "Who the server is, and every message that was acknowledged.",
            ),
            (
                "store.sqlite",
                "The same for looking things up, written a little later.",
            ),
        ]),
    },
    Section {
        title: "EXAMPLES",
        body: Body::Lines(
            "\
server 127.0.0.1 5000 1                 # the first of three
server 127.0.0.1 5000 0                 # the second, and once more for the third
server 127.0.0.1 5000 1 --backups 0     # a single server
server 10.0.0.1 5000 0 --member 10.0.0.2:5000 --cluster-key FILE
server completions bash >~/.local/share/bash-completion/completions/server
server man >~/.local/share/man/man1/server.1",
        ),
    },
    Section {
        title: "SEE ALSO",
        body: Body::Text(&["client(1), nc(1)"]),
    },
];
