//! What larder tells a keeper, and what the keeper tells larder.
//!
//! ```text
//! to the keeper     length, order as JSON, the bytes of all secrets            and then nothing; the end means that larder is gone
//!                   the number of a signal, one byte                           while the command runs, when it is to end
//! from the keeper   (kind, length, bytes)*                                     lines as they come, and at last the report as JSON
//! ```
//!
//! Paths that need not be UTF-8 are not told: they are links in the directory of the step.

use serde::{Deserialize, Serialize};

use super::{Access, Network, Program, Rootfs, Stream};
use crate::error::{Error, ErrorKind};
use crate::fsio::overlay::Attributes;

/// A step, as its keeper needs to know it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The directory of the step, absolute.
    pub(super) place: String,
    /// The name of the container and its control group.
    pub(super) id: String,
    pub(super) runtime: Program,
    pub(super) rootfs: Rootfs,
    pub(super) attributes: Attributes,
    pub(super) cgroups: Cgroups,
    /// How many lower directories there are; [`lower`] names them.
    pub(super) lowers: usize,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: String,
    pub(super) user: String,
    pub(super) network: Network,
    pub(super) mounts: Vec<Mount>,
    /// The content of `/etc/hosts` and `/etc/resolv.conf`.
    pub(super) hosts: String,
    pub(super) resolv_conf: String,
}

impl Order {
    /// How the step may use device files that layers have: not at all where no control group keeps root from the devices of the machine. A user namespace does it anyway.
    pub(super) fn devices(&self) -> Devices {
        if self.cgroups == Cgroups::None && self.attributes == Attributes::Trusted { Devices::Dead } else { Devices::Allowed }
    }
}

/// What device files in what is mounted are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Devices {
    /// What the control group lets them be.
    Allowed,
    /// Files that cannot be opened.
    Dead,
}

/// Whether the step has control groups of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cgroups {
    Own,
    None,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mount {
    pub(super) target: String,
    pub(super) content: Content,
}

/// As [`super::Content`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content {
    Tree {
        lowers: usize,
        path: String,
        access: Access,
    },
    /// [`mounted`] names it.
    Place,
    Memory {
        size: Option<u64>,
    },
    Secret {
        length: usize,
        mode: u32,
        owner: (u32, u32),
    },
    /// [`mounted`] names the socket of the machine.
    Socket {
        mode: u32,
        owner: (u32, u32),
    },
}

/// The link to a lower directory of the root filesystem.
pub(super) fn lower(index: usize) -> String {
    format!("l{index}")
}

/// The link to a lower directory of a mount, or to what is mounted itself.
pub(super) fn mounted(mount: usize, index: usize) -> String {
    format!("m{mount}-{index}")
}

/// What became of an order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Report {
    /// The command ran.
    Ended { status: u8, hint: Option<String>, copied: Option<String> },
    /// It did not.
    Failed(Told),
}

/// An error on its way between processes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    kind: String,
    /// Outermost first.
    levels: Vec<String>,
    subject: Option<String>,
    hint: Option<String>,
}

impl From<&Error> for Told {
    fn from(error: &Error) -> Told {
        let levels = [vec![error.message().to_owned()], error.causes()].concat();
        let [subject, hint] = [error.subject_text(), error.hint_text()].map(|text| text.map(str::to_owned));
        Told { kind: error.kind().code().to_owned(), levels, subject, hint }
    }
}

impl Told {
    /// The error as it was.
    pub(super) fn into_error(self) -> Error {
        let kind = ErrorKind::ALL.into_iter().find(|kind| kind.code() == self.kind).unwrap_or(ErrorKind::Io);
        let mut levels = self.levels.into_iter().rev();
        let mut error = Error::new(kind, levels.next().unwrap_or_default());
        if let Some(subject) = self.subject {
            error = error.subject(subject);
        }
        if let Some(hint) = self.hint {
            error = error.hint(hint);
        }
        levels.fold(error, Error::context)
    }
}

/// What a keeper says at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Written(Stream, Vec<u8>),
    /// The runtime was started: signals are passed on from now on.
    Began,
    /// The runtime ended, and with it every process of the container.
    Over,
    /// A [`Report`].
    Report(Vec<u8>),
}

const HEAD: usize = 5;

impl Frame {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Frame::Written(Stream::Output, bytes) => (1, bytes.as_slice()),
            Frame::Written(Stream::Error, bytes) => (2, bytes.as_slice()),
            Frame::Report(bytes) => (3, bytes.as_slice()),
            Frame::Began => (4, &[][..]),
            Frame::Over => (5, &[][..]),
        };
        // What a keeper says at once is short.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        [&[kind][..], &length.to_le_bytes(), bytes].concat()
    }

    /// Takes the first frame from `bytes`, once it is there as a whole. What is no frame ends the conversation: an error.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Frame>, Error> {
        let Some(([kind, length @ ..], rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let make: fn(Vec<u8>) -> Frame = match kind {
            1 => |bytes| Frame::Written(Stream::Output, bytes),
            2 => |bytes| Frame::Written(Stream::Error, bytes),
            3 => Frame::Report,
            4 => |_| Frame::Began,
            5 => |_| Frame::Over,
            _ => return Err(Error::new(ErrorKind::Io, "what keeps the step is no larder of this version")),
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let frame = make(content.to_vec());
        bytes.drain(..HEAD + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent_however_they_are_cut() {
        let written = [Frame::Written(Stream::Output, b"a\nb".to_vec()), Frame::Written(Stream::Error, Vec::new())];
        let frames: Vec<_> = [Frame::Began].into_iter().chain(written).chain([Frame::Over, Frame::Report(vec![7; 1000])]).collect();
        let all: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for piece in [1, 2, 7, 4096] {
            let (mut buffer, mut arrived) = (Vec::new(), Vec::new());
            for bytes in all.chunks(piece) {
                buffer.extend_from_slice(bytes);
                while let Some(frame) = Frame::take(&mut buffer).expect("frames") {
                    arrived.push(frame);
                }
            }
            assert_eq!(arrived, frames);
        }
        assert!(Frame::take(&mut b"error: no".to_vec()).is_err());
    }

    #[test]
    fn an_error_stays_what_it_is_between_processes() {
        let error = Error::not_found("no such file").subject("/x").hint("make it").context("cannot open /x").context("cannot run");
        let arrived = serde_json::from_slice::<Told>(&serde_json::to_vec(&Told::from(&error)).expect("JSON")).expect("JSON").into_error();
        assert_eq!((arrived.kind(), arrived.message(), arrived.causes()), (error.kind(), error.message(), error.causes()));
        assert_eq!((arrived.subject_text(), arrived.hint_text()), (Some("/x"), Some("make it")));
    }
}
