//! What verification finds, under names that do not change.

use serde::Serialize;

use crate::error::{Error, ErrorKind};
use crate::fsio::Mismatch;
use crate::spec::shape;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The digest, the path in the layout, or the store, of what is wrong.
    pub subject: String,
    /// What leads to the subject: the name of the entry, where it has one, and then the digests of the documents, outermost first.
    pub chain: Vec<String>,
    /// What is wrong with it, in one line.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody cannot use the images, or cannot be sure of them.
    Error,
    /// Worth knowing, but every image is whole.
    Warning,
}

impl Severity {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$comment:meta])+ $variant:ident = $name:literal, $kind:ident;)*) => {
        /// What can be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$comment])+ #[serde(rename = $name)] $variant,)*
        }

        impl Code {
            /// The name in reports.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $name,)*
                }
            }

            /// The kind of the error that a finding of this code amounts to.
            pub fn kind(self) -> ErrorKind {
                match self {
                    $(Code::$variant => ErrorKind::$kind,)*
                }
            }
        }
    };
}

codes! {
    /// Content that something points to is not there.
    BlobMissing = "blob-missing", Corrupt;
    /// Content has another size than its descriptor says.
    SizeMismatch = "size-mismatch", Corrupt;
    /// Content is not what its digest says.
    DigestMismatch = "digest-mismatch", Corrupt;
    /// Something else than a file stands where content belongs.
    NotAFile = "not-a-file", Corrupt;
    /// A document breaks the rules of the specification.
    DocumentInvalid = "document-invalid", Corrupt;
    /// Readers can understand a document differently.
    DocumentAmbiguous = "document-ambiguous", Corrupt;
    /// A document is of a kind that larder does not read.
    DocumentUnsupported = "document-unsupported", Unsupported;
    /// A digest is of an algorithm that larder does not compute.
    UnsupportedDigest = "unsupported-digest", Unsupported;
    /// Manifest and config do not have the same number of layers.
    DiffIdCount = "diff-id-count", Corrupt;
    /// A layer's tar is not what the config says.
    DiffIdMismatch = "diff-id-mismatch", Corrupt;
    /// A layer cannot be decompressed, or is no tar that all readers understand alike.
    LayerCorrupt = "layer-corrupt", Corrupt;
    /// A layer has a form that larder does not read.
    LayerUnsupported = "layer-unsupported", Unsupported;
    /// A layer has bytes where no reader of tar looks.
    LayerHiddenData = "layer-hidden-data", Corrupt;
    /// A layer has several entries for one path.
    LayerDuplicateEntry = "layer-duplicate-entry", Corrupt;
    /// A layer has entries below a path that it has as something else than a directory.
    LayerPathConflict = "layer-path-conflict", Corrupt;
    /// Indexes are nested too deeply.
    NestingTooDeep = "nesting-too-deep", Corrupt;
    /// Something below `blobs` is not named by a digest.
    UnexpectedFile = "unexpected-file", Corrupt;
    /// Nothing leads to a document, and `index.json`, which could, is not readable.
    Nameless = "nameless", Corrupt;
    /// An archive holds something twice, or bytes where no reader looks.
    Remark = "remark", Corrupt;
    /// The machine failed, so that nothing is known of the content.
    Io = "io", Io;
}

impl Code {
    /// The code for content that could not be opened or read.
    pub(in crate::ops) fn of_content(error: &Error) -> Code {
        match (error.kind(), Mismatch::in_error(error)) {
            (ErrorKind::NotFound, _) => Code::BlobMissing,
            (ErrorKind::Unsupported, _) => Code::UnsupportedDigest,
            (ErrorKind::Corrupt, Some(Mismatch::Digest { .. })) => Code::DigestMismatch,
            (ErrorKind::Corrupt, Some(Mismatch::Size { .. } | Mismatch::Longer { .. })) => Code::SizeMismatch,
            (ErrorKind::Corrupt, None) => Code::NotAFile,
            _ => Code::Io,
        }
    }

    /// The code for verified bytes that are not the document that they should be.
    pub(in crate::ops) fn of_document(error: &Error) -> Code {
        match error.kind() {
            ErrorKind::Unsupported => Code::DocumentUnsupported,
            _ if shape::is_ambiguous(error) => Code::DocumentAmbiguous,
            _ => Code::DocumentInvalid,
        }
    }

    /// The code for verified bytes that cannot be read as a layer.
    pub(super) fn of_layer(error: &Error) -> Code {
        match error.kind() {
            ErrorKind::Unsupported => Code::LayerUnsupported,
            ErrorKind::Corrupt => Code::LayerCorrupt,
            _ => Code::Io,
        }
    }
}

/// All levels of an error in one line; where content differs from its descriptor, only how.
pub(in crate::ops) fn line(error: &Error) -> String {
    match Mismatch::in_error(error) {
        Some(mismatch) => mismatch.to_string(),
        None => std::iter::once(error.message().to_owned()).chain(error.causes()).collect::<Vec<_>>().join(": "),
    }
}
