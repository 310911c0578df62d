//! Files as an image store needs them: written durably, locked, opened without trust, verified while read, shared where the file system can.
//!
//! Relies on the error type, digests and [`crate::exec::Cancel`]. Knows nothing of images. Works on open directories ([`Dir`]) rather than paths wherever
//! somebody else could change the path meanwhile.

pub mod beneath;
pub mod claim;
pub mod dir;
pub mod durable;
pub mod hidden;
pub mod lock;
pub mod overlay;
pub mod place;
pub mod regular;
pub mod remove;
pub mod replica;
pub mod stamp;
pub mod target;
pub mod temp_dir;
pub mod verify;
pub mod write_back;

pub use dir::Dir;
pub use hidden::Hidden;
pub use lock::{Lock, Patience};
pub use place::Placed;
pub use regular::Regular;
pub use target::Target;
pub use temp_dir::TempDir;
pub use verify::{Mismatch, VerifyingReader};
pub use write_back::WriteBack;
