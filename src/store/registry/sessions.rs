//! Uploads that were begun, beyond the end of a run.

/// Keeps where half-uploaded blobs are. What is kept is a hint: an upload that the host has forgotten begins anew.
pub trait Sessions: Send + Sync {
    /// Where the upload of `digest` into a repository was begun.
    fn find(&self, host: &str, repository: &str, digest: &str) -> Option<String>;

    /// An upload was begun, or goes on somewhere else.
    fn begun(&self, host: &str, repository: &str, digest: &str, location: &str);

    /// An upload is complete, or lost.
    fn ended(&self, host: &str, repository: &str, digest: &str);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unkept;

impl Sessions for Unkept {
    fn find(&self, _: &str, _: &str, _: &str) -> Option<String> {
        None
    }

    fn begun(&self, _: &str, _: &str, _: &str, _: &str) {}

    fn ended(&self, _: &str, _: &str, _: &str) {}
}
