//! Platforms that are built for.

use crate::exec::Run;
use crate::spec::Platform;

pub use crate::specfile::platforms::{check, read};

/// Tells of platforms that nobody has heard of: new ones look like that, and mistakes too.
pub(super) fn warn_of_unknown(run: &Run, platforms: &[Platform]) {
    for platform in platforms {
        if let Some(unknown) = platform.unknown_word() {
            run.events.warn(format!("platform {platform} is not known: there is no `{}`; the nearest is `{}`", unknown.word, unknown.nearest));
        }
    }
}
