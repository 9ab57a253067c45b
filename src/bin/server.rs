//! The server: arguments, exit codes, nothing else.

fn main() {}
