//! HTTP, as registries need it: from a call that may be repeated down to bytes on a connection.
//!
//! [`client`] sends calls with what proves who one is, follows redirects and tries again; [`wire`] is one request and its answer. Each address, certificate, proxy
//! and connection has its file. What comes from a host is bounded everywhere: headers by the connection, bodies by whoever reads them, time by [`watch`].

mod agents;
pub(super) mod client;
pub(super) mod encoding;
pub(super) mod failure;
pub(super) mod header;
pub(super) mod limits;
mod names;
mod proxies;
mod redirect;
pub(super) mod retry;
mod tls;
mod told;
pub(super) mod url;
mod watch;
pub(super) mod wire;
