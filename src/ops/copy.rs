//! Copying images between stores.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use crate::copy::{self, CopyPlan, How, LeftOut, Names, Platforms, Referrers, Tally, Wanted, Why, claims};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::exec::Run;
use crate::fsio::Dir;
use crate::spec::{Descriptor, Digest, ImageName, Prefix, Selector};
use crate::store::entries::Identity;
use crate::store::transport::{self, LAYOUT};
use crate::store::{Location, Options, Source};

/// What to copy where to.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// The images, each in its store. Not empty.
    pub sources: Vec<(Location, Wanted)>,
    /// Where they go. A name in it is not looked at: it is among the names of the sources.
    pub destination: Location,
    /// Which platforms are carried.
    pub platforms: Platforms,
    /// Whether what is attached comes along.
    pub referrers: Referrers,
    /// What the names that images have in their sources come under.
    pub prefix: Option<Prefix>,
    /// Which names move.
    pub moving: Moving,
    /// How content comes over.
    pub how: How,
    /// How stores are opened.
    pub options: Options,
}

/// Which names leave the image that they stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moving {
    /// Those that the request writes, and those of layouts. What only an archive calls its images, anybody may have written.
    #[default]
    Known,
    /// All.
    Any,
}

/// What was copied.
#[derive(Clone, Debug, Serialize)]
pub struct CopyReport {
    /// Where to.
    pub destination: String,
    /// The names there, and what they stand on.
    pub names: Vec<CopiedName>,
    /// What became of the content.
    pub content: ContentReport,
    /// Indexes that lost platforms and so have another digest.
    pub rewritten: Vec<RewrittenReport>,
    /// What belongs to the images and was not carried.
    pub left_out: Vec<LeftOutReport>,
}

/// What would be copied.
#[derive(Clone, Debug, Serialize)]
pub struct CopyPlanReport {
    /// Where to.
    pub destination: String,
    /// The names there, and what they would stand on.
    pub names: Vec<CopiedName>,
    /// What is there already.
    pub present: TallyReport,
    /// What would be shared or copied.
    pub missing: TallyReport,
    /// Indexes that would lose platforms and so have another digest.
    pub rewritten: Vec<RewrittenReport>,
    /// What belongs to the images and would not be carried.
    pub left_out: Vec<LeftOutReport>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedName {
    /// The full reference, else the ref.name; none for an image without a name. Foreign text.
    pub name: Option<String>,
    /// What it stands on.
    pub digest: Digest,
    /// What it stood on before, where that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Digest>,
    /// Whether the name is new there, and not moved or where it was.
    pub added: bool,
}

/// What became of the content.
#[derive(Clone, Debug, Serialize)]
pub struct ContentReport {
    /// Was there already.
    pub present: TallyReport,
    /// Is the same file as in the source.
    pub linked: TallyReport,
    /// Shares its blocks with the source.
    pub reflinked: TallyReport,
    /// Was read, verified and written.
    pub copied: TallyReport,
}

/// A number of blobs and documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TallyReport {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl From<Tally> for TallyReport {
    fn from(tally: Tally) -> Self {
        TallyReport { count: tally.count, bytes: tally.bytes }
    }
}

/// An index with another digest.
#[derive(Clone, Debug, Serialize)]
pub struct RewrittenReport {
    /// What it was.
    pub from: Digest,
    /// What it is.
    pub to: Digest,
}

/// Something that was not carried.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOutReport {
    /// What it is.
    pub digest: Digest,
    /// Its media type. Foreign text.
    pub media_type: String,
    /// What it is called, where it has a name. Foreign text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it runs on, where that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Why: `platform`, `attached`, `non-distributable` or `unreadable`.
    pub reason: &'static str,
}

impl From<&LeftOut> for LeftOutReport {
    fn from(left: &LeftOut) -> Self {
        let descriptor = &left.descriptor;
        LeftOutReport {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.to_string(),
            name: ImageName::of(descriptor).map(|name| name.as_str().to_owned()),
            platform: descriptor.platform.as_ref().map(ToString::to_string),
            reason: left.why.as_str(),
        }
    }
}

/// Says what would be copied. Changes nothing.
pub fn plan(run: &Run, request: &CopyRequest) -> Result<CopyPlanReport> {
    let sources = Sources::open(request)?;
    let plans = plans(run, request, &sources)?;
    let all = copy::all(&plans)?;
    transport::of(&request.destination)?;
    // Opening what is not there would make it.
    let missing = match there(request) {
        Ok(_) => copy::missing(run, &plans, &*transport::destination(&request.destination, &request.options)?)?,
        Err(error) if error.kind() == ErrorKind::NotFound || is_vacant(request.destination.path()) => all.clone(),
        Err(error) => return Err(error.side(Side::Destination)),
    };
    let (all, missing) = (tally(&all), tally(&missing));
    let present = TallyReport { count: all.count - missing.count, bytes: all.bytes - missing.bytes };
    let Summary { names, rewritten, left_out } = Summary::of(request, &plans)?;
    Ok(CopyPlanReport { destination: shown(&request.destination), names, present, missing, rewritten, left_out })
}

/// Copies the images.
///
/// Kinds: those of [`CopyPlan::new`] and [`copy::execute`]; `conflict` where one name would stand on two images, and where one would move that is not to;
/// `usage` for a name that does not go with the prefix.
pub fn execute(run: &Run, request: &CopyRequest) -> Result<CopyReport> {
    let sources = Sources::open(request)?;
    let plans = plans(run, request, &sources)?;
    let Summary { names, rewritten, left_out } = Summary::of(request, &plans)?;
    let destination = transport::destination(&request.destination, &request.options).map_err(|error| error.side(Side::Destination))?;
    let carried = copy::execute(run, &plans, &*destination, request.how)?;
    let content =
        ContentReport { present: carried.present.into(), linked: carried.linked.into(), reflinked: carried.reflinked.into(), copied: carried.copied.into() };
    for left in left_out.iter().filter(|left| left.reason == Why::Unreadable.as_str()) {
        run.events.warn(format!("{} cannot be read, and may be attached to what was copied", left.digest));
    }
    Ok(CopyReport { destination: shown(&request.destination), names, content, rewritten, left_out })
}

/// What lies at the destination before anything is written. Kind `not_found` where nothing does, as on stdout.
fn there(request: &CopyRequest) -> Result<Box<dyn Source>> {
    match request.destination.is_stream() {
        true => Err(Error::not_found("stdout holds nothing yet")),
        false => transport::source(&request.destination, &request.options),
    }
}

/// The stores, each open once.
struct Sources(Vec<(Location, Box<dyn Source>)>);

impl Sources {
    fn open(request: &CopyRequest) -> Result<Self> {
        let mut open: Vec<(Location, Box<dyn Source>)> = Vec::new();
        for (location, _) in &request.sources {
            if !open.iter().any(|(known, _)| is_same(known, location)) {
                let source = transport::source(location, &request.options).map_err(|error| error.side(Side::Source))?;
                open.push((location.clone(), source));
            }
        }
        Ok(Sources(open))
    }

    fn get(&self, location: &Location) -> Option<&dyn Source> {
        self.0.iter().find(|(known, _)| is_same(known, location)).map(|(_, source)| &**source)
    }
}

fn is_same(a: &Location, b: &Location) -> bool {
    (a.scheme(), a.path()) == (b.scheme(), b.path())
}

fn plans<'a>(run: &Run, request: &'a CopyRequest, sources: &'a Sources) -> Result<Vec<CopyPlan<'a>>> {
    let mut plans = Vec::new();
    for (location, wanted) in &request.sources {
        let Some(source) = sources.get(location) else { continue };
        let wish = copy::CopyRequest { source, wanted, platforms: &request.platforms, referrers: request.referrers };
        let mut plan = CopyPlan::new(run, &wish)?;
        // What a name becomes below a prefix nobody wrote.
        let asked = if request.prefix.is_none() { asked(wanted) } else { HashSet::new() };
        let claims = request.moving == Moving::Known && transport::of(location)?.scheme() != LAYOUT;
        for entry in &mut plan.entries {
            if let Some(prefix) = &request.prefix {
                bring_under(run, prefix, entry)?;
            }
            if claims {
                plan.claimed.extend(Identity::of_entry(entry).filter(|identity| !asked.contains(identity)));
            }
        }
        plans.push(plan);
    }
    Ok(plans)
}

/// The names that the request itself writes: in full, because a short form means whatever the archive has for it.
fn asked(wanted: &Wanted) -> HashSet<Identity> {
    match wanted {
        Wanted::One(_, Names::New(names)) => names.iter().map(Identity::of).collect(),
        Wanted::One(Selector::Name(name), Names::Kept) => {
            [ImageName::verbatim(name), ImageName::parse_reference(name)].iter().flatten().map(Identity::of).collect()
        }
        Wanted::One(..) | Wanted::All => HashSet::new(),
    }
}

/// Gives an entry the name below the prefix, or none where there is none.
fn bring_under(run: &Run, prefix: &Prefix, entry: &mut Descriptor) -> Result<()> {
    let Some(name) = ImageName::of(entry) else { return Ok(()) };
    match prefix.apply(&name).map_err(|error| error.context(format!("cannot bring the name `{name}` under {prefix}")))? {
        Some(name) => name.apply(entry),
        None => {
            ImageName::clear(entry);
            run.events.warn(format!("{} comes without its name `{name}`, which is no repository with a tag and so has no place under {prefix}", entry.digest));
        }
    }
    Ok(())
}

/// What of the plans is told.
struct Summary {
    names: Vec<CopiedName>,
    rewritten: Vec<RewrittenReport>,
    left_out: Vec<LeftOutReport>,
}

impl Summary {
    fn of(request: &CopyRequest, plans: &[CopyPlan<'_>]) -> Result<Summary> {
        let before = match there(request) {
            Ok(destination) => destination.index()?.manifests,
            // What is wrong with it is told when it is opened for writing.
            Err(_) => Vec::new(),
        };
        let standing: HashMap<Identity, &Digest> = before.iter().filter_map(|entry| Some((Identity::of_entry(entry)?, &entry.digest))).collect();
        let mut known: HashMap<Identity, &Descriptor> = HashMap::new();
        let mut names = Vec::new();
        for entry in plans.iter().flat_map(|plan| &plan.entries) {
            let identity = Identity::of_entry(entry);
            if let Some(identity) = &identity {
                match known.insert(identity.clone(), entry) {
                    Some(other) if other.digest != entry.digest => return Err(two_images(entry, other)),
                    Some(_) => continue,
                    None => {}
                }
            }
            let old = identity.and_then(|identity| standing.get(&identity).copied());
            names.push(CopiedName {
                name: ImageName::of(entry).map(|name| name.as_str().to_owned()),
                digest: entry.digest.clone(),
                added: old.is_none(),
                moved_from: old.filter(|old| **old != entry.digest).cloned(),
            });
        }
        claims::check(plans, &before, &shown(&request.destination)).map_err(|error| error.side(Side::Destination))?;
        let rewritten = plans.iter().flat_map(|plan| &plan.rewritten).map(|index| RewrittenReport { from: index.from.clone(), to: index.to.clone() }).collect();
        let left_out = plans.iter().flat_map(|plan| &plan.left_out).map(LeftOutReport::from).collect();
        Ok(Summary { names, rewritten, left_out })
    }
}

fn two_images(entry: &Descriptor, other: &Descriptor) -> Error {
    let name = ImageName::of(entry).map(|name| name.to_string()).unwrap_or_default();
    Error::conflict(format!("the name `{name}` would stand on two images: {} and {}", other.digest, entry.digest))
        .subject(&name)
        .hint("copy them one after the other, and give one of them another name")
}

fn tally(content: &[&Descriptor]) -> TallyReport {
    TallyReport { count: content.len(), bytes: content.iter().map(|descriptor| descriptor.size).fold(0, u64::saturating_add) }
}

/// Whether a store could be made in this directory.
fn is_vacant(path: &Path) -> bool {
    Dir::open(path).and_then(|dir| dir.entries()).is_ok_and(|entries| entries.is_empty())
}

/// The store without the name.
fn shown(location: &Location) -> String {
    location.store().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::{Names, Reading};
    use crate::spec::Selector;
    use crate::store::Destination as _;
    use crate::store::layout::Layout;
    use std::num::NonZeroUsize;

    fn location(path: &Path, name: &str) -> Location {
        let name = if name.is_empty() { String::new() } else { format!(":{name}") };
        Location::parse(format!("oci:{}{name}", path.display())).expect("a location")
    }

    fn layout(path: &Path, names: &[(&str, &str)]) {
        let layout = Layout::create(path, Options::default()).expect("created");
        for (name, content) in names {
            let mut entry = Descriptor::new("text/plain", Digest::sha256(content.as_bytes()), content.len() as u64);
            layout.put(&entry, &mut content.as_bytes()).expect("stored");
            ImageName::tag_only(name).expect("a tag").apply(&mut entry);
            // Not through the rules for entries: others write the same name twice.
            layout
                .update_index(|index| {
                    index.manifests.push(entry.clone());
                    Ok(())
                })
                .expect("committed");
        }
    }

    fn request(sources: Vec<(Location, Wanted)>, destination: Location) -> CopyRequest {
        let how = How { sharing: None, reading: Reading::Copied };
        let (prefix, moving) = (None, Moving::Known);
        CopyRequest { sources, destination, platforms: Platforms::All, referrers: Referrers::Left, prefix, moving, how, options: Options::default() }
    }

    fn one(name: &str) -> Wanted {
        Wanted::One(Selector::Name(name.into()), Names::Kept)
    }

    #[test]
    fn a_plan_changes_nothing_and_says_what_executing_does() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        layout(&from, &[("1", "one"), ("2", "second")]);
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        let both = request(vec![(location(&from, "1"), one("1")), (location(&from, "2"), one("2"))], location(&to, ""));
        let planned = plan(&run, &both).expect("planned");
        assert_eq!((planned.missing, planned.present.count, to.exists()), (TallyReport { count: 2, bytes: 9 }, 0, false));
        execute(&run, &request(vec![(location(&from, "1"), one("1"))], location(&to, ""))).expect("copied");
        let planned = plan(&run, &both).expect("planned");
        assert_eq!((planned.missing.bytes, planned.present.bytes), (6, 3));
        let report = execute(&run, &both).expect("copied");
        assert_eq!((report.content.copied.bytes, report.content.present.bytes), (6, 3));
        assert_eq!(report.names, planned.names);
    }

    #[test]
    fn a_name_that_moves_says_from_where() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        layout(&from, &[("1", "new")]);
        layout(&to, &[("1", "old")]);
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        let report = execute(&run, &request(vec![(location(&from, ""), Wanted::All)], location(&to, ""))).expect("copied");
        assert_eq!(report.names[0].moved_from, Some(Digest::sha256(b"old")));
    }

    #[test]
    fn lay_62_one_name_on_two_images_is_a_conflict_and_changes_nothing() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [twice, a, b, to] = ["twice", "a", "b", "to"].map(|name| temp.path().join(name));
        layout(&twice, &[("1", "one"), ("1", "other")]);
        layout(&a, &[("1", "one")]);
        layout(&b, &[("1", "other")]);
        let run = Run::new(NonZeroUsize::MIN).expect("a pool");
        for sources in [vec![(location(&twice, ""), Wanted::All)], vec![(location(&a, ""), Wanted::All), (location(&b, ""), Wanted::All)]] {
            let error = execute(&run, &request(sources, location(&to, ""))).expect_err("two images");
            assert_eq!((error.kind(), error.subject_text()), (ErrorKind::Conflict, Some("1")));
            assert!(!to.exists());
        }
    }
}
