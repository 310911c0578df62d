//! `larder sync` against the real registry: open, with passwords, with tokens, and with TLS by an authority that nobody else knows.

mod bulk;
mod killed;

use std::path::PathBuf;

use crate::support::authority::Authority;
use crate::support::desk::Desk;
use crate::support::registry::{Access, PASSWORD, Registry, USER};
use crate::support::token_server::TokenServer;

/// A registry, and a desk from which everything may be done in it.
struct Shop {
    registry: Registry,
    desk: Desk,
    /// The file of the authority, where there is one.
    authority: Option<PathBuf>,
    /// Dropped after the registry that asks it.
    tokens: Option<TokenServer>,
}

/// How a registry is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Htpasswd,
    Token,
    HtpasswdAndTls,
    TokenAndTls,
}

impl Shop {
    /// `None` after saying that the test is skipped.
    #[track_caller]
    fn open(kind: Kind) -> Option<Shop> {
        let (desk, authority) = (Desk::new(), Authority::new("a house of its own"));
        let identity = || authority.issue(&["127.0.0.1"]);
        let with_tls = matches!(kind, Kind::HtpasswdAndTls | Kind::TokenAndTls);
        let tokens = match kind {
            Kind::Token => Some(TokenServer::start(USER, PASSWORD)),
            Kind::TokenAndTls => Some(TokenServer::start_tls(USER, PASSWORD, &identity())),
            Kind::Open | Kind::Htpasswd | Kind::HtpasswdAndTls => None,
        };
        let access = match (&tokens, kind) {
            (Some(server), _) => Access::Token(server),
            (None, Kind::Open) => Access::Everybody,
            (None, _) => Access::Htpasswd,
        };
        let registry = if with_tls { Registry::start_tls(access, &identity())? } else { Registry::start(access)? };
        let file = desk.home().join("authority.crt");
        std::fs::write(&file, authority.certificate()).expect("writable");
        let authority = with_tls.then_some(file);
        if kind != Kind::Open {
            desk.log_in(&registry.host(), USER, PASSWORD);
        }
        Some(Shop { registry, desk, authority, tokens })
    }

    /// A place in the registry.
    fn at(&self, place: &str) -> String {
        format!("docker://{}/{place}", self.registry.host())
    }

    /// The flags that a command needs to speak to it.
    fn flags(&self) -> Vec<String> {
        self.authority.iter().flat_map(|file| ["--ca-file".to_owned(), file.display().to_string()]).collect()
    }

    /// What `larder sync` reports of this, which must succeed.
    #[track_caller]
    fn sync(&self, arguments: &[&str]) -> serde_json::Value {
        let flags = self.flags();
        let all: Vec<&str> = ["sync"].iter().chain(arguments).copied().chain(flags.iter().map(String::as_str)).collect();
        self.desk.json(&all)
    }

    /// skopeo with what it needs to speak to the registry.
    fn skopeo(&self, command: &str) -> Option<std::process::Command> {
        let mut skopeo = std::process::Command::new(crate::support::tools::tool("skopeo")?);
        skopeo.args(["--insecure-policy", command, "--creds", &format!("{USER}:{PASSWORD}")]);
        match &self.authority {
            Some(file) => skopeo.arg("--cert-dir").arg(file.parent().expect("below")),
            None => skopeo.arg("--tls-verify=false"),
        };
        Some(skopeo)
    }
}
