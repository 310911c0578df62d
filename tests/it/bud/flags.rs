//! Cases for what the others leave out: every flag, every key of a mount, and names that files have.

use super::cases::{Case, FILES, case, older, with};

const fn older_with(mut case: Case, dockerfile: &'static str, arguments: &'static [&'static str]) -> Case {
    case.older = Some(dockerfile);
    case.older_arguments = Some(arguments);
    case
}

const fn on(mut case: Case, platform: &'static str) -> Case {
    case.platform = platform;
    case
}

/// Archives in every form that ADD extracts.
const ARCHIVES: &str = "
mkdir t; echo in >t/in; ln -s in t/link
tar --owner=5 --group=6 -C t -cf t.tar .
tar --owner=5 --group=6 --bzip2 -C t -cf t.tar.bz2 in link
tar --owner=5 --group=6 --xz -C t -cf t.tar.xz in link
tar --owner=5 --group=6 --zstd -C t -cf t.tar.zst in link
rm -r t";

/// Files at several depths.
const DEEP: &str = "mkdir -p d/e/f; echo 1 >d/one.c; echo 2 >d/e/two.c; echo 3 >d/e/f/three.c; echo no >d/e/f/three.h; chmod 750 d/e";

/// The socket of an agent that is not there, and a key, for buildah is an agent itself.
const AGENT: &str = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"agent\")'; openssl ecparam -name prime256v1 -genkey -noout >key";

pub(super) const FLAGS: &[Case] = &[
    case(
        "from-platform",
        FILES,
        "FROM --platform=linux/amd64 localhost/base:1 AS one\nCOPY a.txt /a\nFROM --platform=$TARGETPLATFORM localhost/base:1\nCOPY --from=one /a /a\n",
    ),
    on(
        case(
            "automatic-args-with-variant",
            "",
            "FROM scratch\nARG TARGETPLATFORM\nARG TARGETOS\nARG TARGETARCH\nARG TARGETVARIANT\nENV ALL=$TARGETPLATFORM:$TARGETOS:$TARGETARCH:$TARGETVARIANT\n",
        ),
        "linux/arm/v7",
    ),
    case(
        "automatic-args-of-the-machine",
        "",
        "FROM localhost/base:1\nARG BUILDPLATFORM\nARG BUILDOS\nARG BUILDARCH\nARG BUILDVARIANT\nENV ALL=$BUILDPLATFORM:$BUILDOS:$BUILDARCH:$BUILDVARIANT\n",
    ),
    older(
        case(
            "automatic-args-of-today",
            "",
            "FROM localhost/base:1\nARG TARGETSTAGE BUILDOSVERSION TARGETOSVERSION SOURCE_DATE_EPOCH\nENV ALL=$TARGETSTAGE:$BUILDOSVERSION:$TARGETOSVERSION:$SOURCE_DATE_EPOCH\n",
        ),
        "FROM localhost/base:1\nENV ALL=default:::0\n",
    ),
    with(
        case(
            "named-context",
            "mkdir -p more/deep; echo m >more/m; echo deep >more/deep/f",
            "FROM localhost/base:1\nCOPY --from=more m deep /more/\nRUN --mount=from=more,target=/more-m,source=m cat /more-m >/seen\nRUN rm -rf /more-m\n",
        ),
        &["--build-context", "more=more"],
    ),
    // Flags of COPY and ADD.
    older(
        case("copy-chmod-symbolic", FILES, "FROM localhost/base:1\nCOPY --chmod=u=rwX,go=rX dir /d\nCOPY --chmod=a-w,u+x b.txt /b\n"),
        "FROM localhost/base:1\nCOPY dir /d\nCOPY b.txt /b\nRUN chmod -R u=rwX,go=rX /d; chmod 544 /b\n",
    ),
    older(
        case("copy-parents-from-the-pivot-on", DEEP, "FROM localhost/base:1\nCOPY --parents ./d/./e/two.c d/e/./f/three.c /kept/\n"),
        "FROM localhost/base:1\nCOPY d/e/two.c /kept/e/\nCOPY d/e/f/three.c /kept/f/\nRUN chmod 750 /kept/e\n",
    ),
    older(
        case("copy-parents-at-any-depth", DEEP, "FROM localhost/base:1\nCOPY --parents d/**/*.c /all/\n"),
        "FROM localhost/base:1\nCOPY d /all/d\nRUN rm /all/d/e/f/three.h\n",
    ),
    case("add-chmod", FILES, "FROM localhost/base:1\nADD --chmod=640 --chown=app:staff a.txt dir /added/\n"),
    older(
        case(
            "add-of-today",
            "mkdir d; echo x >d/x; echo y >d/y.log; tar -cf t.tar d",
            "FROM localhost/base:1\nADD --link d/x /linked/\nADD --exclude=*.log d /some\nADD --unpack=false t.tar /as-it-is.tar\nADD --unpack=true t.tar /in/\n",
        ),
        "FROM localhost/base:1\nCOPY d/x /linked/\nCOPY d/x /some/\nCOPY t.tar /as-it-is.tar\nADD t.tar /in/\n",
    ),
    older(
        case(
            "add-here-documents",
            "",
            "FROM localhost/base:1\nENV WHAT=world\nADD --chmod=600 <<EOF <<\"raw\" /docs/\nhello $WHAT\nEOF\nhello $WHAT\nraw\n",
        ),
        "FROM localhost/base:1\nENV WHAT=world\nRUN mkdir /docs && echo 'hello world' >/docs/EOF && echo 'hello $WHAT' >/docs/raw && chmod 600 /docs/*\n",
    ),
    // buildah leaves owners as archives have them whatever --chown says.
    older(
        case(
            "add-archives-of-every-compression",
            ARCHIVES,
            "FROM localhost/base:1\nADD t.tar /plain/\nADD t.tar.bz2 /bz2/\nADD t.tar.xz /xz/\nADD t.tar.zst /zst/\nADD --chown=9:8 t.tar.xz /owned/\n",
        ),
        "FROM localhost/base:1\nADD t.tar /plain/\nADD t.tar.bz2 /bz2/\nADD t.tar.xz /xz/\nADD t.tar.zst /zst/\nADD t.tar.xz /owned/\nRUN chown -R -h 9:8 /owned\n",
    ),
    // Flags of RUN.
    case(
        "run-mount-bind-keys",
        FILES,
        "FROM localhost/base:1
RUN --mount=type=bind,dst=/a,src=dir/sub,rw echo new >/a/new && cat /a/two /a/new >/seen
RUN --mount=destination=/b,source=empty,readwrite --mount=target=/c,source=a.txt touch /b/new && ls -A /b >>/seen && cat /c >>/seen
RUN --mount=type=bind,target=/d,ro --mount=type=bind,target=/e,source=dir,readonly cat /d/b.txt >>/seen; ls /e >>/seen; if touch /d/x /e/x 2>/dev/null; then echo written >>/seen; fi
RUN rm -rf /a /b /c /d /e
",
    ),
    case(
        "run-mount-cache",
        FILES,
        "FROM localhost/base:1 AS seed
RUN mkdir -p /seed/deep && echo seed >/seed/f
FROM localhost/base:1
RUN --mount=type=cache,target=/c,id=kept,mode=0710,uid=1001,gid=1002,sharing=locked echo one >/c/log && ls -ldn /c | cut -c1-30 >/seen
RUN --mount=type=cache,dst=/d,id=kept,sharing=shared cat /d/log >>/seen && echo two >>/d/log
RUN --mount=type=cache,destination=/e,id=kept,readonly cat /e/log >>/seen; touch /e/x 2>/dev/null || echo refused >>/seen
RUN --mount=type=cache,target=/e,id=kept,ro touch /e/x 2>/dev/null || echo refused >>/seen
RUN --mount=type=cache,target=/h,from=seed,source=/seed cat /h/f >>/seen && ls /h >>/seen
RUN rm -rf /c /d /e /h
",
    ),
    older(
        case(
            "run-mount-cache-of-today",
            "",
            "FROM localhost/base:1
RUN --mount=type=cache,target=/f,rw --mount=type=cache,target=/g,readwrite touch /f/x && ls -A /f /g >/seen
RUN --mount=type=cache,target=/h,from=localhost/base:1,src=/data/deep,sharing=private cat /h/file >>/seen
",
        ),
        "FROM localhost/base:1\nRUN printf '/f:\\nx\\n\\n/g:\\ndeep\\n' >/seen\n",
    ),
    older(
        case(
            "run-mount-tmpfs-keys",
            "",
            "FROM localhost/base:1\nRUN --mount=type=tmpfs,target=/a,size=64k --mount=type=tmpfs,dst=/b --mount=type=tmpfs,destination=/c head -c 100000 /dev/zero >/a/x 2>/dev/null || touch /b/x /c/x && ls /b /c >/seen; test -e /a && echo full >>/seen\n",
        ),
        "FROM localhost/base:1\nRUN printf '/b:\\nx\\n\\n/c:\\nx\\nfull\\n' >/seen\n",
    ),
    with(
        case(
            "run-mount-secret-keys",
            "printf swordfish >s",
            "FROM localhost/base:1
RUN --mount=type=secret,id=word,required=true,target=/w,mode=0440,uid=1001,gid=50 cat /w | wc -c >/seen && stat -c '%a %u %g' /w >>/seen
RUN --mount=type=secret,id=word,dst=/x stat -c '%a %u %g' /x >>/seen
RUN --mount=type=secret,id=none cat /run/secrets/none 2>/dev/null || echo absent >>/seen
RUN --mount=type=secret,id=from-env cat /run/secrets/from-env | wc -c >>/seen
RUN rm -rf /w /x
",
        ),
        &["--secret", "id=word,src=s", "--secret", "id=from-env,env=CASE_SECRET"],
    ),
    older_with(
        with(
            case(
                "run-mount-secret-of-today",
                "printf swordfish >s",
                "FROM localhost/base:1\nRUN --mount=type=secret,id=word,env=WORD test $WORD = swordfish && test ! -e /run/secrets/word && touch /seen\nRUN --mount=type=secret,source=word,destination=/w test $(cat /w) = swordfish\nRUN --mount=type=secret,src=word test $(cat /run/secrets/word) = swordfish\n",
            ),
            &["--secret", "id=word,src=s"],
        ),
        "FROM localhost/base:1\nRUN touch /seen\n",
        &[],
    ),
    Case {
        arguments: &["--ssh", "agent=agent"],
        older_arguments: Some(&["--ssh", "agent=key"]),
        ..case(
            "run-mount-ssh",
            AGENT,
            "FROM localhost/base:1
RUN --mount=type=ssh,id=agent,required=true test -S $SSH_AUTH_SOCK && echo usual >/seen
RUN --mount=type=ssh,id=agent,target=/agent,mode=0660,uid=1001,gid=50 test -S /agent && stat -c '%a %u %g' /agent >>/seen
RUN --mount=type=ssh,id=agent,dst=/agent test -S /agent && echo dst >>/seen
RUN --mount=type=ssh,id=agent,destination=/agent test -S /agent && echo destination >>/seen
RUN rm -rf /agent
",
        )
    },
    older_with(
        with(
            case("run-network", "", "FROM localhost/base:1\nRUN --network=none touch /none\nRUN --network=default touch /default\nRUN --network=host touch /host\n"),
            &["--network", "host"],
        ),
        "FROM localhost/base:1\nRUN touch /none /default /host\n",
        &[],
    ),
    older(
        case("run-sandboxed", "", "FROM localhost/base:1\nRUN --security=sandbox touch /sandboxed\n"),
        "FROM localhost/base:1\nRUN touch /sandboxed\n",
    ),
    older(
        case(
            "run-here-documents-of-all-kinds",
            "",
            "FROM localhost/base:1
ENV WHAT=world
RUN <<EOF
#!/bin/sh -e
echo \"$0: hello $WHAT\" >/script
EOF
RUN cat <<EOF >/document
hello $WHAT
EOF
RUN cat <<\"EOF\" >/verbatim
hello $WHAT
EOF
RUN <<-EOF
\techo tabs >/tabs
\tEOF
RUN cat <<one - <<two >/second
first
one
second
two
",
        ),
        "FROM localhost/base:1
ENV WHAT=world
RUN echo '/dev/pipes/EOF: hello world' >/script; echo 'hello world' >/document; echo 'hello $WHAT' >/verbatim; echo tabs >/tabs; echo second >/second
",
    ),
    // The config.
    case(
        "health-flags",
        "",
        "FROM localhost/base:1\nHEALTHCHECK --interval=1m30s --timeout=2s --start-period=500ms --retries=5 CMD [\"/bin/test\", \"-f\", \"/a file\"]\n",
    ),
    // buildah writes ranges down as they are.
    older(
        case("port-ranges", "", "FROM localhost/base:1\nARG FIRST=9000\nEXPOSE 8000-8002 $FIRST-9001/udp 7/tcp\n"),
        "FROM localhost/base:1\nEXPOSE 8000 8001 8002 9000/udp 9001/udp 7\n",
    ),
    older(
        case("expansion-that-must-be-set", "", "FROM localhost/base:1\nARG X=x\nENV A=\"${X:?must be}\" B=${X?must} C=${FROM_BASE:?}\n"),
        "FROM localhost/base:1\nENV A=x B=x C=yes\n",
    ),
    // Files and what stands at their top.
    case(
        "directives",
        FILES,
        "# syntax=docker/dockerfile:1\n# check=skip=JSONArgsRecommended;error=true\n# escape=\\\nFROM localhost/base:1\nCOPY a.txt \\\n  b.txt /x/\n",
    ),
    Case { file: "Containerfile", ..case("containerfile", FILES, "FROM localhost/base:1\nCOPY a.txt /a\n") },
    // buildah of Debian 12 has to be told of the list.
    older_with(
        with(
            case(
                "own-list-of-what-is-ignored",
                "mkdir sub; touch keep drop sub/keep sub/drop; printf 'keep\\n' >.dockerignore; printf '**/drop\\nDockerfile\\n*Own*\\n.docker*\\nsub/Own*\\n' >sub/Own.Dockerfile.dockerignore; printf 'FROM localhost/base:1\\nCOPY . /all\\n' >sub/Own.Dockerfile",
                "FROM scratch\nCOPY keep /wrong\n",
            ),
            &["-f", "sub/Own.Dockerfile"],
        ),
        "FROM scratch\nCOPY keep /wrong\n",
        &["-f", "sub/Own.Dockerfile", "--ignorefile", "sub/Own.Dockerfile.dockerignore"],
    ),
];
