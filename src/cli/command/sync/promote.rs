//! `larder sync promote`.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::credentials::{AuthfileFlag, jfrog_file};
use crate::cli::environment::{JFROG_CLI_SERVER_ID, LARDER_ACCESS_TOKEN, LARDER_PASSWORD, LARDER_USER};
use crate::cli::network::NetworkFlags;
use crate::cli::output::Report;
use crate::cli::prompt;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::copy::Referrers;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::sync::promote::{ArchTags, Arrived, Base, Manner, PromotePlanReport, PromoteReport, PromoteRequest, Promotion, Route, Server, Tags};
use crate::spec::{Digest, Reference, text};
use crate::store::registry::credentials::{Login, Servers};
use crate::store::registry::{Authorization, Credential, Credentials as _, Secret};

/// Brings an image from one repository of an Artifactory to another
///
/// The server does it itself, by the call that `jf rt docker-promote` makes, so that no content is sent; where it cannot, or where the repositories are on
/// different registries (docker://), larder copies the image. Afterwards larder reads back: the tag at the target stands on the same digest, and everything
/// below it is there for every platform.
///
/// Without --copy the image leaves the source, and without --source-tag all its tags go; both ask before they do it, or want --yes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder sync promote --copy multiarch-image docker-local docker-target --source-tag 1.4.2 --url https://acme.example/artifactory/
  larder sync promote --copy --source-tag latest --target-tag latest-new multiarch-image docker-local docker-target --server-id acme
  larder sync promote --copy docker://staging.example/team/hello:1.4.2 docker://registry.example/team/hello")]
pub(crate) struct Args {
    /// Image without the key of a repository, the repository that it is in, and the one that it goes to; or two places as docker://HOST/REPOSITORY:TAG
    #[arg(value_names = ["IMAGE", "SOURCE_REPO", "TARGET_REPO"], num_args = 1..=3, required = true)]
    what: Vec<String>,
    /// Leaves the image where it is, too
    #[arg(long)]
    copy: bool,
    /// Tag to promote; without it, all
    #[arg(long, value_name = "TAG")]
    source_tag: Option<String>,
    /// Tag at the target, where it is to be another
    #[arg(long, value_name = "TAG", requires = "source_tag")]
    target_tag: Option<String>,
    /// Name of the image at the target, where it is to be another
    #[arg(long, visible_alias = "target-image", value_name = "IMAGE", requires = "source_tag")]
    target_docker_image: Option<String>,
    /// Gives each architecture a tag of its own at the target: TAG-OS-ARCH
    #[arg(long)]
    arch_tags: bool,
    /// Brings along what is attached to the image: signatures, attestations, and what is attached to these
    #[arg(long, requires = "copy")]
    referrers: bool,
    /// The Artifactory: https://HOST/artifactory/
    #[arg(long, value_name = "URL", conflicts_with = "server_id")]
    url: Option<String>,
    /// The server that JFrog's CLI knows by this name; without it and --url, its default [env: JFROG_CLI_SERVER_ID]
    #[arg(long, value_name = "ID")]
    server_id: Option<String>,
    #[command(flatten)]
    login: LoginFlags,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
    /// Says what would be promoted; changes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    authfile: AuthfileFlag,
    #[command(flatten)]
    network: NetworkFlags,
}

/// What proves who one is.
#[derive(clap::Args, Debug)]
struct LoginFlags {
    /// User of the Artifactory [env: LARDER_USER]
    #[arg(long, visible_alias = "username", value_name = "USER")]
    user: Option<String>,
    /// Its password. Every user of the machine can see it here: rather use --password-stdin [env: LARDER_PASSWORD]
    #[arg(long, value_name = "PASSWORD", conflicts_with = "access_token")]
    password: Option<Hidden>,
    /// Takes the password from stdin
    #[arg(long, conflicts_with_all = ["password", "access_token"])]
    password_stdin: bool,
    /// Access token in place of a password; visible like --password [env: LARDER_ACCESS_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    access_token: Option<Hidden>,
    /// Takes the access token from stdin
    #[arg(long, conflicts_with_all = ["password", "access_token", "password_stdin"])]
    access_token_stdin: bool,
}

/// An argument that is not shown in `Debug`.
#[derive(Clone, Debug)]
struct Hidden(Secret);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Hidden(Secret::new(text))
    }
}

impl LoginFlags {
    /// What the call itself says, and after it the environment.
    fn login(&self, context: &Context) -> Result<Login> {
        let (environment, cancel) = (&context.environment, &context.run.cancel);
        for (flag, given) in [("--password", &self.password), ("--access-token", &self.access_token)] {
            if given.is_some() {
                let message = format!("every user of this machine can see {flag} in the list of processes; give it with {flag}-stdin or in the environment");
                context.run.events.warn(message);
            }
        }
        let given = |flag: &Option<Hidden>| flag.as_ref().map(|hidden| hidden.0.clone());
        let mut login = Login { user: self.user.clone(), password: given(&self.password), access_token: given(&self.access_token) };
        if self.password_stdin {
            login.password = Some(prompt::secret_from_stdin(cancel)?);
        }
        if self.access_token_stdin {
            login.access_token = Some(prompt::secret_from_stdin(cancel)?);
        }
        if login.is_empty() {
            login.password = environment.text(&LARDER_PASSWORD)?.map(Secret::new);
            login.access_token = environment.text(&LARDER_ACCESS_TOKEN)?.map(Secret::new);
        }
        if login.user.is_none() && !login.is_empty() {
            login.user = environment.text(&LARDER_USER)?.map(str::to_owned);
        }
        if login.is_empty() && login.user.is_some() {
            return Err(Error::usage("--user is given and no password").hint("pipe it in with --password-stdin, or set LARDER_PASSWORD"));
        }
        Ok(login)
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let manner = if args.copy { Manner::Copy } else { Manner::Move };
    let places = Places::read(&args)?;
    let asks = !args.yes && !args.dry_run && (manner == Manner::Move || places.tags == Tags::All);
    if asks && !prompt::is_possible() {
        return Err(Error::usage(format!("{} wants a confirmation, and there is no terminal to ask on", places.danger(manner)))
            .hint("add --yes to do it, or --dry-run to see what would be done"));
    }
    let (danger, arch_tags) = (places.danger(manner), if args.arch_tags { ArchTags::Made } else { ArchTags::Left });
    let tags = places.tags.clone();
    let referrers = if args.referrers { Referrers::Carried } else { Referrers::Left };
    let (route, given) = places.route(&args, context)?;
    let sources = args.authfile.sources(context, given)?;
    let route = authorized(route, &sources)?;
    let settings = args.network.settings(context, &route.hosts(), sources)?;
    let promotion = Promotion::plan(&context.run, PromoteRequest { route, tags, manner, arch_tags, referrers, settings })?;
    let plan = promotion.report();
    if args.dry_run {
        return context.output.print(&PlanText(plan));
    }
    if asks {
        let tags = if plan.tags.len() == 1 { "1 tag".to_owned() } else { format!("{} tags", plan.tags.len()) };
        let question = format!("{danger}: {tags} of {} to {}. Go on?", plan.source, plan.target);
        if !prompt::confirm(&text::shown(&question), &context.run.cancel)? {
            return Err(Error::new(ErrorKind::Interrupted, "not confirmed; nothing was changed"));
        }
    }
    context.output.print(&Text(promotion.execute(&context.run)?))
}

/// What was written, taken apart.
struct Places {
    ends: Ends,
    tags: Tags,
}

enum Ends {
    /// Keys of repositories, and images in them.
    Keys { image: String, source: String, target: String, target_image: String },
    /// Repositories of any registries.
    References { source: Reference, target: Reference },
}

impl Places {
    /// Kind `usage`.
    fn read(args: &Args) -> Result<Places> {
        let tag = |tag: &Option<String>| tag.as_deref().map(valid_tag).transpose();
        let (source_tag, target_tag) = (tag(&args.source_tag)?, tag(&args.target_tag)?);
        let tags = |source: Option<String>, target: Option<String>, pinned: Option<Digest>| match source {
            Some(source) => Tags::One { target: target.unwrap_or_else(|| source.clone()), source, pinned },
            None => Tags::All,
        };
        match args.what.as_slice() {
            [image, source, target] => {
                let target_image = args.target_docker_image.as_ref().unwrap_or(image).clone();
                let ends = Ends::Keys { image: image.clone(), source: source.clone(), target: target.clone(), target_image };
                Ok(Places { ends, tags: tags(source_tag, target_tag, None) })
            }
            [source, target] => {
                let (source, target) = (place(source)?, place(target)?);
                if args.source_tag.is_some() {
                    return Err(Error::usage("--source-tag belongs to IMAGE SOURCE_REPO TARGET_REPO").hint("write docker://HOST/REPOSITORY:TAG"));
                }
                let Some(tag) = source.tag() else {
                    return Err(Error::usage("the place to promote from has no tag").subject(&source).hint("write docker://HOST/REPOSITORY:TAG"));
                };
                if target.digest().is_some() {
                    return Err(Error::usage("the place to promote to has a digest, which is that of the source").subject(&target));
                }
                let tags = tags(Some(tag.to_owned()), target.tag().map(str::to_owned), source.digest().cloned());
                Ok(Places { ends: Ends::References { source, target }, tags })
            }
            _ => Err(Error::usage("it takes an image and two repositories, or two places").hint("`larder sync promote --help` explains the arguments")),
        }
    }

    /// What a person should think about before it is done.
    fn danger(&self, manner: Manner) -> &'static str {
        match (manner, &self.tags) {
            (Manner::Copy, _) => "copying all tags",
            (Manner::Move, Tags::One { .. }) => "moving the image away from its repository",
            (Manner::Move, Tags::All) => "moving all tags away from their repository",
        }
    }

    /// The route, and the credentials that were given for it.
    fn route(self, args: &Args, context: &Context) -> Result<(Route, Vec<(String, Credential)>)> {
        let named = args.url.is_some() || args.server_id.is_some();
        let login = args.login.login(context)?;
        let (image, source, target, target_image) = match self.ends {
            Ends::References { source, target } if !named => {
                let given = if source.host() == target.host() { login.for_registry().map(|credential| (source.host().to_owned(), credential)) } else { None };
                if given.is_none() && !login.is_empty() {
                    return Err(Error::usage("credentials are given, and two registries are meant").hint("log in to each: larder sync login HOST"));
                }
                return Ok((Route::Registries { source, target }, given.into_iter().collect()));
            }
            Ends::References { source, target } => {
                let (source_key, image) = keyed(&source)?;
                let (target_key, target_image) = keyed(&target)?;
                if source.host() != target.host() {
                    return Err(Error::usage("--url and --server-id name one Artifactory, and two registries are meant").hint("leave them out"));
                }
                (image, source_key, target_key, target_image)
            }
            Ends::Keys { image, source, target, target_image } => (image, source, target, target_image),
        };
        let (base, login) = artifactory(args, context, login)?;
        if base.scheme() == crate::ops::sync::promote::Scheme::Http && !login.is_empty() && !is_loopback(base.host()) {
            context.run.events.warn(format!("{base} is reached without TLS: everybody on the way can read the credentials"));
        }
        let given = login.for_registry().map(|credential| (base.host().to_owned(), credential));
        let server = Server { base, authorization: login.for_rest() };
        Ok((Route::Artifactory { server, source, target, image, target_image }, given.into_iter().collect()))
    }
}

/// The Artifactory that is meant, and what proves to it who one is: flags and the environment before the file of JFrog's CLI.
fn artifactory(args: &Args, context: &Context, login: Login) -> Result<(Base, Login)> {
    if let Some(url) = &args.url {
        return Ok((Base::parse(url)?, login));
    }
    let id = match &args.server_id {
        Some(id) => Some(id.clone()),
        None => context.environment.text(&JFROG_CLI_SERVER_ID)?.map(str::to_owned),
    };
    let servers = jfrog_file(&context.environment).map(|file| Servers::read(&file)).transpose()?.unwrap_or_default();
    let Some(server) = servers.get(id.as_deref())? else {
        return Err(
            Error::usage("no Artifactory is named").hint("give its URL with --url https://HOST/artifactory/, or a server of JFrog's CLI with --server-id")
        );
    };
    let base = Base::parse(&server.artifactory)?;
    let login = if login.is_empty() { server.login()?.clone() } else { login };
    Ok((base, login))
}

/// Where nothing was given for the server, what is known for it elsewhere.
fn authorized(route: Route, sources: &crate::store::registry::credentials::Sources) -> Result<Route> {
    let Route::Artifactory { mut server, source, target, image, target_image } = route else { return Ok(route) };
    if server.authorization == Authorization::None {
        server.authorization = match sources.find(server.base.host(), &format!("{source}/{image}"))? {
            Some(Credential::Basic { user, password }) => Authorization::Basic { user, password },
            Some(Credential::Bearer(token)) => Authorization::Bearer(token),
            Some(Credential::Header { name, value }) => Authorization::Header { name, value },
            Some(Credential::IdentityToken(_)) | None => Authorization::None,
        };
    }
    Ok(Route::Artifactory { server, source, target, image, target_image })
}

fn place(written: &str) -> Result<Reference> {
    let shown = text::shown(written);
    let Some(rest) = written.strip_prefix("docker://") else {
        return Err(Error::usage(format!("`{shown}` is no place in a registry"))
            .subject(&shown)
            .hint("write docker://HOST/REPOSITORY:TAG, or IMAGE SOURCE_REPO TARGET_REPO"));
    };
    rest.parse()
}

/// The key of a repository of Artifactory, and the image in it.
fn keyed(reference: &Reference) -> Result<(String, String)> {
    let (key, image) = reference.repository().split_once('/').ok_or_else(|| {
        Error::usage(format!("`{reference}` has no image behind the key of its repository")).subject(reference).hint("write docker://HOST/REPOSITORY/IMAGE:TAG")
    })?;
    Ok((key.to_owned(), image.to_owned()))
}

fn valid_tag(tag: &str) -> Result<String> {
    match crate::spec::reference::is_tag(tag) {
        true => Ok(tag.to_owned()),
        false => Err(Error::usage(format!("`{}` is not a tag", text::shown(tag))).subject(text::shown(tag))),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.strip_prefix('[').map_or_else(|| host.split(':').next().unwrap_or(host), |rest| rest.split(']').next().unwrap_or(rest));
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(PromoteReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        let mut table = Table::new([("TAG", Align::Left), ("DIGEST", Align::Left), ("BEFORE", Align::Left), ("PLATFORMS", Align::Left)]);
        for promoted in &report.tags {
            table.row([&promoted.tag.target_tag, promoted.tag.digest.short(), before(&promoted.tag), &promoted.platforms.join(", ")]);
        }
        table.write(out)?;
        for tag in report.tags.iter().flat_map(|promoted| &promoted.arch_tags) {
            writeln!(out, "tag of one architecture: {}", text::shown(tag))?;
        }
        let done = if report.manner == "copy" { "copied" } else { "moved" };
        let by = if report.by == "artifactory" { "by the server" } else { "by larder" };
        writeln!(out, "{} {} to {} {by}; digests and all platforms are proved", style.strong(done), text::shown(&report.source), text::shown(&report.target))
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct PlanText(PromotePlanReport);

impl Report for PlanText {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        let mut table = Table::new([("FROM", Align::Left), ("TO", Align::Left), ("DIGEST", Align::Left), ("BEFORE", Align::Left)]);
        for tag in &report.tags {
            table.row([&tag.source_tag, &tag.target_tag, tag.digest.short(), before(tag)]);
        }
        table.write(out)?;
        writeln!(out, "{} {} to {}", style.strong(&format!("would {}", report.manner)), text::shown(&report.source), text::shown(&report.target))
    }
}

/// What the tag at the target stands on before.
fn before(tag: &Arrived) -> &str {
    match (&tag.moved_from, tag.unchanged) {
        (Some(digest), _) => digest.short(),
        (None, true) => "the same",
        (None, false) => "-",
    }
}
