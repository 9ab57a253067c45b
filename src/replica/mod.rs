//! The protocol that decides when an op is committed.
