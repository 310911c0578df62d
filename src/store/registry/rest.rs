//! Calls besides `/v2`.

use super::credential::Secret;

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the headers.
    Head,
    /// Does something.
    Post,
    /// Stores something.
    Put,
    /// Stores a part of something.
    Patch,
    /// Deletes something.
    Delete,
}

impl Method {
    /// The word in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Rest {
    /// What is done.
    pub method: Method,
    /// To what: `https://HOST/PATH[?QUERY]`, without user and password.
    pub url: String,
    /// What proves who one is.
    pub authorization: Authorization,
    /// The content type and the body, where there is one.
    pub body: Option<(String, Vec<u8>)>,
    /// Whether doing it twice is the same as doing it once.
    pub repeat: Repeat,
}

/// Whether a call that may have been received is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is.
    Safe,
    /// It is only where the host surely did nothing.
    Never,
}

/// What a call carries to prove who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing.
    None,
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// A header of its own, such as `X-JFrog-Art-Api`.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, of at most 4 MiB.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}
