//! Lists that come in pages: tags, repositories, referrers. Distribution specification, "Listing Tags".
//!
//! The next page is where the host says, on the same host; where it says nothing after a full page, behind the last entry. A list that leads in circles, or never
//! ends, is an error.

use std::collections::HashSet;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::reference::is_tag;
use crate::spec::{Reference, text};

use super::Registry;
use super::auth::{Access, Verb};
use super::host::Host;
use super::http::client::{Call, Client};
use super::http::url::Url;
use super::http::{encoding, header};
use super::rest::Method;

/// How many entries are asked for at once.
pub(super) const PAGE: usize = 1000;

/// One page: 64 MiB. A million tags of the usual length, where a host knows no pages.
const PAGE_BYTES: usize = 64 << 20;

/// How many pages a list may have.
const PAGES: usize = 100_000;

/// How many entries a list may have.
const ENTRIES: usize = 4 << 20;

/// How many bytes all pages of a list may have together, with the addresses that lead to them: 256 MiB. Four million tags of the usual length have half of that.
const LIST_BYTES: usize = 256 << 20;

/// How many pages in a row may bring nothing new.
const BARREN: usize = 100;

/// Walks through a list. `take` receives each page and says how many entries it had, how many of them were new, and what the last one is called.
///
/// Returns false where the host answered that there is no such list. Kinds: `corrupt` for lists that do not end, and as [`Client::call`].
pub(super) fn walk(client: &Client, host: &Host, first: Url, access: &Access<'_>, accept: &str, mut take: impl FnMut(&[u8]) -> Result<Page>) -> Result<bool> {
    let mut url = first.clone();
    let mut visited = HashSet::new();
    let mut extent = Extent::default();
    loop {
        if extent.is_without_end() {
            return Err(Error::corrupt(format!("the list at {first} does not end")).subject(&host.name));
        }
        if !visited.insert(url.in_full()) {
            return Err(Error::corrupt(format!("the list at {first} leads in circles")).subject(&host.name));
        }
        let mut call = Call::new(Method::Get, url.clone(), access.clone()).header("Accept", accept);
        let reply = client.call(host, &mut call)?;
        match reply.status {
            200 => {}
            404 if extent.pages == 0 => return Ok(false),
            _ => return Err(reply.refusal(Method::Get, &call.url).into_error()),
        }
        let next = header::next_link(reply.all("link")).map(str::to_owned);
        let document = encoding::document(reply, PAGE_BYTES)?;
        let page = take(&document)?;
        extent.grow(document.len() + url.in_full().len(), &page);
        url = match (next, page.last) {
            (Some(next), _) => same_origin(&url, &next)?,
            // A host that knows no pages sends the same again, in which nothing is new.
            (None, Some(last)) if page.entries == PAGE && page.new > 0 && first.parameter("n").is_some() => first.with("last", &last),
            _ => return Ok(true),
        };
    }
}

/// How far a list has gone.
#[derive(Debug, Default)]
struct Extent {
    pages: usize,
    entries: usize,
    bytes: usize,
    /// How many of the last pages had nothing new.
    barren: usize,
}

impl Extent {
    fn grow(&mut self, bytes: usize, page: &Page) {
        self.pages += 1;
        self.entries += page.entries;
        self.bytes += bytes;
        self.barren = if page.new == 0 { self.barren + 1 } else { 0 };
    }

    /// Whether this is more than any list has.
    fn is_without_end(&self) -> bool {
        self.pages >= PAGES || self.barren >= BARREN || self.entries > ENTRIES || self.bytes > LIST_BYTES
    }
}

/// What a page had.
pub(super) struct Page {
    pub(super) entries: usize,
    pub(super) new: usize,
    pub(super) last: Option<String>,
}

fn same_origin(here: &Url, next: &str) -> Result<Url> {
    let next = here.join(next)?;
    match next.origin.host == here.origin.host && (next.origin == here.origin || next.origin.scheme != here.origin.scheme) {
        // Behind a proxy some hosts take themselves for others of their kind.
        true => Ok(next.at(&here.origin)),
        false => Err(Error::new(ErrorKind::Denied, format!("the list at {here} goes on at {}, which is another host", next.origin))),
    }
}

/// All names in a list, each once, in the order of the host. None where there is no such list.
fn names(
    client: &Client,
    host: &Host,
    first: Url,
    access: &Access<'_>,
    read: impl Fn(&[u8]) -> Result<Vec<String>>,
    keep: impl Fn(&str) -> bool,
) -> Result<Option<Vec<String>>> {
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    let is_there = walk(client, host, first, access, "application/json", |bytes| {
        let page = read(bytes)?;
        let (entries, last, mut new) = (page.len(), page.last().cloned(), 0);
        for name in page {
            // What is no name is not remembered: it may be anything, and of any length.
            if !keep(&name) {
                new += 1;
            } else if seen.insert(name.clone()) {
                new += 1;
                names.push(name);
            }
        }
        Ok(Page { entries, new, last })
    })?;
    Ok(is_there.then_some(names))
}

impl Registry {
    /// The tags, in the order of the host, without what is no tag: digests that Artifactory lists among them. Kinds: `not_found` where there is no such
    /// repository, or where it is empty and the host says so in this way.
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let url = self.host.url(&format!("/{}/tags/list", self.repository), Some(format!("n={PAGE}")));
        let read = |bytes: &[u8]| Ok(parse::<Tags>(bytes, &self.shown())?.tags.unwrap_or_default());
        let tags = names(&self.client, &self.host, url, &self.access(Verb::Pull), read, is_real_tag);
        let tags = tags.map_err(|error| error.context(format!("cannot list the tags of {}", self.shown())))?;
        tags.ok_or_else(|| Error::not_found(format!("there is no repository {}, or it has no tags", self.shown())).subject(self.shown()))
    }
}

/// The repositories of a host, in its order, without what is no name of one.
pub(super) fn repositories(client: &Client, host: &Host) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Repositories {
        repositories: Option<Vec<String>>,
    }
    let url = host.url("/_catalog", Some(format!("n={PAGE}")));
    let read = |bytes: &[u8]| Ok(parse::<Repositories>(bytes, &host.name)?.repositories.unwrap_or_default());
    let is_name =
        |name: &str| format!("{}/{name}", host.name).parse::<Reference>().is_ok_and(|reference| reference.tag().is_none() && reference.digest().is_none());
    let names =
        names(client, host, url, &Access::Catalog, read, is_name).map_err(|error| error.context(format!("cannot list the repositories of {}", host.name)))?;
    names.ok_or_else(|| Error::unsupported(format!("{} does not list its repositories", host.name)).subject(&host.name).hint("name a repository"))
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], whose: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::corrupt(format!("the list from {} is none", text::shown(whose))).because(error))
}

/// A tag, and not the name of a folder of Artifactory.
fn is_real_tag(tag: &str) -> bool {
    let is_folder = tag.strip_prefix("sha256__").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_tag(tag) && !is_folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_12_what_is_no_tag_is_not_listed() {
        let hex = "a".repeat(64);
        for tag in ["1.2", "latest", "sha256__short", &format!("sha256-{hex}.sig")] {
            assert!(is_real_tag(tag), "{tag}");
        }
        for tag in ["../../etc/passwd", "a\u{1b}[31m", "a\n", "", &format!("sha256:{hex}"), &format!("sha256__{hex}")] {
            assert!(!is_real_tag(tag), "{tag:?}");
        }
    }

    #[test]
    fn reg_16_and_17_no_list_goes_on_for_ever() {
        let page = |entries, new| Page { entries, new, last: None };
        for (what, bytes, page, most) in [
            ("pages of nothing", 10, page(0, 0), BARREN),
            ("pages of one name each", 100, page(1, 1), PAGES),
            ("full pages", 20_000, page(1000, 1000), ENTRIES / 1000 + 1),
            ("large pages of what is no name", PAGE_BYTES, page(1, 1), LIST_BYTES / PAGE_BYTES + 1),
        ] {
            let mut extent = Extent::default();
            let pages = (1..).find(|_| {
                extent.grow(bytes, &page);
                extent.is_without_end()
            });
            assert_eq!(pages, Some(most), "{what}");
        }
    }

    #[test]
    fn reg_15_a_list_goes_on_on_its_own_host() {
        let here: Url = "https://registry.example/v2/a/tags/list?n=2".parse().expect("a URL");
        for (next, expected) in [
            ("/v2/a/tags/list?n=2&last=b", "https://registry.example/v2/a/tags/list?n=2&last=b"),
            ("http://registry.example/v2/a/tags/list?last=b", "https://registry.example/v2/a/tags/list?last=b"),
            ("https://registry.example:443/x", "https://registry.example/x"),
        ] {
            assert_eq!(same_origin(&here, next).expect(next).in_full(), expected);
        }
        for next in ["https://evil.example/x", "//evil.example/x", "https://registry.example:8443/x", "http://169.254.169.254/", "https://u@registry.example/"]
        {
            assert!(same_origin(&here, next).is_err(), "{next}");
        }
    }
}
