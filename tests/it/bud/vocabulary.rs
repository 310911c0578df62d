//! What the parser knows, and whether a case says it.

use std::collections::BTreeSet;

use super::all;
use crate::support::dockerfile::Kitchen;
use crate::support::process::checkout;

/// What no case can say, with the test that says it.
const ELSEWHERE: [(&str, &str); 4] = [
    ("ADD --checksum", "nothing is downloaded: dockerfile_refused"),
    ("ADD --keep-git-dir", "nothing is downloaded: dockerfile_refused"),
    ("HEALTHCHECK --start-interval", "buildah of Debian 12 has no word for it: dockerfile_configs"),
    ("RUN --device", "no step has more rights than others: dockerfile_refused"),
];

/// The names of all instructions, in capitals.
fn names() -> Vec<String> {
    let source = std::fs::read_to_string(checkout("src/build/dockerfile/parse/mod.rs")).expect("a source");
    let table = source.split_once("const NAMES").expect("the table").1.split_once("];").expect("its end").0;
    table.split('"').skip(1).step_by(2).map(str::to_uppercase).collect()
}

/// The flags of an instruction, as larder lists them to whoever gives another one.
fn flags(instruction: &str) -> Vec<String> {
    let kitchen = Kitchen::new(&match instruction {
        "FROM" => "FROM --zzzzzzzz=1 scratch\n".to_owned(),
        "HEALTHCHECK" => "FROM scratch\nHEALTHCHECK --zzzzzzzz=1 CMD x\n".to_owned(),
        _ => format!("FROM scratch\n{instruction} --zzzzzzzz=1 [\"a\", \"b\"]\n"),
    });
    let error = kitchen.refused(2, &[]);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("--zzzzzzzz") || message.contains("takes no flags")), "{error}");
    let listed = error["hint"].as_str().and_then(|hint| hint.strip_prefix("its flags are ")).unwrap_or_default();
    listed.split(", ").filter(|flag| !flag.is_empty()).map(|flag| format!("{instruction} {flag}")).collect()
}

/// The keys of mounts: as they are written, and, by their first names, with each type that has them.
fn keys() -> (BTreeSet<String>, BTreeSet<String>) {
    let source = std::fs::read_to_string(checkout("src/build/dockerfile/parse/run.rs")).expect("a source");
    let table = source.split_once("const KEYS").expect("the table").1.split_once("\n};").expect("its end").0;
    let (mut written, mut mounts) = (BTreeSet::new(), BTreeSet::new());
    for (key, types) in table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once('"')) {
        written.insert(key.to_owned());
        let all = ["Bind", "Cache", "Tmpfs", "Secret", "Ssh"].into_iter().filter(|kind| types.contains("ALL") || types.contains(kind));
        mounts.extend(all.map(|kind| format!("{} {}", kind.to_lowercase(), first(key))));
    }
    assert!(written.len() > 10 && mounts.len() > written.len(), "{written:?} {mounts:?}");
    (written, mounts)
}

/// The name that a key of a mount has here.
fn first(key: &str) -> &str {
    match key {
        "dst" | "destination" => "target",
        "src" => "source",
        "ro" => "readonly",
        "rw" => "readwrite",
        key => key,
    }
}

/// What the cases say.
#[derive(Default)]
struct Said {
    /// Names of instructions, and those with a flag, as in `COPY --from`.
    words: BTreeSet<String>,
    /// Keys of mounts as they are written.
    keys: BTreeSet<String>,
    /// The same by their first names, with the type.
    mounts: BTreeSet<String>,
    /// What stands at the top of files.
    directives: BTreeSet<String>,
}

impl Said {
    fn read(&mut self, dockerfile: &str) {
        for line in dockerfile.replace("\\\n", " ").lines() {
            if let Some((name, _)) = line.strip_prefix("# ").and_then(|line| line.split_once('=')) {
                self.directives.insert(name.to_owned());
            }
            let mut words = line.split_whitespace();
            let Some(name) = words.next().map(str::to_uppercase) else { continue };
            self.words.insert(name.clone());
            if name == "ONBUILD" {
                self.read(line.trim_start().split_once(' ').expect("a trigger").1);
            }
            for flag in words.take_while(|word| word.starts_with("--")) {
                self.words.insert(format!("{name} {}", flag.split('=').next().unwrap_or_default()));
                if let Some(mount) = flag.strip_prefix("--mount=") {
                    self.mount(mount);
                }
            }
        }
    }

    fn mount(&mut self, written: &str) {
        let fields: Vec<&str> = written.split(',').collect();
        let kind = fields.iter().find_map(|field| field.strip_prefix("type=")).unwrap_or("bind");
        for key in fields.iter().map(|field| field.split('=').next().unwrap_or_default()) {
            self.keys.insert(key.to_owned());
            self.mounts.insert(format!("{kind} {}", first(key)));
        }
    }
}

#[test]
fn whatever_the_language_has_is_in_a_case() {
    let mut said = Said::default();
    all().for_each(|case| said.read(case.dockerfile));
    let names = names();
    assert_eq!(names.len(), 18, "{names:?}");
    let known: Vec<String> = names.iter().cloned().chain(names.iter().flat_map(|name| flags(name))).collect();
    assert!(["COPY --parents", "RUN --mount", "FROM --platform"].iter().all(|word| known.iter().any(|known| known == word)), "{known:?}");
    let missing: Vec<&String> = known.iter().filter(|word| !said.words.contains(*word) && !ELSEWHERE.iter().any(|(name, _)| name == word)).collect();
    assert_eq!(missing, [""; 0], "no case has them");
    for (word, why) in ELSEWHERE {
        assert!(known.iter().any(|known| known == word) && !said.words.contains(word), "{word} is in a case, or nowhere: {why}");
    }

    let (written, mounts) = keys();
    let missing: Vec<&String> = mounts.difference(&said.mounts).chain(written.difference(&said.keys)).collect();
    assert_eq!(missing, [""; 0], "no case has them");
    for directive in ["syntax", "check", "escape"] {
        assert!(said.directives.contains(directive), "{directive}");
    }
}
