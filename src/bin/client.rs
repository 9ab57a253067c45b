//! The client: arguments, exit codes, nothing else.

fn main() {}
