use super::*;

/// An image with one layer of this media type and content, whose diff ID is that of `tar`.
fn one_layer(media_type: impl Into<MediaType>, blob: &[u8], tar: &[u8]) -> (Bench, Descriptor) {
    let bench = Bench::new();
    let layer = bench.put(media_type, blob);
    let image = bench.image_of("amd64", vec![layer.clone()], &[DiffId(Digest::sha256(tar))]);
    bench.name(&image.manifest, "x:1");
    // Without a closer look the bytes are what they should be.
    assert_eq!(bench.findings(), []);
    (bench, layer)
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(content, 3).unwrap()
}

#[test]
fn lay_38_a_wrong_diff_id_names_both() {
    let tar = archive(&[("a", b"a")]);
    let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &gzip(&tar), b"something else");
    let finding = expect(bench.deep(), Code::DiffIdMismatch, &layer);
    for digest in [Digest::sha256(&tar), Digest::sha256(b"something else")] {
        assert!(finding.message.contains(digest.as_str()), "{}", finding.message);
    }
    assert_eq!(finding.chain.len(), 2);
}

#[test]
fn lay_38_a_shared_layer_is_held_against_every_config() {
    let bench = Bench::new();
    let tar = archive(&[("a", b"a")]);
    let layer = bench.put(MediaType::ImageLayerZstd, &zstd(&tar));
    let right = bench.image_of("amd64", vec![layer.clone()], &[DiffId(Digest::sha256(&tar))]);
    let wrong = bench.image_of("arm64", vec![layer.clone()], &[DiffId(Digest::sha256(b"wrong"))]);
    bench.name(&right.manifest, "right:1");
    bench.name(&wrong.manifest, "wrong:1");
    let finding = expect(bench.deep(), Code::DiffIdMismatch, &layer);
    // The way there is that of the image that is wrong, not the one that was found first.
    assert_eq!(finding.chain, ["docker.io/library/wrong:1".to_owned(), wrong.manifest.digest.to_string()]);
}

#[test]
fn a_diff_id_that_cannot_be_computed_is_not_called_wrong() {
    let bench = Bench::new();
    let tar = archive(&[("a", b"a")]);
    let layer = bench.put(MediaType::ImageLayer, &tar);
    let id = DiffId(format!("sha512:{}", "0".repeat(128)).parse().unwrap());
    let image = bench.image_of("amd64", vec![layer.clone()], &[id]);
    bench.name(&image.manifest, "x:1");
    expect(bench.deep(), Code::UnsupportedDigest, &layer);
}

#[test]
fn cmp_01_all_members_of_a_gzip_stream_are_the_layer() {
    let tar = archive(&[("a", &[7; 5000])]);
    let (bench, _) = one_layer(MediaType::ImageLayerGzip, &[gzip(b""), gzip(&tar[..700]), gzip(&tar[700..])].concat(), &tar);
    assert_eq!(bench.deep(), []);
}

#[test]
fn cmp_02_something_behind_a_gzip_stream_is_damage() {
    let tar = archive(&[("a", b"a")]);
    for tail in [&b"garbage"[..], &[0; 512], &gzip(b"x")[..9]] {
        let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &[&gzip(&tar)[..], tail].concat(), &tar);
        expect(bench.deep(), Code::LayerCorrupt, &layer);
    }
}

#[test]
fn cmp_03_a_truncated_or_wrong_stream_is_damage() {
    let tar = archive(&[("a", &[7; 5000])]);
    let whole = gzip(&tar);
    let mut crc = whole.clone();
    let at = crc.len() - 6;
    crc[at] ^= 1;
    for blob in [&whole[..whole.len() - 9], &whole[..whole.len() - 1], &crc] {
        let (bench, layer) = one_layer(MediaType::ImageLayerGzip, blob, &tar);
        let finding = expect(bench.deep(), Code::LayerCorrupt, &layer);
        assert!(finding.message.contains("gzip stream"), "{}", finding.message);
    }
}

#[test]
fn cmp_08_and_09_a_layer_must_be_what_its_media_type_says() {
    let tar = archive(&[("a", b"a")]);
    for (media_type, blob) in [
        (MediaType::ImageLayerGzip, tar.clone()),
        (MediaType::ImageLayerGzip, zstd(&tar)),
        (MediaType::ImageLayerGzip, b"\xfd7zXZ\0 and more".to_vec()),
        (MediaType::ImageLayerZstd, gzip(&tar)),
        (MediaType::ImageLayer, gzip(&tar)),
    ] {
        let (bench, layer) = one_layer(media_type, &blob, &tar);
        expect(bench.deep(), Code::LayerCorrupt, &layer);
    }
}

#[test]
fn cmp_10_an_empty_layer_is_damage_where_it_should_be_compressed() {
    let (bench, layer) = one_layer(MediaType::ImageLayerGzip, b"", b"");
    expect(bench.deep(), Code::LayerCorrupt, &layer);
    let (bench, _) = one_layer(MediaType::ImageLayer, &[0; 1024], &[0; 1024]);
    assert_eq!(bench.deep(), []);
}

#[test]
fn cmp_12_an_encrypted_layer_is_hashed_only() {
    let (bench, _) = one_layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", b"secret", b"tar");
    assert_eq!(bench.deep(), []);
}

#[test]
fn tar_44_paths_that_stand_there_twice_are_counted() {
    let tar = archive(&[("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", b"2"), ("c", b"")]);
    let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &gzip(&tar), &tar);
    let finding = expect(bench.deep(), Code::LayerDuplicateEntry, &layer);
    assert!(finding.message.contains("`a`, and 1 more"), "{}", finding.message);
}

#[test]
fn something_below_a_file_is_found_in_whatever_order_it_stands() {
    for files in [[("a", &b"1"[..]), ("a/b", b"2"), ("a/b/c", b"3")], [("a/b/c", b"3"), ("a/b", b"2"), ("a", b"1")]] {
        let tar = archive(&files);
        let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &gzip(&tar), &tar);
        let finding = expect(bench.deep(), Code::LayerPathConflict, &layer);
        assert!(finding.message.contains("and 1 more"), "{}", finding.message);
    }
    let tar = archive(&[("a/b/c", b"1"), ("a-b", b"2"), ("a/b/d", b"3"), ("c", b"4")]);
    let (bench, _) = one_layer(MediaType::ImageLayerGzip, &gzip(&tar), &tar);
    assert_eq!(bench.deep(), []);
}

#[test]
fn tar_52_an_archive_that_ends_early_is_damage_with_the_reason() {
    let tar = archive(&[("some/file", &[1; 3000])]);
    let cut = &tar[..2000];
    let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &gzip(cut), cut);
    let finding = expect(bench.deep(), Code::LayerCorrupt, &layer);
    assert!(finding.message.contains("some/file"), "{}", finding.message);
}

#[test]
fn tar_53_data_behind_the_end_is_found_and_part_of_the_diff_id() {
    let tar = [archive(&[("a", b"a")]), archive(&[("hidden", b"b")])].concat();
    let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &gzip(&tar), &tar);
    expect(bench.deep(), Code::LayerHiddenData, &layer);
    // Zeros are how archives are filled up to whole records.
    let padded = [archive(&[("a", b"a")]), vec![0; 8192]].concat();
    let (bench, _) = one_layer(MediaType::ImageLayerGzip, &gzip(&padded), &padded);
    assert_eq!(bench.deep(), []);
}

#[test]
fn an_ambiguous_tar_and_a_wrong_diff_id_are_both_told() {
    let tar = archive(&[("some/file", &[1; 3000])]);
    let (bench, layer) = one_layer(MediaType::ImageLayerGzip, &gzip(&tar[..2000]), &tar);
    let mut codes: Vec<Code> = bench.deep().iter().inspect(|finding| assert_eq!(finding.subject, layer.digest.as_str())).map(|finding| finding.code).collect();
    codes.sort();
    assert_eq!(codes, [Code::DiffIdMismatch, Code::LayerCorrupt]);
}
