//! Directories in the form of overlayfs, which the kernel lays over each other: how they say that something below them is gone.
//!
//! A character device 0:0 hides what lower directories have under its name. A directory with the attribute `overlay.opaque` hides what they have in it. Attributes
//! of overlayfs belong to the superuser (`trusted.`) or, in a user namespace, to whoever owns the file (`user.`). <https://docs.kernel.org/filesystems/overlayfs.html>

use rustix::fs::FileType;

/// Whose attributes overlayfs uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attributes {
    /// Those of the superuser.
    Trusted,
    /// Those of the owner: in a user namespace there are no others.
    User,
}

impl Attributes {
    /// What overlayfs uses for this process.
    pub fn here() -> Attributes {
        match std::fs::read_to_string("/proc/self/uid_map") {
            Ok(map) if !is_identity(&map) => Attributes::User,
            _ => Attributes::Trusted,
        }
    }

    /// The attribute of a directory that hides what is below it.
    pub fn opaque(self) -> &'static str {
        match self {
            Attributes::Trusted => "trusted.overlay.opaque",
            Attributes::User => "user.overlay.opaque",
        }
    }
}

/// Whether the map of user numbers, as user_namespaces(7) describes the file, is that of the machine itself.
fn is_identity(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether a file with this mode and device number hides what is below it.
pub fn is_whiteout(mode: u32, device: u64) -> bool {
    FileType::from_raw_mode(mode) == FileType::CharacterDevice && device == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_itself_is_told_from_a_user_namespace() {
        assert!(is_identity("         0          0 4294967295\n"));
        for map in ["0 1000 1\n", "0 0 65536\n", "0 1000 1\n1 100000 65536\n", "", "0 0 4294967295\n5 5 5\n"] {
            assert!(!is_identity(map), "{map}");
        }
    }
}
