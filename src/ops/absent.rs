//! What it means that a manifest which an index lists is not there.

/// What it means that a manifest which an index lists is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// Damage: nothing is known of what it would lead to.
    #[default]
    Damage,
    /// It was left out on purpose, with all that it leads to.
    LeftOut,
}
