//! What do real processes do? Every test here starts the server as a user would, and sees nothing
//! of it but sockets, files, exit codes and what it prints.

// Shared with the tests of several servers, which need more than these.
#[allow(dead_code)]
mod common;
#[allow(dead_code, unused_imports)]
mod load;

mod bad_arguments;
mod bad_bytes;
mod damage;
mod documents;
mod kill;
mod limits;
mod measure;
mod sessions;
mod text_accounts;
mod text_deliveries;
mod text_lines;
mod text_requests;
