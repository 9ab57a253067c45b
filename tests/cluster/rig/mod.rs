//! What do these tests stand on? Servers that are processes, on a loopback address of their own or
//! on hosts of a network that the test makes.

pub mod address;
pub mod cluster;
pub mod hosts;
pub mod person;
pub mod server;
pub mod terminal;

pub use cluster::Cluster;
pub use server::Server;
