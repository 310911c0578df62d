//! Archives.

use super::*;
use crate::copy::{How, Platforms, Reading, Referrers, Wanted};
use crate::ops::copy::{self, CopyRequest, Moving};

fn location(text: &str) -> Location {
    Location::parse(text).unwrap()
}

/// The images of a bench in an archive beside it.
fn archived(bench: &Bench, scheme: &str) -> (Location, PathBuf) {
    let path = bench.layout.path().with_extension(scheme);
    let destination = location(&format!("{scheme}:{}", path.display()));
    let request = CopyRequest {
        sources: vec![(location(&format!("oci:{}", bench.layout.path().display())), Wanted::All)],
        destination: destination.clone(),
        platforms: Platforms::All,
        referrers: Referrers::Left,
        prefix: None,
        moving: Moving::Known,
        how: How { sharing: None, reading: Reading::Copied },
        options: Options::default(),
    };
    copy::execute(&run(), &request).unwrap();
    (destination, path)
}

fn verified(location: &Location, depth: Depth) -> VerifyReport {
    execute(&run(), &VerifyRequest { location: location.clone(), depth, absent: Absent::Damage, options: Options::default() }).unwrap()
}

#[test]
fn archives_are_verified_like_layouts() {
    let (bench, ..) = Bench::with_index();
    for scheme in ["oci-archive", "docker-archive"] {
        let (archive, path) = archived(&bench, scheme);
        let (report, expected) = (verified(&archive, Depth::Layers), bench.verify(Depth::Layers));
        assert_eq!(report, VerifyReport { location: format!("{scheme}:{}", path.display()), ..expected });
        let only = location(&format!("{archive}:hello:1"));
        assert_eq!(verified(&only, Depth::Content).blobs, report.blobs);
        assert_eq!(
            execute(&run(), &VerifyRequest { location: location(&format!("{archive}:absent")), ..bench.request(Selector::Only, Depth::Content) })
                .unwrap_err()
                .kind(),
            ErrorKind::NotFound
        );
    }
}

#[test]
fn damage_in_an_archive_is_found_and_leads_back_to_its_name() {
    let (bench, index, images) = Bench::with_index();
    let (archive, path) = archived(&bench, "oci-archive");
    let layer = &images[1].layers[1];
    let content = fs::read(bench.path(layer)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at + 15] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let found = verified(&archive, Depth::Content).findings;
    assert_eq!((found.len(), found[0].code, &found[0].subject), (1, Code::DigestMismatch, &layer.digest.to_string()));
    assert_eq!(found[0].chain, ["docker.io/library/hello:1".to_owned(), index.digest.to_string(), images[1].manifest.digest.to_string()]);
}

#[test]
fn arc_11_what_no_reader_sees_is_a_warning() {
    let (bench, ..) = Bench::with_index();
    let (archive, path) = archived(&bench, "oci-archive");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"hidden");
    fs::write(&path, &bytes).unwrap();
    let report = verified(&archive, Depth::Content);
    assert_eq!((report.verdict(), report.findings.len(), report.findings[0].code), (None, 1, Code::Remark));
    assert_eq!(verified(&location(&format!("{archive}:hello:1")), Depth::Content).findings, [], "one image is none of the archive's business");
}
