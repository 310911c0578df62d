//! A small HTTP/1.1 server for tests, which can also be a bad one: it cuts, delays, dribbles and never ends where it is told to.
//!
//! Every server listens on a free port of 127.0.0.1, with a thread per connection, and ends with its threads when it is dropped.

mod answer;
mod ask;
mod request;
mod server;

pub(crate) use answer::{Answer, Fault};
pub(crate) use ask::{Ask, Reply, exchange};
pub(crate) use request::{Request, decoded};
pub(crate) use server::{Intake, Server, Service};
