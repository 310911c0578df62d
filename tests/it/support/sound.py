"""Checks an image layout without any code of larder's: hashlib, the json module, gzip -dc and zstd -dc.

Prints what is wrong, one finding a line, and exits 1; or prints one JSON object about a sound layout and exits 0.
"""

import base64
import hashlib
import json
import os
import re
import stat
import subprocess
import sys

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker.distribution.manifest."
INDEXES = {OCI + "index.v1+json", DOCKER + "list.v2+json"}
MANIFESTS = {OCI + "manifest.v1+json", DOCKER + "v2+json"}
CONFIGS = {OCI + "config.v1+json", "application/vnd.docker.container.image.v1+json"}
DECODERS = {"": ["cat"], "+gzip": ["gzip", "-dc"], ".gzip": ["gzip", "-dc"], "+zstd": ["zstd", "-dc", "--quiet"]}
ALGORITHMS = {"sha256": 64, "sha512": 128}
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"

findings = []


def finding(text):
    findings.append(text)


def no_twins(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise ValueError(f"a key occurs twice among {keys}")
    return dict(pairs)


def parse(what, content):
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=no_twins)
    except ValueError as error:
        finding(f"{what}: not JSON: {error}")
        return {}
    if not isinstance(value, dict):
        finding(f"{what}: not an object")
        return {}
    return value


def read(path):
    with open(path, "rb") as file:
        return file.read()


def hash_of(algorithm, stream):
    state, size = hashlib.new(algorithm), 0
    while block := stream.read(1 << 20):
        state.update(block)
        size += len(block)
    return f"{algorithm}:{state.hexdigest()}", size


class Layout:
    def __init__(self, root):
        self.root = root
        self.sizes = {}
        self.reached = set()
        self.names = []

    def blob(self, digest):
        algorithm, _, encoded = digest.partition(":")
        return os.path.join(self.root, "blobs", algorithm, encoded)

    def check(self):
        self.check_files()
        header = parse("oci-layout", read(os.path.join(self.root, "oci-layout")))
        if header != {"imageLayoutVersion": "1.0.0"}:
            finding(f"oci-layout: unexpected content {header}")
        index = parse("index.json", read(os.path.join(self.root, "index.json")))
        self.check_index("index.json", index)
        full_names = set()
        for entry in index.get("manifests", []):
            annotations = entry.get("annotations", {})
            name, full_name = annotations.get(REF_NAME), annotations.get(IMAGE_NAME) or annotations.get(REF_NAME)
            # Two repositories may have the same tag.
            if full_name in full_names:
                finding(f"index.json: two entries are named {full_name}")
            if name is not None:
                full_names.add(full_name)
                self.names.append(name)

    def check_files(self):
        """Names, kinds and modes of everything there is, and the digest of every blob, reachable or not."""
        for directory, directories, files in os.walk(self.root):
            for name in directories + files:
                path = os.path.join(directory, name)
                place = os.path.relpath(path, self.root)
                mode = os.lstat(path).st_mode
                wanted = stat.S_IFDIR | 0o755 if re.fullmatch(r"blobs(/sha256|/sha512)?", place) else stat.S_IFREG | 0o644
                if mode != wanted:
                    finding(f"{place}: mode {mode:o}, not {wanted:o}")
                elif match := re.fullmatch(r"blobs/(sha256|sha512)/([0-9a-f]+)", place):
                    self.check_blob(path, *match.groups())
                elif stat.S_ISREG(mode) and place not in ("oci-layout", "index.json", "index.json.lock"):
                    finding(f"{place}: does not belong in a layout")
        if stat.S_IMODE(os.stat(self.root).st_mode) != 0o755:
            finding("the layout's own directory does not have mode 755")

    def check_blob(self, path, algorithm, encoded):
        with open(path, "rb") as file:
            digest, size = hash_of(algorithm, file)
        if digest != f"{algorithm}:{encoded}" or len(encoded) != ALGORITHMS[algorithm]:
            finding(f"blobs/{algorithm}/{encoded}: the content is {digest}")
        self.sizes[f"{algorithm}:{encoded}"] = size

    def check_descriptor(self, where, descriptor):
        """True if the blob is there, and what the descriptor says of it is right."""
        digest, size, media_type = (descriptor.get(key) for key in ("digest", "size", "mediaType"))
        if not isinstance(digest, str) or type(size) is not int or not isinstance(media_type, str):
            finding(f"{where}: a descriptor without digest, size or mediaType: {descriptor}")
            return False
        if digest not in self.sizes:
            if not descriptor.get("urls"):
                finding(f"{where}: points to {digest}, which is absent")
            return False
        if self.sizes[digest] != size:
            finding(f"{where}: says {digest} has {size} bytes; it has {self.sizes[digest]}")
        if "data" in descriptor and base64.b64decode(descriptor["data"], validate=True) != read(self.blob(digest)):
            finding(f"{where}: the data of {digest} is not its content")
        self.reached.add(digest)
        return True

    def check_index(self, where, index):
        if index.get("schemaVersion") != 2:
            finding(f"{where}: schemaVersion is not 2")
        if index.get("mediaType", OCI + "index.v1+json") not in INDEXES:
            finding(f"{where}: mediaType {index['mediaType']}")
        if not isinstance(index.get("manifests"), list):
            finding(f"{where}: has no manifests")
            return
        for entry in index["manifests"]:
            if self.check_descriptor(where, entry):
                self.check_document(entry)

    def check_document(self, descriptor):
        digest, media_type = descriptor["digest"], descriptor["mediaType"]
        if media_type not in INDEXES | MANIFESTS:
            return
        document = parse(digest, read(self.blob(digest)))
        if document.get("mediaType", media_type) != media_type:
            finding(f"{digest}: calls itself {document['mediaType']}, its descriptor {media_type}")
        if media_type in INDEXES:
            self.check_index(digest, document)
        else:
            self.check_manifest(digest, document, descriptor.get("platform"))

    def check_manifest(self, where, manifest, platform):
        if manifest.get("schemaVersion") != 2 or "manifests" in manifest:
            finding(f"{where}: not an image manifest")
        config, layers = manifest.get("config", {}), manifest.get("layers", [])
        present = [self.check_descriptor(where, layer) for layer in layers]
        if not self.check_descriptor(where, config) or config["mediaType"] not in CONFIGS:
            return
        image = parse(config["digest"], read(self.blob(config["digest"])))
        for key, value in (platform or {}).items():
            if image.get(key) != value:
                finding(f"{where}: its platform says {key} {value!r}, its config {image.get(key)!r}")
        self.check_layers(where, layers, present, image)

    def check_layers(self, where, layers, present, image):
        diff_ids = image.get("rootfs", {}).get("diff_ids", [])
        filled = [entry for entry in image.get("history", []) if not entry.get("empty_layer")]
        if len(diff_ids) != len(layers):
            finding(f"{where}: {len(layers)} layers but {len(diff_ids)} diff IDs")
            return
        if image.get("history") and len(filled) != len(layers):
            finding(f"{where}: {len(layers)} layers but {len(filled)} of them in the history")
        for layer, diff_id in zip([layer for layer, here in zip(layers, present) if here], diff_ids):
            match = re.fullmatch(r"application/vnd\..*\.tar([+.](?:gzip|zstd))?", layer["mediaType"])
            if not match:
                finding(f"{where}: a layer of the type {layer['mediaType']}")
                continue
            self.check_diff_id(layer["digest"], diff_id, DECODERS[match.group(1) or ""])

    def check_diff_id(self, digest, diff_id, decoder):
        with open(self.blob(digest), "rb") as blob:
            process = subprocess.Popen(decoder, stdin=blob, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            actual, _ = hash_of(diff_id.partition(":")[0], process.stdout)
            complaint = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            finding(f"{digest}: {decoder[0]} cannot decompress it: {complaint}")
        elif actual != diff_id:
            finding(f"{digest}: decompresses to {actual}, but its diff ID is {diff_id}")


layout = Layout(sys.argv[1])
layout.check()
if findings:
    sys.exit("\n".join(findings))
print(json.dumps({"names": layout.names, "blobs": len(layout.sizes), "reachable": len(layout.reached)}))
