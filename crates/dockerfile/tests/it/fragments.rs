//! Texts made of what parsers stumble over. Random bytes hardly ever get past the first word.

use proptest::prelude::*;
use proptest::sample::select;

/// Instructions as people write them.
const LINES: &[&str] = &[
    "FROM scratch",
    "FROM scratch AS a",
    "FROM a AS b",
    "FROM --platform=$BUILDPLATFORM x:$tag AS c",
    "ARG tag",
    "ARG tag=1 other=\"two words\"",
    "ENV a=b c=$a",
    "ENV a=$a$a$a",
    "ENV key some value",
    "ENV p=/${a#*.}/${a%%b}/${a/x/y}/${a:-${b:+c}}",
    "LABEL a.b=\"c\" d='e'",
    "RUN echo hi && true",
    "RUN [\"a\", \"b\"]",
    "RUN --mount=type=cache,target=/c --mount=type=secret,id=s,env=S --network=none true",
    "RUN <<EOF",
    "RUN <<-'A' <<\"B\" cat 3<<C",
    "COPY <<EOF <<-X /dst/",
    "COPY --from=a --chmod=u+x,g=r --parents a/./b c*[d-f]?.x /d/",
    "COPY [\"a b\", \"c\"]",
    "ADD --checksum=sha256:0 https://h/x.tar.gz git@h:a/b.git#r:s /x",
    "WORKDIR a/../b",
    "EXPOSE 80 90-92/udp 1.2.3.4:5:6/TCP",
    "HEALTHCHECK --interval=1m30s --retries=3 CMD true",
    "SHELL [\"/bin/sh\", \"-c\"]",
    "STOPSIGNAL SIGRTMIN+3",
    "USER a:b",
    "VOLUME [\"/a\", \"/b\"]",
    "ONBUILD COPY <<EOF /x",
    "ONBUILD RUN true",
    "MAINTAINER me",
    "CMD",
    "ENTRYPOINT []",
    "# syntax=a/b:1",
    "# escape=`",
    "# check=skip=all;error=true;experimental=X",
    "# a is a comment",
    "#",
    "",
    "EOF",
    "A",
    "B",
    "\tX",
    "  trailing \\",
    "RUN a\\\\",
    "RUN a \\\\\\",
    "  back `",
];

/// What stands in words.
const PIECES: &[&str] = &[
    "\\",
    "`",
    "\"",
    "'",
    "$",
    "${",
    "}",
    "$a",
    "${a}",
    "${a:",
    "${a:-",
    "${a##",
    "${a//",
    "<<",
    "<<-",
    "<<E",
    "3<<E",
    "E",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "=",
    "a=",
    "--",
    "--x=",
    "[",
    "]",
    "[\"",
    "\"]",
    ",",
    ":",
    "/",
    "//",
    "*",
    "**",
    "?",
    "[^a-",
    "!",
    "!a",
    "#",
    "{\"syntax\":1}",
    "\u{feff}",
    "\u{a0}",
    "\u{200b}",
    "é",
    "😀",
    "\0",
    "a",
    "FROM ",
    "RUN ",
    "COPY ",
    "ONBUILD ",
    "ARG ",
    "ENV ",
    "HEALTHCHECK ",
];

/// Any text, of lines as people write them and of pieces of them.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let piece = select(PIECES).prop_map(str::to_owned);
    let pieces = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    let line = prop_oneof![3 => select(LINES).prop_map(str::to_owned), 2 => pieces, 1 => ".{0,20}"];
    proptest::collection::vec((line, select(&["\n", "\n", "\n", "\r\n", " \\\n", ""][..])), 0..24)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

/// Lines alone: most of what comes of them is right.
pub(crate) fn lines() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(LINES), 0..16).prop_map(|lines| format!("FROM scratch\n{}\n", lines.join("\n")))
}

/// A pattern or a path.
pub(crate) fn pattern() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        select(&["a", "b", "*", "**", "?", "/", "[ab]", "[^a]", "[", "]", "\\", "!", "-", ".", "..", "é"][..]),
        0..12,
    )
    .prop_map(|pieces| pieces.concat())
}
