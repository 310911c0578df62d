//! Registries that mean harm or are broken, each from a script: what is refused, how often they are asked, and that nobody learns a password by it.

mod bulk;
mod login;
mod redirects;
mod tls;
mod wire;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::forge::{CONFIG, LAYER, MANIFEST, sha256, tar};
use crate::support::http::{Answer, Fault};
use crate::support::image::Ran;
use crate::support::scripted::{Scripted, Step};

const USER: &str = "victim";
const PASSWORD: &str = "oyster-of-the-victim";

/// An image of one layer, as a registry has it.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    fn new() -> Image {
        let layer = tar(&[("file", &crate::support::context::noise(100_000, 3))]);
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]}}).to_string().into_bytes();
        let part = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": part(CONFIG, &config), "layers": [part(LAYER, &layer)]});
        Image { manifest: manifest.to_string().into_bytes(), config, layer }
    }

    fn manifest_answer(&self) -> Answer {
        Answer::new(200).header("Content-Type", MANIFEST).header("Docker-Content-Digest", &sha256(&self.manifest)).body(self.manifest.clone())
    }

    /// Lets a server have the image as `app:1`, but for the layer, which it answers with this.
    fn serve(&self, server: &Scripted, layer: Answer) {
        server.expect(Step::new("GET", "/v2/").always());
        for method in ["GET", "HEAD"] {
            server.expect(Step::new(method, "/v2/app/manifests/*").always().answers(self.manifest_answer()));
            server.expect(Step::new(method, &format!("/v2/app/blobs/{}", sha256(&self.config))).always().answers(Answer::new(200).body(self.config.clone())));
        }
        server.expect(Step::new("GET", &format!("/v2/app/blobs/{}", sha256(&self.layer))).always().answers(layer));
    }
}

fn basic() -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

/// Pulls `app:1` of a host as somebody who is logged in there.
#[track_caller]
fn pull(host: &str, flags: &[&str]) -> Ran {
    let desk = Desk::new();
    desk.log_in(host, USER, PASSWORD);
    let place = format!("docker://{host}/app:1");
    let ran = desk.ran(&[&["sync", "pull", &place, "oci:out", "--format", "json"], flags].concat());
    assert!(!ran.stderr.contains(PASSWORD) && !ran.stdout.contains(PASSWORD), "{ran:?}");
    if ran.code == Some(0) {
        crate::support::sound::assert_layout_is_sound(&desk.home().join("out"));
    } else if desk.home().join("out").exists() {
        assert_eq!(crate::support::sound::assert_layout_is_sound(&desk.home().join("out")).names, [""; 0]);
    }
    ran
}

/// The codes of the failures of images, or of the command itself.
fn codes(ran: &Ran) -> Vec<String> {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let mut codes: Vec<String> =
        report["images"].as_array().into_iter().flatten().filter_map(|image| image["failure"]["code"].as_str().map(str::to_owned)).collect();
    codes.extend(
        ran.stderr.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()).and_then(|error| error["code"].as_str().map(str::to_owned)),
    );
    codes
}

/// Expects a pull to fail with this code.
#[track_caller]
fn assert_fails(ran: &Ran, code: &str) {
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(codes(ran).iter().any(|own| own == code), "not {code}: {ran:?}");
}

/// A server that nobody may come to.
fn trap() -> Scripted {
    Scripted::start_elsewhere()
}

/// An answer that never ends.
fn endless() -> Answer {
    Answer::new(200).body(" ").fault(Fault::Endless)
}
