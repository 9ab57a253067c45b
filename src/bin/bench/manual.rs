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
            "failover: the client that everybody has sends one message after the other, from the moment at which \
             the command of --kill is started. What is shown is the time from the last message that the killed \
             server has acknowledged to the first one that is acknowledged after it. How long the command \
             takes to do its work does not count, and one message's usual time is all by which it may be too \
             long. The next kill waits until as many servers are in sync as at the beginning. The commands are run by sh; \
             LASTWORD_SERVER_ID in their environment is the primary's id (and its slot, where scripts/cluster start has \
             made the cluster), LASTWORD_MEMBER its own address, and LASTWORD_PID, for --kill, its process, if that runs \
             on this machine and may be looked at.",
            "idle: the resident memory of the server's process, from before these clients come to when they have \
             done nothing for --seconds, with all that their logging in has left there. What the kernel keeps \
             for their sockets is not in it. A server that has had as many clients before has their memory in store, \
             and shows nothing: start it anew. Processor time is counted by the kernel in hundredths of a second.",
            "Figures of different machines, and of different days on a shared one, say little beside each other. \
             grid --against-limit measures the server and a bare pipeline in turns, and says which part of \
             what is possible the server reaches.",
        ]),
    },
    Section {
        title: "HOW FOLDERS ARE FILLED",
        body: Body::Text(&[
            "fill and costs write the folder of a server without a server, by the code that a server writes it with: \
             it has the same journal, the same store and the same log, and may be gone on with, alone or with backups \
             that join. The accounts a0, a1 and so on stand in a ring; each talks with its neighbours, four messages \
             at a time, round and round, and has read everything. All have one password, which is hashed once.",
            "costs starts a server on such a folder at free ports of 127.0.0.1. The first time is from the start of the \
             process until clients are let in; memory is what the process has resident then, and after the requests. \
             100 accounts from all over the folder log in, ask for a history, send, and resume; one request \
             at a time, and the median is shown. Most of the time of LOGIN is Argon2, which is slow on purpose and does \
             not depend on what there is; RESUME is a login without it.",
        ]),
    },
    Section {
        title: "EXAMPLES",
        body: Body::Lines(
            "bench --seconds 60 --timeline\n\
             bench --clients 1000 --depth 4 --json | jq .each_second\n\
             bench grid --against-limit --runs 3\n\
             bench fill --data filled --accounts 1000000 --messages 0\n\
             bench costs --messages 10000,1000000\n\
             bench idle --clients 10000\n\
             bench failover --times 5 --kill 'scripts/cluster kill $LASTWORD_SERVER_ID' --restart 'scripts/cluster start'\n\
             bench failover --kill 'kill -9 $LASTWORD_PID'",
        ),
    },
    Section {
        title: "EXIT STATUS",
        body: Body::List(&[
            (
                "0",
                "It was measured, and all that was acknowledged is there; or the folder is filled.",
            ),
            (
                "1",
                "It could not be measured or filled, or something is missing; the reason is said.",
            ),
            ("2", "The arguments are wrong."),
        ]),
    },
];
