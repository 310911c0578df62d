//! A sync that is killed: no tag stands on half an image, and the next run goes on where it ended.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use super::{Kind, Shop};
use crate::support::desk::Desk;
use crate::support::forge::sha256;
use crate::support::http::{Answer, Request};
use crate::support::image_set::ImageSet;
use crate::support::process::Companion;
use crate::support::scripted::{Scripted, Step};
use crate::support::sound::assert_layout_is_sound;

/// How many tags there are in the storage of the registry.
fn tags(shop: &Shop) -> usize {
    let repositories = shop.registry.storage().join("docker/registry/v2/repositories/team");
    let Ok(entries) = std::fs::read_dir(repositories) else { return 0 };
    entries.filter_map(|entry| std::fs::read_dir(entry.ok()?.path().join("_manifests/tags")).ok()).map(Iterator::count).sum()
}

#[test]
fn a_push_that_is_killed_goes_on_and_sends_nothing_twice() {
    let Some(shop) = Shop::open(Kind::Token) else { return };
    let set = ImageSet::new(60, 30_000);
    let (layout, place) = (format!("oci:{}", set.layout().display()), shop.at(""));
    let arguments = ["sync", "push", &layout, &place, "--progress", "none"];
    let mut kills = 0;
    for moment in [3, 20, 60] {
        let before = shop.registry.requests("PUT", "/manifests/");
        let mut push = Companion::start(&mut shop.desk.larder(&arguments));
        let wanted = before + moment;
        // Until it has ended, if it is faster.
        while push.try_wait().expect("it is ours").is_none() && shop.registry.requests("PUT", "/manifests/") < wanted {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = push.kill();
        kills += usize::from(push.ends().0.code().is_none());
    }
    assert!(kills > 0, "it was always faster");
    let (blobs, manifests, named) = (shop.registry.requests("PUT", "/blobs/uploads/"), shop.registry.requests("PUT", "/manifests/"), tags(&shop));
    assert!(named < set.images.len(), "nothing was left to do");
    let report = shop.desk.json(&arguments[..4]);
    assert_eq!(report["counts"]["failed"], 0, "{report}");
    assert_eq!(tags(&shop), set.images.len());
    // What was on its way when it was killed may have come twice.
    let surplus = shop.registry.requests("PUT", "/blobs/uploads/") - set.blobs();
    assert!(surplus <= kills * 16, "{surplus} of {blobs} blobs and {manifests} manifests were sent again");
    shop.sync(&["pull", &shop.at(""), &shop.desk.oci("back")]);
    let sound = assert_layout_is_sound(&shop.desk.home().join("back"));
    assert_eq!(sound.names.len(), set.images.len());
}

#[test]
fn a_pull_that_is_killed_goes_on_and_leaves_no_half_image() {
    let Some(shop) = Shop::open(Kind::Htpasswd) else { return };
    let set = ImageSet::new(40, 50_000);
    shop.sync(&["push", &format!("oci:{}", set.layout().display()), &shop.at("")]);
    let (place, out) = (shop.at(""), shop.desk.oci("out"));
    let arguments = ["sync", "pull", &place, &out, "--progress", "none"];
    let blobs = |layout: &Path| std::fs::read_dir(layout.join("blobs/sha256")).map_or(0, Iterator::count);
    let layout = shop.desk.home().join("out");
    let mut pull = Companion::start(&mut shop.desk.larder(&arguments));
    while pull.try_wait().expect("it is ours").is_none() && blobs(&layout) < 60 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = pull.kill();
    let killed = pull.ends().0.code().is_none();
    let fetched = shop.registry.requests("GET", "/blobs/");
    if killed {
        shop.desk.json(&["verify", &out]);
    }
    let report = shop.desk.json(&arguments[..4]);
    assert_eq!(report["counts"]["failed"], 0, "{report}");
    let again = shop.registry.requests("GET", "/blobs/") - fetched;
    assert!(!killed || again < set.blobs(), "{again} blobs were fetched again, after {fetched}");
    assert_eq!(assert_layout_is_sound(&layout).names.len(), set.images.len());
}

/// A registry of one repository that takes uploads in pieces, and says how far they came.
struct Uploads {
    server: Scripted,
    /// What came of each upload, by its number.
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Uploads {
    fn start() -> Uploads {
        let (server, received) = (Scripted::start(), Arc::new(Mutex::new(Vec::<Vec<u8>>::new())));
        let of = |request: &Request| -> usize { request.path.rsplit('/').next().and_then(|number| number.parse().ok()).expect("a number") };
        let place = |number: usize| format!("/v2/app/blobs/uploads/{number}");
        let so_far = move |answer: Answer, number: usize, length: usize| {
            let answer = answer.header("Location", &place(number));
            if length == 0 { answer } else { answer.header("Range", &format!("0-{}", length - 1)) }
        };
        server.expect(Step::new("HEAD", "/*").always().answers(Answer::new(404)));
        server.expect(Step::new("GET", "/v2/").always());
        let state = Arc::clone(&received);
        server.expect(Step::new("POST", "/v2/app/blobs/uploads/").always().answers_by(move |_, _| {
            let mut all = state.lock().expect("nobody died with it");
            all.push(Vec::new());
            so_far(Answer::new(202), all.len() - 1, 0)
        }));
        let state = Arc::clone(&received);
        server.expect(Step::new("PATCH", "/v2/app/blobs/uploads/*").always().answers_by(move |request, _| {
            let mut all = state.lock().expect("nobody died with it");
            all[of(request)].extend_from_slice(&request.body);
            so_far(Answer::new(202), of(request), all[of(request)].len())
        }));
        let state = Arc::clone(&received);
        server.expect(
            Step::new("GET", "/v2/app/blobs/uploads/*")
                .always()
                .answers_by(move |request, _| so_far(Answer::new(204), of(request), state.lock().expect("nobody died with it")[of(request)].len())),
        );
        let state = Arc::clone(&received);
        server.expect(Step::new("PUT", "/v2/app/blobs/uploads/*").always().answers_by(move |request, _| {
            let mut all = state.lock().expect("nobody died with it");
            all[of(request)].extend_from_slice(&request.body);
            let digest = sha256(&all[of(request)]);
            let right = request.parameter("digest") == Some(digest.clone());
            Answer::new(if right { 201 } else { 400 }).header("Docker-Content-Digest", &digest)
        }));
        let put = |request: &Request, _| Answer::new(201).header("Docker-Content-Digest", &sha256(&request.body));
        server.expect(Step::new("PUT", "/v2/app/manifests/*").always().answers_by(put));
        Uploads { server, received }
    }

    fn bytes(&self) -> usize {
        self.received.lock().expect("nobody died with it").iter().map(Vec::len).sum()
    }
}

/// A large layer is not sent from its beginning again.
#[test]
fn an_upload_that_was_cut_goes_on_where_the_registry_has_it() {
    let (uploads, desk) = (Uploads::start(), Desk::new());
    let set = ImageSet::new(1, 20_000_000);
    let (layout, place) = (format!("oci:{}:registry.example/team/app-000:1.0", set.layout().display()), format!("docker://{}/app:1", uploads.server.host()));
    let push = ["sync", "push", &layout, &place, "--progress", "none", "--upload", "chunked=1MiB", "--journal", "journal"];
    let mut killed = Companion::start(&mut desk.larder(&[&push[..], &["--limit-rate", "20M"]].concat()));
    killed.wait_until("much has come", |_| uploads.bytes() > 12_000_000);
    killed.signal(Signal::KILL);
    killed.ends();
    let there = uploads.bytes();
    // The tag was read back, and is something else: what is asked here is what was sent.
    let ran = desk.ran(&push);
    let sent = uploads.bytes() - there;
    assert!(there + sent < 42_000_000 && sent > 20_000_000, "{there} bytes came, and {sent} more: {ran:?}");
    assert!(uploads.server.seen().iter().any(|seen| seen.request.method == "PUT" && seen.request.path.ends_with("/manifests/1")), "{ran:?}");
}

/// Where the registry cannot go on in the middle of a piece, as this one, all is sent again.
#[test]
fn an_upload_that_was_cut_is_made_whole_by_the_next_run() {
    let Some(shop) = Shop::open(Kind::Htpasswd) else { return };
    let set = ImageSet::new(1, 10_000_000);
    let (layout, place) = (format!("oci:{}", set.layout().display()), shop.at(""));
    let uploads = shop.registry.storage().join("docker/registry/v2/repositories/team/app-000/_uploads");
    let received = || {
        let sessions = std::fs::read_dir(&uploads).into_iter().flatten().filter_map(|entry| std::fs::metadata(entry.ok()?.path().join("data")).ok());
        sessions.map(|data| data.len()).sum::<u64>()
    };
    for way in ["auto", "stream", "chunked=1MiB"] {
        let push = ["sync", "push", &layout, &place, "--progress", "none", "--upload", way, "--journal", "journal"];
        let mut killed = Companion::start(&mut shop.desk.larder(&[&push[..], &["--limit-rate", "5M"]].concat()));
        let before = received();
        killed.wait_until("much has come", |_| received() > before + 2_000_000);
        killed.signal(Signal::KILL);
        killed.ends();
        assert_eq!(tags(&shop), 0);
    }
    shop.desk.json(&["sync", "push", &layout, &place, "--journal", "journal"]);
    assert_eq!(tags(&shop), 1);
    shop.sync(&["pull", &shop.at(""), &shop.desk.oci("back")]);
    assert_layout_is_sound(&shop.desk.home().join("back"));
}
