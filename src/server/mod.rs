//! The glue.
