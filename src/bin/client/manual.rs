//! What does the client's manual page say besides its arguments?

use crate::documents::{Body, Section};

/// How it is called.
pub const SYNOPSIS: &[&str] = &["client [options]", "client [options] command [arguments]"];

/// The sections behind the commands.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "COMMANDS OF A SESSION",
        body: Body::Text(&[
            "Without a command client runs until it is left: on a terminal as a full screen, where /help lists \
             what there is; with --plain and in a pipe a command a line, where HELP does. QUIT or Ctrl+D end it.",
        ]),
    },
    Section {
        title: "WHEN SERVERS DIE",
        body: Body::Text(&[
            "One named server is enough: the others are learnt from it. When the one that serves is lost, the \
             next one is looked for, and what has no answer yet is asked again under the same number, so that it \
             is done once. Nothing is called sent that no server has acknowledged; where it cannot be known \
             whether a message was sent, that is said.",
            "A command gives up when nothing was answered for as long as --timeout says, and then tells what came \
             of each server that it tried. Without a command it goes on trying.",
        ]),
    },
    Section {
        title: "PASSWORDS",
        body: Body::Text(&[
            "A password is never an argument, which others could see. It is the first line of --password-file, or \
             else LASTWORD_PASSWORD, or else it is asked for at the terminal, without being shown.",
        ]),
    },
    Section {
        title: "EXIT STATUS",
        body: Body::List(&[
            (
                "0",
                "Everything was acknowledged. For status: a server answered.",
            ),
            (
                "1",
                "Something was refused or failed, or it is not known whether it was done. For send - already if this \
                 is so of one line. Standard output could not be written.",
            ),
            ("2", "The arguments are wrong; no server was asked."),
            ("3", "No server has served for as long as --timeout says."),
            (
                "130, 143, 129",
                "Ctrl+C, SIGTERM or SIGHUP ended it, after it has said what is not acknowledged.",
            ),
            ("141", "Nobody reads its standard output any more."),
        ]),
    },
    Section {
        title: "ENVIRONMENT",
        body: Body::List(&[
            ("LASTWORD_SERVER", "The servers, if --server does not say."),
            ("LASTWORD_USER", "The account, if --user does not say."),
            (
                "LASTWORD_PASSWORD",
                "The password, if there is no --password-file.",
            ),
            (
                "NO_COLOR",
                "No colours, if it is not empty. TERM=dumb says the same.",
            ),
        ]),
    },
    Section {
        title: "FILES",
        body: Body::List(&[(
            "$XDG_STATE_HOME/lastword/, ~/.local/state/lastword/",
            "The servers of each cluster that was talked to, so that it is found also when the one that is named \
             is gone.",
        )]),
    },
    Section {
        title: "EXAMPLES",
        body: Body::Lines(
            "\
client --user alice create                     # make the account alice
client --user alice send bob 'hi'              # one message
make 2>&1 | client --user ci send bob -        # a message a line
client --user bob watch --json | jq .text      # messages as they come
client --user bob watch --count 1              # wait for one
client --user alice log --json >alice.json     # everything
client --server 10.0.0.1,10.0.0.2 status --watch
client completions bash >~/.local/share/bash-completion/completions/client
client man >~/.local/share/man/man1/client.1",
        ),
    },
    Section {
        title: "SEE ALSO",
        body: Body::Text(&["server(1)"]),
    },
];
