//! Do the rules do in a certain story what replication.md says they do?
