//! One thread, one poll, one registry of connections.
