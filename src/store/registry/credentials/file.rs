//! A file with secrets, as it lies on the disk. Nothing of its content ever reaches an error: only where in it something is wrong.

use std::io::Read as _;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::regular;
use crate::spec::{limits, text};

/// What a file of credentials holds, and who else can read it.
pub(super) struct Content {
    /// Its bytes.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Whether every user of the machine can read it, and its owner could change that.
    pub(super) exposed: bool,
}

/// Reads the file at `path`; none where there is none. Fails with kind `usage` for what is no file or too large, `io` where it cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<Content>> {
    let file = match regular::open_path(path) {
        Ok(regular) => regular.file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Err(error.with_kind(ErrorKind::Usage)),
        Err(error) => return Err(error),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    (&file).take(limits::CREDENTIALS_BYTES as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() > limits::CREDENTIALS_BYTES {
        return Err(wrong(path, &format!("it has more than the limit of {} bytes", limits::CREDENTIALS_BYTES)));
    }
    let mode = rustix::fs::fstat(&file).at("examine", path)?.st_mode;
    // What is mounted read-only, as the secrets of a cluster are, nobody can change here.
    let fixed = rustix::fs::fstatvfs(&file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
    Ok(Some(Content { bytes, exposed: mode & 0o004 != 0 && !fixed }))
}

/// Reads JSON. Fails with kind `usage`, and says line and column only: what the parser says may quote a secret.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| wrong(path, &place(&error)))
}

/// As [`decode`]; a file that was made and never written has nothing in it.
pub(super) fn decode_or_empty<T: DeserializeOwned + Default>(bytes: &[u8], path: &Path) -> Result<T> {
    if bytes.trim_ascii().is_empty() { Ok(T::default()) } else { decode(bytes, path) }
}

/// Where a parser stopped, without what it saw there.
fn place(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "the document is not as it must be" } else { "the JSON is not valid" };
    format!("{what} at line {}, column {}", error.line(), error.column())
}

/// What is wrong with the file at `path`, with kind `usage`.
pub(super) fn wrong(path: &Path, why: &str) -> Error {
    let path = text::path(path);
    Error::usage(format!("cannot use the credentials in {path}: {why}")).subject(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn reg_38_a_malformed_file_is_told_by_position_only() {
        for text in ["{\"auths\":{\"r\":{\"auth\":hunter2}}}", "{\"auths\":{\"r\":{\"auth\":1234567}}}", "hunter2", "{\"auths\": \"hunter2\"}", "{\"hunter2\":"]
        {
            let error = decode::<super::super::config::Entries>(text.as_bytes(), Path::new("/x/config.json")).err().expect(text);
            let shown = format!("{error:?} {error} {:?}", error.causes());
            assert!(!shown.contains("hunter2") && !shown.contains("1234567"), "{shown}");
            assert!(error.message().contains("line 1, column ") && error.message().contains("/x/config.json"), "{error}");
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
    }

    #[test]
    fn a_file_that_everybody_reads_is_noticed() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("auth.json");
        assert!(read(&path).expect("absent").is_none());
        std::fs::write(&path, "{}").expect("written");
        for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("own file");
            assert_eq!(read(&path).expect("read").expect("there").exposed, exposed, "{mode:o}");
        }
        assert_eq!(read(temp.path()).err().expect("a directory").kind(), ErrorKind::Usage);
        std::fs::write(&path, vec![b' '; limits::CREDENTIALS_BYTES + 1]).expect("written");
        assert_eq!(read(&path).err().expect("too large").kind(), ErrorKind::Usage);
    }
}
