use super::*;
use crate::error::ErrorKind;
use crate::spec::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

fn pointer(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
}

fn read_manifest(text: &str) -> Result<ImageManifest> {
    manifest(&pointer(MANIFEST, text.as_bytes()), text.as_bytes())
}

fn read_index(text: &str) -> Result<ImageIndex> {
    index(&pointer(INDEX, text.as_bytes()), text.as_bytes())
}

/// The reason of a refusal: the innermost line.
fn why<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> String {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error} {:?}", error.causes());
    assert!(error.subject_text().is_some(), "{error}");
    error.causes().last().cloned().unwrap_or_default()
}

fn corrupt<T: std::fmt::Debug>(result: Result<T>) -> String {
    why(result, ErrorKind::Corrupt)
}

/// An index with one entry that has `fields` beside a media type.
fn entry(fields: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}",{fields}}}]}}"#)
}

const EMPTY: &str = r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2"#;

#[test]
fn lay_07_an_index_json_that_is_none() {
    for text in ["", "null", "[]", "\"x\"", "{}", "2", r#"{"schemaVersion":2}"#, r#"{"manifests":[]}"#, r#"{"schemaVersion":2,"manifests":{}}"#] {
        let error = layout_index(text.as_bytes(), "out/index.json").expect_err("refused");
        assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "cannot read out/index.json"), "{text}");
    }
    let other = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","manifests":[]}}"#);
    assert!(corrupt(layout_index(other.as_bytes(), "out/index.json")).contains("`mediaType`"));
    layout_index(br#"{"schemaVersion":2,"manifests":[]}"#, "out/index.json").expect("the smallest one");
}

#[test]
fn lay_08_manifests_null_reads_as_none_with_a_warning() {
    let text = r#"{"schemaVersion":2,"manifests":null}"#;
    let index = layout_index(text.as_bytes(), "out/index.json").expect("accepted");
    assert_eq!(index.manifests, []);
    assert_eq!(warnings(text.as_bytes()).len(), 1);
    assert!(json::canonical(&index).expect("writable").ends_with(br#""manifests":[],"schemaVersion":2}"#), "never written as null");
}

#[test]
fn lay_09_to_15_go_through_the_strict_reader() {
    for text in ["\u{feff}{}", r#"{"schemaVersion":2,"manifests":[]} {}"#, r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#] {
        corrupt(read_index(text));
    }
    let nested = format!(r#"{{"schemaVersion":2,"manifests":[],"x":{}"#, "[".repeat(100_000));
    assert!(corrupt(read_index(&nested)).contains("64 levels"));
}

#[test]
fn lay_12_a_known_field_in_another_case() {
    assert!(corrupt(read_index(r#"{"schemaVersion":2,"Manifests":[]}"#)).contains("missing field `manifests`"));
    assert!(corrupt(read_index(r#"{"schemaVersion":2,"manifests":[],"Subject":{}}"#)).contains("some readers take `Subject` for `subject`"));
    assert!(corrupt(read_index(&entry(&format!(r#"{EMPTY},"Data":"AA==""#)))).contains("manifests[0]: ambiguous: some readers take `Data` for `data`"));
    let platform = r#""platform":{"os":"linux","architecture":"arm","Variant":"v7"}"#;
    assert!(corrupt(read_index(&entry(&format!("{EMPTY},{platform}")))).contains("manifests[0].platform: ambiguous"));
    assert!(corrupt(read_manifest(&format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[],"manifest\u017f":[]}}"#))).contains("ambiguous"));
}

#[test]
fn lay_16_sizes_are_integers() {
    for size in ["418.0", "4.18e2", "\"418\"", "1e400", "-0", "null", "true"] {
        corrupt(read_index(&entry(&format!(r#""digest":"{}","size":{size}"#, Digest::sha256(b"")))));
    }
    assert!(read_index(r#"{"schemaVersion":"2","manifests":[]}"#).is_err());
    assert!(corrupt(read_index(r#"{"schemaVersion":3,"manifests":[]}"#)).contains("3 and not 2"));
}

#[test]
fn lay_17_19_20_sizes_out_of_range() {
    let with = |size: &str| read_index(&entry(&format!(r#""digest":"{}","size":{size}"#, Digest::sha256(b""))));
    corrupt(with("-1"));
    assert!(corrupt(with("18446744073709551615")).contains("manifests[0]: size 18446744073709551615 is more than"));
    corrupt(with("9223372036854775808"));
    for size in [9_007_199_254_740_993, 1 << 62, i64::MAX as u64] {
        assert_eq!(with(&size.to_string()).expect("a size").manifests[0].size, size, "compared later, as an exact integer");
    }
}

#[test]
fn lay_22_a_blob_of_no_bytes() {
    read_index(&entry(&format!(r#""digest":"{}","size":0,"data":"""#, Digest::sha256(b"")))).expect("accepted");
}

#[test]
fn lay_40_manifest_with_layers_and_manifests_is_ambiguous() {
    let text = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[],"manifests":[]}}"#);
    assert_eq!(corrupt(read_manifest(&text)), "ambiguous: it has both `layers` and `manifests`");
    assert_eq!(corrupt(read_index(&text)), "ambiguous: it has both `layers` and `manifests`");
}

#[test]
fn lay_41_fields_of_another_document_are_ambiguous() {
    for field in [CONFIG, r#""fsLayers":[]"#, r#""history":[]"#] {
        let message = corrupt(read_index(&format!(r#"{{"schemaVersion":2,"manifests":[],{field}}}"#)));
        assert!(message.starts_with("ambiguous: an image index cannot have"), "{message}");
    }
    for field in [r#""fsLayers":[]"#, r#""history":[]"#, r#""HISTORY":[]"#] {
        let message = corrupt(read_manifest(&format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[],{field}}}"#)));
        assert!(message.starts_with("ambiguous: an image manifest cannot have"), "{message}");
    }
}

#[test]
fn lay_42_the_descriptor_names_the_other_document() {
    let manifest_text = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[]}}"#);
    let index_text = r#"{"schemaVersion":2,"manifests":[]}"#;
    assert!(corrupt(read_index(&manifest_text)).starts_with("ambiguous: it should be an image index but is an image manifest"));
    assert!(corrupt(read_manifest(index_text)).starts_with("ambiguous: it should be an image manifest but is an image index"));
    assert!(corrupt(manifest(&pointer(INDEX, b"{}"), b"{}")).contains("which is not an image manifest"));
}

#[test]
fn lay_43_the_document_says_another_media_type() {
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_MANIFEST_LIST);
    assert!(corrupt(read_index(&text)).starts_with("ambiguous: its `mediaType` is `application/vnd.docker."));
}

#[test]
fn lay_44_without_a_media_type_the_descriptor_decides() {
    assert_eq!(read_index(r#"{"schemaVersion":2,"manifests":[]}"#).expect("OCI 1.0").media_type, None);
}

#[test]
fn lay_45_docker_schema_1_is_unsupported() {
    let old = r#"{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64","fsLayers":[],"history":[],"signatures":[]}"#;
    for media_type in [MANIFEST, "application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws"] {
        let message = why(manifest(&pointer(media_type, old.as_bytes()), old.as_bytes()), ErrorKind::Unsupported);
        assert!(message.contains("schema 1"), "{message}");
    }
    assert!(why(read_manifest(&format!(r#"{{"schemaVersion":1,{CONFIG},"layers":[]}}"#)), ErrorKind::Unsupported).contains("schema 1"));
}

#[test]
fn lay_46_docker_schema_2_has_the_same_shape() {
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}",{CONFIG},"layers":[]}}"#, media_type::DOCKER_MANIFEST);
    manifest(&pointer(media_type::DOCKER_MANIFEST, text.as_bytes()), text.as_bytes()).expect("schema 2");
    let text = format!(r#"{{"manifests":[],"mediaType":"{}","schemaVersion":2}}"#, media_type::DOCKER_MANIFEST_LIST);
    index(&pointer(media_type::DOCKER_MANIFEST_LIST, text.as_bytes()), text.as_bytes()).expect("a manifest list");
}

#[test]
fn lay_48_an_artifact_is_a_manifest() {
    let empty = CONFIG.replace("image.config", "empty");
    let text = format!(r#"{{"schemaVersion":2,"artifactType":"application/vnd.example","layers":[],{empty}}}"#);
    assert_eq!(read_manifest(&text).expect("an artifact").artifact_type.as_deref(), Some("application/vnd.example"));
}

#[test]
fn lay_54_data_is_what_the_descriptor_names() {
    read_index(&entry(&format!(r#"{EMPTY},"data":"e30=""#))).expect("the content `{}`");
    assert!(corrupt(read_index(&entry(&format!(r#"{EMPTY},"data":"W10=""#)))).contains("manifests[0]: data: its digest is sha256:"));
    assert!(corrupt(read_index(&entry(&format!(r#"{EMPTY},"data":"e30g""#)))).contains("data: it has 3 bytes, the descriptor says 2"));
    read_index(&entry(r#""digest":"foo256:abc","size":2,"data":"W10=""#)).expect("nothing to compare with");
}

#[test]
fn lay_56_data_in_another_encoding_or_too_long() {
    for data in ["e30", "e31=", "e30=\\n"] {
        assert!(corrupt(read_index(&entry(&format!(r#"{EMPTY},"data":"{data}""#)))).contains("not base64"), "{data}");
    }
    let long = entry(&format!(r#"{EMPTY},"data":"{}""#, "A".repeat(8 << 20)));
    assert!(corrupt(layout_index(long.as_bytes(), "out/index.json")).contains("the limit is 4194304 bytes"));
}

#[test]
fn lay_69_layers_and_config_are_there() {
    let text = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[]}}"#);
    assert_eq!(read_manifest(&text).expect("no layers").layers, []);
    assert_eq!(warnings(text.as_bytes()).len(), 1);
    corrupt(read_manifest(&format!(r#"{{"schemaVersion":2,{CONFIG},"layers":null}}"#)));
    assert!(corrupt(read_manifest(&format!(r#"{{"schemaVersion":2,{CONFIG}}}"#))).contains("missing field `layers`"));
    assert!(corrupt(read_manifest(r#"{"schemaVersion":2,"layers":[]}"#)).contains("missing field `config`"));
    corrupt(read_manifest(r#"{"schemaVersion":2,"config":null,"layers":[]}"#));
}

#[test]
fn lay_75_annotations_are_text_and_may_be_many_and_long() {
    for value in ["1", "null", "[]", "{}", "true"] {
        corrupt(read_index(&format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"a":{value}}}}}"#)));
    }
    let long = "x".repeat(1 << 20);
    read_index(&format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"a":"{long}"}}}}"#)).expect("1 MB");
    let many: Vec<_> = (0..10_000).map(|n| format!(r#""key{n}":"""#)).collect();
    assert_eq!(read_index(&format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{{}}}}}"#, many.join(","))).expect("many").annotations.len(), 10_000);
}

#[test]
fn lay_76_a_manifest_of_4_mib_and_no_more() {
    let text = r#"{"schemaVersion":2,"manifests":[]}"#;
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    read_index(&padded(limits::MANIFEST_BYTES)).expect("4 MiB");
    assert!(corrupt(read_index(&padded(limits::MANIFEST_BYTES + 1))).contains("more than the limit of 4194304 bytes"));
}

#[test]
fn what_larder_does_not_know_is_kept() {
    let text = format!(
        r#"{{"manifests":[{{"mediaType":"{MANIFEST}",{EMPTY},"platform":{{"architecture":"amd64","os":"linux","os.version":"1","x":[1]}},"z":{{"y":null}}}}],"schemaVersion":2,"zz":1}}"#
    );
    let index = read_index(&text).expect("accepted");
    let written = json::canonical(&index).expect("writable");
    assert_eq!(json::parse(&written, 4096).expect("readable"), json::parse(text.as_bytes(), 4096).expect("readable"));
}
