//! The Dockerfiles and their contexts.

/// One Dockerfile.
#[derive(Debug)]
pub(super) struct Case {
    /// A word for it, in small letters.
    pub(super) name: &'static str,
    /// Shell that fills the context.
    pub(super) context: &'static str,
    pub(super) dockerfile: &'static str,
    /// What the file is called.
    pub(super) file: &'static str,
    /// What it is built for.
    pub(super) platform: &'static str,
    /// Arguments beside context and output.
    pub(super) arguments: &'static [&'static str],
    /// The same in words that Debian's buildah knows.
    pub(super) older: Option<&'static str>,
    /// Its arguments, where they are others.
    pub(super) older_arguments: Option<&'static [&'static str]>,
}

impl Case {
    /// Whether a step runs something.
    pub(super) fn runs(&self) -> bool {
        let mut lines = self.dockerfile.lines();
        lines.any(|line| line.trim_start().to_lowercase().starts_with("run") || line.starts_with("ONBUILD RUN"))
    }
}

pub(super) const fn case(name: &'static str, context: &'static str, dockerfile: &'static str) -> Case {
    Case { name, context, dockerfile, file: "Dockerfile", platform: "linux/amd64", arguments: &[], older: None, older_arguments: None }
}

pub(super) const fn with(mut case: Case, arguments: &'static [&'static str]) -> Case {
    case.arguments = arguments;
    case
}

pub(super) const fn older(mut case: Case, dockerfile: &'static str) -> Case {
    case.older = Some(dockerfile);
    case
}

/// A context with files, directories, links and modes.
pub(super) const FILES: &str = "
mkdir -p dir/sub empty
echo a >a.txt; echo b >b.txt; echo c >c.log
echo one >dir/one; echo two >dir/sub/two; echo hidden >dir/.hidden
ln -s one dir/link; ln -s ../a.txt dir/up
chmod 755 a.txt; chmod 600 dir/one; chmod 700 dir/sub";

pub(super) const CASES: &[Case] = &[
    // COPY: where things go.
    case("copy-file", FILES, "FROM localhost/base:1\nCOPY a.txt /new.txt\n"),
    case("copy-file-to-directory", FILES, "FROM localhost/base:1\nCOPY a.txt /data/\nCOPY b.txt /fresh/deep/\n"),
    case("copy-file-to-existing-directory", FILES, "FROM localhost/base:1\nCOPY a.txt /data\n"),
    case("copy-many", FILES, "FROM localhost/base:1\nCOPY a.txt b.txt c.log /many/\n"),
    case("copy-directory", FILES, "FROM localhost/base:1\nCOPY dir /copied\n"),
    case("copy-directory-into-existing", FILES, "FROM localhost/base:1\nCOPY dir/ /data/\n"),
    case("copy-directory-and-file", FILES, "FROM localhost/base:1\nCOPY dir a.txt /both/\n"),
    case("copy-everything", FILES, "FROM localhost/base:1\nCOPY . /all\n"),
    case("copy-globs", FILES, "FROM localhost/base:1\nCOPY *.txt /texts/\nCOPY d?r/s*/ /sub/\nCOPY [ab].txt /ab/\n"),
    case("copy-json", "echo x >'with space'", "FROM localhost/base:1\nCOPY [\"with space\", \"/a place/\"]\n"),
    case("copy-empty-directory", FILES, "FROM localhost/base:1\nCOPY empty /empty/\n"),
    case("copy-relative-to-workdir", FILES, "FROM localhost/base:1\nWORKDIR /work/place\nCOPY a.txt .\nCOPY b.txt sub/b\nCOPY dir ./dir/\n"),
    case("copy-through-links", FILES, "FROM localhost/base:1\nCOPY a.txt /var/link/\nCOPY b.txt /abs/deep/b\n"),
    case("copy-over-file", FILES, "FROM localhost/base:1\nCOPY a.txt /data/base.txt\nCOPY b.txt /data/base.txt\n"),
    case("copy-link-itself-follows", FILES, "FROM localhost/base:1\nCOPY dir/link /from-link\n"),
    // buildah takes the setuid bit away, and BuildKit does not.
    case("copy-modes", "echo x >f; chmod 711 f; mkdir d; chmod 1777 d; echo y >d/y; chmod 640 d/y", "FROM localhost/base:1\nCOPY f d /modes/\n"),
    // COPY: flags.
    case("copy-chown-numbers", FILES, "FROM localhost/base:1\nCOPY --chown=12:34 dir /owned\nCOPY --chown=77 a.txt /one\n"),
    case(
        "copy-chown-names",
        FILES,
        "FROM localhost/base:1\nCOPY --chown=app:staff dir /owned/\nCOPY --chown=app a.txt /alone\nCOPY --chown=app:7 b.txt /mixed\n",
    ),
    case("copy-chmod", FILES, "FROM localhost/base:1\nCOPY --chmod=0711 a.txt /x\n"),
    case("copy-user-does-not-own", FILES, "FROM localhost/base:1\nUSER app\nCOPY a.txt /home/app/\n"),
    older(
        case("copy-exclude", FILES, "FROM localhost/base:1\nCOPY --exclude=*.log --exclude=*/two dir c.log a.txt /some/\n"),
        "FROM localhost/base:1\nCOPY dir a.txt /some/\nRUN rm /some/sub/two\n",
    ),
    older(
        case("copy-parents", FILES, "FROM localhost/base:1\nCOPY --parents dir/one dir/sub/two /kept/\n"),
        "FROM localhost/base:1\nCOPY dir/one /kept/dir/one\nCOPY dir/sub/two /kept/dir/sub/two\nRUN chmod 700 /kept/dir/sub\n",
    ),
    older(
        case("copy-link", FILES, "FROM localhost/base:1\nCOPY --link a.txt /data/a\nCOPY --link dir /linked/\n"),
        "FROM localhost/base:1\nCOPY a.txt /data/a\nCOPY dir /linked/\n",
    ),
    older(
        case(
            "copy-here-documents",
            "",
            "FROM localhost/base:1\nARG WHAT=world\nCOPY <<EOF /greeting\nhello ${WHAT}\nEOF\nCOPY <<-\"QUOTED\" <<second /two/\n\tas $IT stands\nQUOTED\nsecond here\nsecond\n",
        ),
        "FROM localhost/base:1\nRUN printf 'hello world\\n' >/greeting && mkdir /two && printf 'as $IT stands\\n' >/two/QUOTED && printf 'second here\\n' >/two/second\n",
    ),
    // ADD.
    case(
        "add-archives",
        "mkdir t; echo in >t/in; ln -s in t/link; tar --owner=5 --group=6 -C t -cf plain.tar .; tar --owner=5 --group=6 -C t -czf packed.tar.gz in link; rm -r t",
        "FROM localhost/base:1\nADD plain.tar /from-plain/\nADD packed.tar.gz /from-packed\n",
    ),
    case("add-files", "echo x >f; mkdir d; echo y >d/y", "FROM localhost/base:1\nADD f /f\nADD d /d\nADD --chown=3:4 f /g\n"),
    case("copy-keeps-archives", "echo x >f; tar -cf a.tar f", "FROM localhost/base:1\nCOPY a.tar /a.tar\n"),
    // Stages.
    case(
        "stages",
        FILES,
        "FROM localhost/base:1 AS one\nCOPY a.txt /made/a\nCOPY dir /made/dir\nFROM localhost/base:1 AS unused\nCOPY missing-on-purpose* /x/\nCOPY b.txt /x/\nFROM scratch\nCOPY --from=one /made /out\nCOPY --from=0 /data/base.txt /base.txt\n",
    ),
    case(
        "stage-from-stage",
        FILES,
        "FROM localhost/base:1 AS first\nENV A=1\nWORKDIR /w\nCOPY a.txt .\nFROM first AS second\nENV B=$A-2\nCOPY b.txt .\nFROM second\nCOPY c.log .\n",
    ),
    case("copy-from-image", "", "FROM scratch\nCOPY --from=localhost/base:1 /data /data\nCOPY --from=localhost/base:1 /etc/passwd /etc/\n"),
    case("copy-from-keeps-owners", "", "FROM localhost/base:1 AS one\nFROM scratch\nCOPY --from=one /home /home\n"),
    with(case("target", FILES, "FROM localhost/base:1 AS one\nCOPY a.txt /a\nFROM one AS two\nCOPY b.txt /b\nFROM two\nCOPY c.log /c\n"), &["--target", "two"]),
    case("scratch-only", FILES, "FROM scratch\nCOPY dir /dir\nENTRYPOINT [\"/x\"]\n"),
    // The config.
    case("env", "", "FROM localhost/base:1\nENV A=1 B=\"two words\" C=three\\ words\nENV OLD old form here\nENV D=$A$B E=${A}x FROM_BASE=changed\n"),
    case("labels", "", "FROM localhost/base:1\nLABEL a=1 \"b c\"=\"d e\" multi=\"x\\\ny\"\nLABEL of=changed\nLABEL empty=\"\"\n"),
    case("entrypoint-and-cmd", "", "FROM localhost/base:1\nENTRYPOINT [\"/bin/echo\", \"a b\"]\nCMD [\"c\"]\n"),
    case("shell-forms", "", "FROM localhost/base:1\nENTRYPOINT exec /bin/echo $HOME\nCMD x y\n"),
    case("entrypoint-clears-cmd", "", "FROM localhost/base:1\nENTRYPOINT [\"/bin/echo\"]\n"),
    // For a CMD after it, buildah forgets SHELL.
    case("shell", "", "FROM localhost/base:1\nCMD echo x\nSHELL [\"/bin/sh\", \"-e\", \"-c\"]\n"),
    case("workdir", "", "FROM localhost/base:1\nWORKDIR /a\nWORKDIR b\nENV P=/q\nWORKDIR $P/r\nWORKDIR ../s\n"),
    case("workdir-as-user", "", "FROM localhost/base:1\nUSER app\nWORKDIR /home/app/new\n"),
    case("user", "", "FROM localhost/base:1\nARG WHO=app\nUSER ${WHO}:staff\n"),
    // buildah makes some of the directories that are not there.
    case("ports-and-volumes", "", "FROM localhost/base:1\nEXPOSE 80 443/tcp 53/udp\nVOLUME /data /home/app\nVOLUME [\"/usr/share\"]\n"),
    case("stop-signal-and-health", "", "FROM localhost/base:1\nSTOPSIGNAL SIGQUIT\nHEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD test -f /x\n"),
    case("health-none", "", "FROM localhost/base:1\nHEALTHCHECK NONE\n"),
    case("maintainer", "", "FROM localhost/base:1\nMAINTAINER someone <some@example.org>\n"),
    case("onbuild-kept", "", "FROM localhost/base:1\nONBUILD ENV X=1\nONBUILD LABEL y=2\n"),
    // Arguments and expansion.
    with(
        case(
            "args",
            FILES,
            "ARG TAG=none\nARG NAME=base\nFROM localhost/${NAME}:$TAG\nARG TAG\nARG FILE=a.txt\nARG UNSET\nCOPY $FILE /from-arg\nENV TAG=$TAG UNSET=[$UNSET]\n",
        ),
        &["--build-arg", "TAG=1", "--build-arg", "FILE=b.txt"],
    ),
    case(
        "expansion",
        "",
        "FROM localhost/base:1\nENV A=abc EMPTY=\nENV B=${A:-no} C=${NONE:-yes} D=${A:+set} E=${NONE:+set}x F=${EMPTY:-d} G=\\$A H='$A' I=\"$A\"\nLABEL l=${A}\nEXPOSE ${PORT:-8080}\n",
    ),
    older(
        case(
            "expansion-of-today",
            "",
            "FROM localhost/base:1\nENV F=a.b.c.tar\nENV A=${F%.*} B=${F%%.*} C=${F#*.} D=${F##*.} E=${F/./-} G=${F//./-} H=${NONE-u} I=${F+s}\n",
        ),
        "FROM localhost/base:1\nENV F=a.b.c.tar\nENV A=a.b.c B=a C=b.c.tar D=tar E=a-b.c.tar G=a-b-c-tar H=u I=s\n",
    ),
    case("automatic-args", "", "FROM localhost/base:1\nARG TARGETPLATFORM\nARG TARGETOS\nARG TARGETARCH\nENV P=$TARGETPLATFORM O=$TARGETOS A=$TARGETARCH\n"),
    case(
        "escape-and-continuation",
        FILES,
        "# escape=`\nFROM localhost/base:1\nENV A=1 `\n    B=2 `\n# a comment between\n    C=3\nCOPY a.txt `\n  b.txt /x/\n",
    ),
    // The context.
    case(
        "ignored",
        "mkdir -p keep/deep drop/in; touch a.log b.txt keep/c.log keep/deep/d.log keep/deep/e drop/in/f drop/in/g .git; printf '# comment\\n*.log\\n**/deep/*.log\\ndrop\\n!drop/in/g\\n/.git\\n' >.dockerignore",
        "FROM localhost/base:1\nCOPY . /all\n",
    ),
    with(
        case("other-file-name", "mkdir sub; echo x >x; printf 'FROM localhost/base:1\\nCOPY x /x\\n' >sub/Own.Dockerfile", "FROM scratch\nCOPY x /wrong\n"),
        &["-f", "sub/Own.Dockerfile"],
    ),
    // RUN.
    case("run-shell", "", "FROM localhost/base:1\nRUN echo made >/made && mkdir -p /x/y && touch /x/y/z\nRUN echo again >>/made\n"),
    case("run-exec", "", "FROM localhost/base:1\nRUN [\"/bin/touch\", \"/a file\"]\nRUN [\"mkdir\", \"/by-path\"]\n"),
    case(
        "run-removes",
        "",
        "FROM localhost/base:1\nRUN rm /data/base.txt && rm -r /data/deep && mkdir /data/deep && touch /data/deep/new\nRUN rm -r /usr/share\n",
    ),
    case("run-metadata", "", "FROM localhost/base:1\nRUN chmod 640 /data/base.txt && chown app:staff /data/deep && chmod u+s /home/app\n"),
    case("run-links", "", "FROM localhost/base:1\nRUN ln /data/base.txt /hard && ln -s nowhere /dangling && mv /data/deep /moved\n"),
    case("run-env-and-workdir", "", "FROM localhost/base:1\nENV A=1\nARG B=2\nWORKDIR /w\nRUN echo $A $B $FROM_BASE >out; pwd >>out; echo ${HOME} >>out\n"),
    case("run-as-user", "", "FROM localhost/base:1\nUSER app\nWORKDIR /home/app\nRUN id >who; touch mine\nUSER 1234:50\nRUN id >/tmp/who\n"),
    case("run-shell-changed", "", "FROM localhost/base:1\nSHELL [\"/bin/sh\", \"-xc\"]\nRUN echo $0 $- >/shell\n"),
    case(
        "run-after-copy",
        FILES,
        "FROM localhost/base:1\nCOPY dir /dir\nRUN cat /dir/one >/one && rm /dir/sub/two && mv /dir/.hidden /dir/seen\nCOPY a.txt /dir/sub/\nRUN ls -a /dir/sub >/listing\n",
    ),
    case(
        "run-in-stage",
        FILES,
        "FROM localhost/base:1 AS build\nCOPY a.txt /src/\nRUN cat /src/a.txt /src/a.txt >/twice && chmod 700 /twice\nFROM localhost/base:1\nCOPY --from=build --chown=9:9 /twice /twice\nRUN test -x /twice\n",
    ),
    older(
        case("run-here-document", "", "FROM localhost/base:1\nRUN <<EOF\necho one >/one\necho two >/two\nEOF\n"),
        "FROM localhost/base:1\nRUN echo one >/one; echo two >/two\n",
    ),
    case(
        "run-mount-bind",
        FILES,
        "FROM localhost/base:1 AS one\nCOPY b.txt /b\nFROM localhost/base:1\nRUN --mount=type=bind,target=/in cat /in/a.txt >/a\nRUN --mount=type=bind,from=one,source=/b,target=/mnt/b cat /mnt/b >/b && rm -rf /mnt 2>/dev/null; true\nRUN rm -rf /mnt /in\n",
    ),
    case(
        "run-mount-tmpfs",
        "",
        "FROM localhost/base:1\nRUN --mount=type=tmpfs,target=/scratch echo x >/scratch/x && cp /scratch/x /kept\nRUN rm -rf /scratch\n",
    ),
    with(
        case("run-mount-secret", "echo swordfish >s", "FROM localhost/base:1\nRUN --mount=type=secret,id=word cat /run/secrets/word | wc -c >/length\n"),
        &["--secret", "id=word,src=s"],
    ),
    case(
        "onbuild-triggers",
        FILES,
        "FROM localhost/base:1 AS parent\nONBUILD COPY a.txt /triggered\nONBUILD RUN cat /triggered >/ran\nONBUILD ENV T=1\nFROM parent\nCOPY b.txt /b\n",
    ),
];
