use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};

use super::*;

#[test]
fn lay_32_to_34_other_bytes_of_the_same_length_are_found_in_every_document() {
    let (bench, index, images) = Bench::with_index();
    for victim in [&index, &images[1].manifest, &images[1].config] {
        bench.damage(victim, |bytes| bytes[3] ^= 1);
        let finding = expect(bench.findings(), Code::DigestMismatch, victim);
        assert!(finding.message.starts_with("its digest is sha256:"), "{}", finding.message);
        bench.damage(victim, |bytes| bytes[3] ^= 1);
    }
    assert_eq!(bench.findings(), []);
}

#[test]
fn lay_35_a_damaged_layer_says_whether_size_or_digest_is_wrong() {
    let (bench, _, images) = Bench::with_index();
    let layer = &images[0].layers[1];
    let size = layer.size;
    for (change, code) in [
        ((|bytes: &mut Vec<u8>| bytes[40] ^= 0x10) as fn(&mut Vec<u8>), Code::DigestMismatch),
        (|bytes| bytes.truncate(bytes.len() - 1), Code::SizeMismatch),
        (|bytes| bytes.push(0), Code::SizeMismatch),
    ] {
        let before = fs::read(bench.path(layer)).unwrap();
        bench.damage(layer, change);
        // What is wrong with the bytes is the reason of all else that is wrong with the layer.
        for findings in [bench.findings(), bench.deep()] {
            let finding = expect(findings, code, layer);
            assert!(code == Code::DigestMismatch || finding.message.contains(&format!("its descriptor says {size}")), "{}", finding.message);
        }
        bench.damage(layer, |bytes| *bytes = before);
    }
}

#[test]
fn lay_18_a_descriptor_with_another_size_is_found_although_the_content_is_whole() {
    let (bench, index, images) = Bench::with_index();
    let wrong = Descriptor { size: images[0].manifest.size + 1, ..images[0].manifest.clone() };
    bench.name(&wrong, "wrong:1");
    let finding = expect(bench.findings(), Code::SizeMismatch, &wrong);
    assert_eq!(finding.chain, ["docker.io/library/wrong:1"]);
    assert_eq!(bench.verify(Depth::Content).blobs, 8, "{}", index.digest);
}

#[test]
fn lay_36_whatever_is_missing_is_named_with_what_leads_there() {
    let (bench, index, images) = Bench::with_index();
    let name = "docker.io/library/hello:1".to_owned();
    let (index_digest, manifest_digest) = (index.digest.to_string(), images[0].manifest.digest.to_string());
    for (victim, chain) in [
        (&images[0].layers[1], vec![name.clone(), index_digest.clone(), manifest_digest.clone()]),
        (&images[0].config, vec![name.clone(), index_digest.clone(), manifest_digest]),
        (&images[0].manifest, vec![name.clone(), index_digest]),
        (&index, vec![name]),
    ] {
        let bytes = fs::read(bench.path(victim)).unwrap();
        fs::remove_file(bench.path(victim)).unwrap();
        assert_eq!(expect(bench.findings(), Code::BlobMissing, victim).chain, chain);
        assert_eq!(bench.verify(Depth::Content).verdict(), Some(ErrorKind::Corrupt));
        fs::write(bench.path(victim), bytes).unwrap();
    }
}

#[test]
fn lay_37_every_missing_child_of_a_sparse_index_is_found() {
    let (bench, _, images) = Bench::with_index();
    for descriptor in [&images[0].manifest, &images[0].config, &images[0].layers[1], &images[1].manifest] {
        fs::remove_file(bench.path(descriptor)).unwrap();
    }
    let findings = bench.findings();
    let subjects: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, images.iter().map(|image| image.manifest.digest.as_str()).collect::<Vec<_>>());
    assert!(findings.iter().all(|finding| finding.code == Code::BlobMissing));
}

#[test]
fn lay_37_manifests_that_were_left_out_are_allowed_to_be_missing_on_request_only() {
    let (bench, index, images) = Bench::with_index();
    let sparse = || execute(&run(), &VerifyRequest { absent: Absent::LeftOut, ..bench.request(Selector::Only, Depth::Layers) }).unwrap();
    let whole = bench.deep();
    assert_eq!((sparse().findings, sparse().left_out), (whole, 0));
    fs::remove_file(bench.path(&images[0].manifest)).unwrap();
    expect(bench.deep(), Code::BlobMissing, &images[0].manifest);
    assert_eq!((sparse().findings, sparse().left_out, sparse().verdict()), (Vec::new(), 1, None));
    // What an image needs is no such thing, nor what stands there and is something else, nor an index of which nothing is there, nor one that is not.
    for victim in [&images[1].config, &images[1].layers[0], &images[1].manifest, &index] {
        let bytes = fs::read(bench.path(victim)).unwrap();
        fs::remove_file(bench.path(victim)).unwrap();
        let missing = sparse().findings.into_iter().filter(|finding| finding.code == Code::BlobMissing).map(|finding| finding.subject);
        let expected = if victim == &images[1].manifest { vec![&images[0].manifest, victim] } else { vec![victim] };
        assert_eq!(missing.collect::<Vec<_>>(), expected.iter().map(|victim| victim.digest.to_string()).collect::<Vec<_>>());
        fs::create_dir(bench.path(victim)).unwrap();
        expect(sparse().findings, Code::NotAFile, victim);
        fs::remove_dir(bench.path(victim)).unwrap();
        fs::write(bench.path(victim), bytes).unwrap();
    }
    // A name that stands on the manifest itself says that it is wanted.
    bench.name(&images[0].manifest, "wanted:1");
    expect(sparse().findings, Code::BlobMissing, &images[0].manifest);
}

#[test]
fn lay_39_the_config_must_have_a_diff_id_for_each_layer() {
    for count in [0, 1, 3] {
        let bench = Bench::new();
        let layers: Vec<Descriptor> = ["a", "b"].iter().map(|path| bench.put(MediaType::ImageLayer, &archive(&[(path, b"")]))).collect();
        let ids: Vec<DiffId> = (0..count).map(|n: u8| DiffId(Digest::sha256(&[n]))).collect();
        let image = bench.image_of("amd64", layers, &ids);
        bench.name(&image.manifest, "x:1");
        for findings in [bench.findings(), bench.deep()] {
            let finding = expect(findings, Code::DiffIdCount, &image.manifest);
            assert!(finding.message.contains("2 layers") && finding.message.contains(&format!("{count} diff IDs")), "{}", finding.message);
        }
    }
}

#[test]
fn lay_39_rootfs_and_platform_must_be_there() {
    for (config, why) in [
        (json!({"os": "linux", "architecture": "amd64"}), "rootfs"),
        (json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "other", "diff_ids": []}}), "`layers`"),
        (json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}), "architecture"),
        (json!({"os": 1}), "`os`"),
        (json!([]), "object"),
    ] {
        let bench = Bench::new();
        let config = bench.put_json(MediaType::ImageConfig, &config);
        let layer = bench.put(MediaType::ImageLayer, &archive(&[]));
        let layers = if why == "architecture" { Vec::new() } else { vec![layer] };
        let manifest = bench.put(MediaType::ImageManifest, &documents::canonical(&ImageManifest::new(config.clone(), layers)).unwrap());
        bench.name(&manifest, "x:1");
        let errors: Vec<Finding> = bench.findings().into_iter().filter(|finding| finding.severity == Severity::Error).collect();
        let finding = expect(errors, Code::DocumentInvalid, &config);
        assert!(finding.message.contains(why), "{}", finding.message);
    }
}

#[test]
fn lay_43_a_document_that_is_another_thing_than_its_descriptor_says_is_ambiguous() {
    let (bench, index, _) = Bench::with_index();
    // Each of the two claims about the same bytes is checked.
    let other = Descriptor { media_type: "application/vnd.docker.distribution.manifest.list.v2+json".into(), ..index };
    bench.name(&other, "other:1");
    expect(bench.findings(), Code::DocumentAmbiguous, &other);
}

#[test]
fn lay_40_documents_of_two_kinds_and_broken_ones_have_different_codes() {
    let bench = Bench::new();
    let both = bench.put_json(MediaType::ImageManifest, &json!({"schemaVersion": 2, "layers": [], "manifests": []}));
    let broken = bench.put(MediaType::ImageManifest, b"{\"schemaVersion\":2");
    let old = bench.put("application/vnd.docker.distribution.manifest.v1+json", b"{\"schemaVersion\":1}");
    for (descriptor, name) in [(&both, "a:1"), (&broken, "b:1"), (&old, "c:1")] {
        bench.name(descriptor, name);
    }
    let codes: Vec<Code> = bench.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::DocumentAmbiguous, Code::DocumentInvalid, Code::DocumentUnsupported]);
}

#[test]
fn lay_50_a_diamond_of_21_blobs_takes_no_time() {
    let bench = Bench::new();
    let tars: Vec<Vec<u8>> = ["a", "b", "c"].iter().map(|path| archive(&[(path, b"")])).collect();
    let mut below = bench.image("amd64", &tars).manifest;
    // 4 to the power of 16 ways lead to the image.
    for _ in 0..16 {
        below = bench.put_json(MediaType::ImageIndex, &json!({"schemaVersion": 2, "manifests": vec![&below; 4]}));
    }
    bench.name(&below, "diamond:1");
    let start = Instant::now();
    let report = bench.verify(Depth::Layers);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!((report.findings, report.blobs), (Vec::new(), 21));
}

#[test]
fn lay_51_an_index_that_names_itself_is_damage_found_once() {
    let bench = Bench::new();
    let forged = Digest::sha256(b"self");
    let descriptor = Descriptor::new(MediaType::ImageIndex, forged, 300);
    let bytes = json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string();
    fs::write(bench.path(&descriptor), format!("{bytes:<300}")).unwrap();
    bench.name(&descriptor, "self:1");
    expect(bench.findings(), Code::DigestMismatch, &descriptor);
}

#[test]
fn lay_52_16_nested_indexes_are_read_and_more_are_a_finding() {
    for (depth, accepted) in [(16, true), (17, false), (100, false)] {
        let bench = Bench::new();
        let mut below = bench.image("amd64", &[archive(&[("a", b"a")])]).manifest;
        for _ in 0..depth {
            below = bench.put_json(MediaType::ImageIndex, &json!({"schemaVersion": 2, "manifests": [below]}));
        }
        bench.name(&below, "deep:1");
        let findings = bench.findings();
        if accepted {
            assert_eq!(findings, []);
        } else {
            let finding = only(findings);
            assert_eq!((finding.code, finding.chain.len()), (Code::NestingTooDeep, 17));
        }
    }
}

#[test]
fn lay_54_embedded_content_must_be_the_content() {
    let bench = Bench::new();
    let config = bench.put_json(MediaType::ImageConfig, &json!({}));
    let manifest = ImageManifest::new(Descriptor { data: Some("W10=".into()), ..config }, Vec::new());
    let manifest = bench.put(MediaType::ImageManifest, &documents::canonical(&manifest).unwrap());
    bench.name(&manifest, "x:1");
    let errors: Vec<Finding> = bench.findings().into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    let finding = expect(errors, Code::DocumentInvalid, &manifest);
    assert!(finding.message.contains("config: data: "), "{}", finding.message);
}

#[test]
fn lay_55_embedded_content_is_no_blob_but_worth_a_note() {
    let bench = Bench::new();
    let layer = Descriptor { data: Some("e30=".into()), ..bench.put("application/vnd.example+json", b"{}") };
    let config = bench.put("application/vnd.oci.empty.v1+json", b"{ }");
    let manifest = bench.put(MediaType::ImageManifest, &documents::canonical(&ImageManifest::new(config, vec![layer.clone()])).unwrap());
    bench.name(&manifest, "x:1");
    assert_eq!(bench.findings(), []);
    fs::remove_file(bench.path(&layer)).unwrap();
    assert!(expect(bench.findings(), Code::BlobMissing, &layer).message.contains("embedded"));
}

#[test]
fn lay_57_and_60_what_is_no_file_is_refused_at_once() {
    let (bench, _, images) = Bench::with_index();
    let outside = bench.layout.path().parent().unwrap().join("outside");
    for victim in [&images[0].layers[0], &images[0].config, &images[0].manifest] {
        let path = bench.path(victim);
        let bytes = fs::read(&path).unwrap();
        fs::write(&outside, &bytes).unwrap();
        let make: [&dyn Fn(&Path); 4] = [
            &|path| symlink(&outside, path).unwrap(),
            &|path| symlink("/dev/zero", path).unwrap(),
            &|path| rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            &|path| fs::create_dir(path).unwrap(),
        ];
        for make in make {
            fs::remove_file(&path).unwrap();
            make(&path);
            let start = Instant::now();
            for findings in [bench.findings(), bench.deep()] {
                expect(findings, Code::NotAFile, victim);
            }
            assert!(start.elapsed() < Duration::from_secs(1));
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
    }
}

#[test]
fn lay_58_a_linked_directory_of_blobs_is_not_followed() {
    for linked in ["blobs", "blobs/sha256"] {
        let (bench, index, _) = Bench::with_index();
        let path = bench.layout.path().join(linked);
        let moved = bench.layout.path().parent().unwrap().join("moved");
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let findings = bench.findings();
        assert!(findings.iter().any(|finding| finding.code == Code::NotAFile && finding.subject == index.digest.as_str()), "{findings:#?}");
        assert!(findings.iter().any(|finding| finding.subject == linked), "{findings:#?}");
    }
}

/// That `index.json` has this finding, and that the image which it named is told of.
#[track_caller]
fn assert_lost(bench: &Bench, code: Code, image: &Descriptor) {
    let found: Vec<_> = bench.findings().into_iter().map(|finding| (finding.code, finding.severity, finding.subject)).collect();
    let expected = [(code, Severity::Error, "index.json".to_owned()), (Code::Nameless, Severity::Warning, image.digest.to_string())];
    assert_eq!(found, expected);
}

#[test]
fn lay_59_and_60_an_index_that_is_no_file_is_a_finding() {
    let (bench, index, _) = Bench::with_index();
    let path = bench.layout.path().join("index.json");
    let moved = bench.layout.path().join("index-1.json");
    fs::rename(&path, &moved).unwrap();
    let make: [&dyn Fn(&Path); 3] =
        [&|path| symlink("index-1.json", path).unwrap(), &|path| rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(), &|path| {
            fs::create_dir(path).unwrap()
        }];
    for make in make {
        make(&path);
        assert_lost(&bench, Code::NotAFile, &index);
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    }
    fs::hard_link(&moved, &path).unwrap();
    assert_eq!(bench.findings(), []);
}

#[test]
fn lay_06_a_lost_or_broken_index_is_a_finding() {
    let (bench, index, _) = Bench::with_index();
    let path = bench.layout.path().join("index.json");
    for (content, code) in
        [("", Code::DocumentInvalid), ("{", Code::DocumentInvalid), (r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, Code::DocumentAmbiguous)]
    {
        fs::write(&path, content).unwrap();
        assert_lost(&bench, code, &index);
    }
    fs::remove_file(&path).unwrap();
    assert_lost(&bench, Code::DocumentInvalid, &index);
    fs::remove_file(bench.layout.path().join("oci-layout")).unwrap();
    assert_eq!(execute(&run(), &bench.request(Selector::Only, Depth::Content)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn lay_63_content_under_ten_names_is_damaged_once() {
    let (bench, index, images) = Bench::with_index();
    for n in 0..10 {
        bench.name(&index, &format!("hello:n{n}"));
    }
    bench.damage(&images[0].layers[0], |bytes| bytes[12] ^= 1);
    expect(bench.findings(), Code::DigestMismatch, &images[0].layers[0]);
}

#[test]
fn lay_67_a_layer_that_may_not_be_distributed_may_be_missing() {
    let bench = Bench::new();
    let mut layer = bench.put("application/vnd.oci.image.layer.nondistributable.v1.tar", &archive(&[("a", b"")]));
    fs::remove_file(bench.path(&layer)).unwrap();
    for (urls, severity) in [(Vec::new(), Severity::Error), (vec!["https://example.com/layer".to_owned()], Severity::Warning)] {
        layer.urls = urls;
        let image = bench.image_of("amd64", vec![layer.clone()], &[DiffId(layer.digest.clone())]);
        bench.name(&image.manifest, "x:1");
        let finding = only(bench.findings());
        assert_eq!((finding.code, finding.severity), (Code::BlobMissing, severity));
    }
}

#[test]
fn lay_31_a_digest_that_cannot_be_computed_is_said_to_be_so() {
    let bench = Bench::new();
    let digest: Digest = "foo256:abc".parse().unwrap();
    let descriptor = Descriptor::new("application/vnd.example", digest, 3);
    bench.layout.commit(std::slice::from_ref(&descriptor)).unwrap();
    expect(bench.findings(), Code::BlobMissing, &descriptor);
    fs::create_dir(bench.layout.path().join("blobs/foo256")).unwrap();
    fs::write(bench.path(&descriptor), "abc").unwrap();
    expect(bench.findings(), Code::UnsupportedDigest, &descriptor);
}

#[test]
fn lay_71_a_failure_of_the_machine_is_not_damage() {
    let bench = Bench::new();
    // A name that no file system can hold: the blob cannot be opened, whoever asks.
    let digest: Digest = format!("foo:{}", "a".repeat(300)).parse().unwrap();
    let descriptor = Descriptor::new("application/vnd.example", digest, 3);
    bench.layout.commit(std::slice::from_ref(&descriptor)).unwrap();
    fs::create_dir(bench.layout.path().join("blobs/foo")).unwrap();
    expect(bench.findings(), Code::Io, &descriptor);
    assert_eq!(bench.verify(Depth::Content).verdict(), Some(ErrorKind::Io));
}

#[test]
fn lay_74_what_is_no_content_is_warned_of_and_other_content_is_not() {
    let (bench, ..) = Bench::with_index();
    bench.put(MediaType::ImageLayer, b"nobody needs this");
    let blobs = bench.layout.path().join("blobs");
    for path in ["sha256/README", "sha256/put.tmp", "notes.txt"] {
        fs::write(blobs.join(path), "x").unwrap();
    }
    for path in ["sha256/sub", "SHA256", "sha512"] {
        fs::create_dir(blobs.join(path)).unwrap();
    }
    symlink("README", blobs.join("sha256").join("0".repeat(64))).unwrap();
    fs::write(bench.layout.path().join("oci-put-blob123"), "x").unwrap();
    let report = bench.verify(Depth::Content);
    let link = format!("blobs/sha256/{}", "0".repeat(64));
    let subjects: Vec<&str> = report.findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, ["blobs/SHA256", "blobs/notes.txt", link.as_str(), "blobs/sha256/README", "blobs/sha256/put.tmp", "blobs/sha256/sub"]);
    assert!(report.findings.iter().all(|finding| (finding.code, finding.severity) == (Code::UnexpectedFile, Severity::Warning)));
    assert_eq!(report.verdict(), None);
}

#[test]
fn a_missing_subject_is_a_warning() {
    let bench = Bench::new();
    let image = bench.image("amd64", &[archive(&[("a", b"a")])]);
    let config = bench.put("application/vnd.oci.empty.v1+json", b"{}");
    let mut manifest = ImageManifest::new(config, vec![bench.put("application/vnd.example", b"signature")]);
    manifest.subject = Some(image.manifest.clone());
    let signature = bench.put(MediaType::ImageManifest, &documents::canonical(&manifest).unwrap());
    bench.name(&signature, "signature:1");
    assert_eq!(bench.findings(), []);
    fs::remove_file(bench.path(&image.manifest)).unwrap();
    let finding = only(bench.findings());
    assert_eq!((finding.code, finding.severity, finding.subject.as_str()), (Code::BlobMissing, Severity::Warning, image.manifest.digest.as_str()));
    assert_eq!(finding.chain.last().map(String::as_str), Some(signature.digest.as_str()));
}

#[test]
fn an_artifact_that_borrows_the_form_of_an_image_is_no_damage() {
    let bench = Bench::new();
    let config = bench.put_json(MediaType::ImageConfig, &json!({"os": "", "architecture": "", "rootfs": {"type": "layers", "diff_ids": []}}));
    let layers = vec![bench.put("application/vnd.dev.cosign.simplesigning.v1+json", b"{}")];
    let manifest = bench.put(MediaType::ImageManifest, &documents::canonical(&ImageManifest::new(config, layers)).unwrap());
    bench.name(&manifest, "signature:1");
    assert_eq!(bench.deep(), []);
}
