//! Registries, each use case in its file. The only operations that open a socket.

pub mod job;
pub mod list;
pub mod login;
pub mod promote;
