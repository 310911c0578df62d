//! Lists of tags and repositories.

use super::server::Reply;
use super::*;
use crate::error::ErrorKind;

fn tags_of(handler: impl Fn(&super::server::Asked) -> Reply + Send + Sync + 'static) -> crate::Result<Vec<String>> {
    alone(&Server::start(handler)).tags()
}

fn list(tags: &[&str]) -> Reply {
    Reply::new(200).body(serde_json::json!({"name": "team/app", "tags": tags}).to_string())
}

#[test]
fn pages_are_followed_by_link_and_by_the_last_entry() {
    let tags = tags_of(|asked| match asked.parameter("last").as_deref() {
        None => list(&["b", "a"]).header("Link", r#"</v2/team/app/tags/list?last=a&n=2>; rel="next""#),
        Some("a") => list(&["c"]).header("Link", r#"<list?last=c>; rel="next""#),
        _ => list(&["d", "a"]),
    });
    assert_eq!(tags.expect("listed"), ["b", "a", "c", "d"]);
    // Full pages without a link.
    let all: Vec<String> = (0..2500).map(|n| format!("t{n:04}")).collect();
    let served = all.clone();
    let tags = tags_of(move |asked| {
        let last = asked.parameter("last").unwrap_or_default();
        let page: Vec<&str> = served.iter().map(String::as_str).filter(|tag| *tag > last.as_str()).take(1000).collect();
        list(&page)
    });
    assert_eq!(tags.expect("listed"), all);
    // A host that knows no pages, with just as many tags as a page has.
    let served: Vec<String> = all[..1000].to_vec();
    let tags = tags_of(move |_| list(&served.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(tags.expect("listed").len(), 1000);
}

#[test]
fn reg_17_no_tags_are_no_tags_and_very_many_are_listed() {
    assert_eq!(tags_of(|_| Reply::new(200).body(r#"{"name":"x","tags":null}"#)).expect("listed"), [""; 0]);
    assert_eq!(tags_of(|_| Reply::new(200).body(r#"{"name":"x"}"#)).expect("listed"), [""; 0]);
    assert_eq!(tags_of(|_| Reply::new(404)).expect_err("no repository").kind(), ErrorKind::NotFound);
    let many: Vec<String> = (0..200_000).map(|n| format!("t{n}")).collect();
    assert_eq!(tags_of(move |_| list(&many.iter().map(String::as_str).collect::<Vec<_>>())).expect("listed").len(), 200_000);
    assert_eq!(tags_of(|_| Reply::new(200).body(vec![b' '; 65 << 20])).expect_err("too long").kind(), ErrorKind::Corrupt);
    assert_eq!(tags_of(|_| Reply::new(200).body("<html>")).expect_err("no list").kind(), ErrorKind::Corrupt);
}

#[test]
fn digests_among_the_tags_are_left_out() {
    let hex = "ab".repeat(32);
    let (digest, folder) = (format!("sha256:{hex}"), format!("sha256__{hex}"));
    assert_eq!(tags_of(move |_| list(&["1", &digest, &folder, "../x", "a b", "2"])).expect("listed"), ["1", "2"]);
}

#[test]
fn reg_16_a_list_that_leads_in_circles_or_never_ends_is_refused() {
    let circle = tags_of(|asked| list(&["a"]).header("Link", format!("<{}>; rel=next", asked.target)));
    assert_eq!(circle.expect_err("a circle").kind(), ErrorKind::Corrupt);
    let circle = tags_of(|asked| {
        let next = if asked.parameter("last").as_deref() == Some("a") { "b" } else { "a" };
        list(&[next]).header("Link", format!("</v2/team/app/tags/list?last={next}>; rel=next"))
    });
    assert_eq!(circle.expect_err("a circle of two").kind(), ErrorKind::Corrupt);
    let count = std::sync::atomic::AtomicUsize::new(0);
    let endless = tags_of(move |_| {
        let next = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        list(&["a"]).header("Link", format!("</v2/team/app/tags/list?last={next}>; rel=next"))
    });
    assert_eq!(endless.expect_err("the same for ever").kind(), ErrorKind::Corrupt);
}

#[test]
fn reg_15_a_list_that_goes_on_elsewhere_is_refused() {
    let other = Server::start(|_| list(&["evil"]));
    let host = other.host();
    let error = tags_of(move |_| list(&["a"]).header("Link", format!("<http://{host}/v2/team/app/tags/list>; rel=next"))).expect_err("another host");
    assert_eq!((error.kind(), other.connections()), (ErrorKind::Denied, 0));
}

#[test]
fn repositories_are_listed_and_what_is_no_name_is_not() {
    let server = Server::start(|asked| match asked.path() {
        "/v2/_catalog" => Reply::new(200).body(r#"{"repositories":["team/app","../x","A","app"]}"#),
        _ => Reply::new(404),
    });
    let network = network(settings());
    assert_eq!(network.repositories(&server.host()).expect("listed"), ["team/app", "app"]);
    let none = Server::start(|_| Reply::new(404));
    assert_eq!(network.repositories(&none.host()).expect_err("not listed").kind(), ErrorKind::Unsupported);
}
