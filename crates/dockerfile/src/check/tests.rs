use archipel_oci::{ImageConfig, Platform};

use super::*;
use crate::{automatic_args, parse};

/// What is looked at besides the text.
#[derive(Default)]
pub(super) struct Around<'a> {
    pub(super) build_args: &'a [(&'a str, &'a str)],
    pub(super) target: Option<usize>,
    pub(super) ignore: &'a str,
    /// The environment of every base image; unknown if none.
    pub(super) env: Option<&'a [&'a str]>,
}

pub(super) fn with<T>(text: &str, around: &Around<'_>, ask: impl FnOnce(&Subject<'_>, &CheckOptions) -> T) -> T {
    let parsed = parse(text);
    assert!(parsed.is_ok(), "{text:?}: {:?}", parsed.diagnostics);
    let dockerfile = parsed.dockerfile;
    let build_args: Vec<(String, String)> =
        around.build_args.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let platform = Platform::new("linux", "amd64", None);
    let globals = dockerfile.globals(automatic_args(&platform, &platform, None), &build_args).unwrap();
    let mut bases = HashMap::new();
    for stage in dockerfile.stages.iter().filter(|stage| stage.base.value != "scratch") {
        if let Some(env) = around.env {
            let mut image = ImageConfig::empty(&platform);
            image.config.env = env.iter().map(|line| (*line).to_owned()).collect();
            bases.insert(stage.index, image);
        }
    }
    let ignore = Some(around.ignore).filter(|text| !text.is_empty()).map(|text| IgnoreFile::parse(text).unwrap());
    let options = CheckOptions::new(&dockerfile, &build_args).unwrap();
    let subject = Subject {
        dockerfile: &dockerfile,
        globals: &globals,
        target: around.target,
        ignore: ignore.as_ref(),
        bases: &bases,
    };
    ask(&subject, &options)
}

fn findings(text: &str, around: &Around<'_>) -> Vec<String> {
    let lines = LineIndex::new(text);
    with(text, around, |subject, options| {
        let checked = check(subject, options);
        checked.findings.iter().map(|finding| finding.summary(&lines)).collect()
    })
}

/// Texts, and what is found in them.
fn table(around: &Around<'_>, cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(findings(text, around), *expected, "{text}");
    }
}

#[test]
fn what_is_missing_where_a_word_is_wrong() {
    let told = |name: &str| format!("UndefinedVar: Usage of undefined variable '${name}' (line 2)");
    let of = |text: &str| findings(text, &Around::default());
    assert_eq!(of("FROM scratch\nWORKDIR /$abcd/${wxyz:?must be there}/$later"), [told("abcd"), told("wxyz")]);
    assert_eq!(of("FROM scratch\nCOPY <<E /\n$abcd ${wxyz?}\nE"), [told("abcd"), told("wxyz")]);
    // They come in the order in which docker reads the words.
    assert_eq!(
        of("FROM scratch\nADD --checksum=$c2 --chmod=0$m2 --chown=$o2 https://h/$s2 <<E /$d2\n$x2\nE"),
        ["o2", "m2", "c2", "s2", "d2", "x2"].map(told)
    );
    assert_eq!(
        of("FROM scratch$abcd${wxyz?}"),
        ["abcd", "wxyz"].map(|name| format!("UndefinedArgInFrom: FROM argument '{name}' is not declared (line 1)"))
    );
}

#[test]
fn names_and_casing() {
    table(
        &Around::default(),
        &[
            ("FROM scratch AS a\nFROM scratch AS b", &[]),
            ("FROM scratch AS Bad", &["StageNameCasing: Stage name 'Bad' should be lowercase (line 1)"]),
            ("FROM scratch as a", &["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"]),
            ("from scratch AS a", &["FromAsCasing: 'AS' and 'from' keywords' casing do not match (line 1)"]),
            (
                "From scratch as a\nFROM scratch AS b",
                &[
                    "ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase) (line 1)",
                ],
            ),
            (
                "FROM scratch\ncopy a b\ncopy a b",
                &[
                    "ConsistentInstructionCasing: Command 'FROM' should match the case of the command majority (lowercase) (line 1)",
                ],
            ),
            (
                "FROM scratch\n# check=skip=ConsistentInstructionCasing\nworkdir /a",
                &[
                    "ConsistentInstructionCasing: Command 'workdir' should match the case of the command majority (uppercase) (line 3)",
                ],
            ),
            ("arg a=1\nFROM scratch", &[]),
            (
                "FROM scratch AS b\nFROM scratch AS B",
                &[
                    "StageNameCasing: Stage name 'B' should be lowercase (line 2)",
                    "DuplicateStageName: Duplicate stage name \"b\", stage names should be unique (line 2)",
                ],
            ),
            (
                "FROM scratch AS scratch\nFROM scratch AS context",
                &[
                    "ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\" (line 1)",
                    "ReservedStageName: Stage name should not use the same name as reserved stage \"context\" (line 2)",
                ],
            ),
        ],
    );
}

#[test]
fn how_it_is_written() {
    table(
        &Around::default(),
        &[
            (
                "FROM scratch\nCOPY a \\\n\n  b\nCOPY a \\\n  b",
                &["NoEmptyContinuation: Empty continuation line (line 4)"],
            ),
            (
                "FROM scratch\nMAINTAINER me",
                &["MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)"],
            ),
            ("FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me", &[]),
            ("# other\nARG a=1\n# base is it\nFROM scratch AS base", &[]),
            (
                "# check=experimental=all\n# a is a\n\nARG a\n\t# b is b\nARG b\n# note\n#\nARG c\nFROM scratch",
                &[
                    "InvalidDefinitionDescription: Comment for ARG should follow the format: `# b <description>` (line 6)",
                ],
            ),
            (
                "# check=experimental=all\n# other\nARG a=1\n# Base is it\nFROM scratch AS base\n# b is b\nARG a=1 b\n# c is c\nARG a=1 b",
                &[
                    "InvalidDefinitionDescription: Comment for ARG should follow the format: `# a <description>` (line 3)",
                    "InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>` (line 5)",
                    "InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>` (line 9)",
                ],
            ),
        ],
    );
}

#[test]
fn commands() {
    let json = |name: &str, line: usize| {
        format!(
            "JSONArgsRecommended: JSON arguments recommended for {name} to prevent unintended behavior related to OS signals \
             (line {line})"
        )
    };
    let twice = |name: &str, line: usize| {
        format!(
            "MultipleInstructionsDisallowed: Multiple {name} instructions should not be used in the same stage because only \
             the last one will be used (line {line})"
        )
    };
    for (text, expected) in [
        ("FROM scratch\nCMD a", vec![json("CMD", 2)]),
        ("FROM scratch\nSHELL [\"/s\"]\nCMD a\nENTRYPOINT b", vec![]),
        ("FROM scratch AS a\nSHELL [\"/s\"]\nFROM a\nENTRYPOINT b", vec![]),
        ("FROM scratch\n# check=skip=JSONArgsRecommended\nENTRYPOINT b", vec![]),
        (
            "FROM scratch\nCMD [\"a\"]\nENTRYPOINT [\"a\"]\nHEALTHCHECK NONE\nCMD [\"a\"]\nENTRYPOINT [\"a\"]\nHEALTHCHECK NONE",
            vec![twice("CMD", 2), twice("ENTRYPOINT", 3), twice("HEALTHCHECK", 4)],
        ),
        ("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", vec![]),
    ] {
        assert_eq!(findings(text, &Around::default()), expected, "{text}");
    }
    table(
        &Around::default(),
        &[
            (
                "FROM scratch\nENV a b\nLABEL a b\nENV a=b",
                &[
                    "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)",
                    "LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format (line 3)",
                ],
            ),
            (
                "FROM scratch\nWORKDIR app/\nWORKDIR more",
                &[
                    "WorkdirRelativePath: Relative workdir \"app/\" can have unexpected results if the base image changes (line 2)",
                ],
            ),
            ("FROM scratch AS a\nENV d=/app\nWORKDIR $d\nFROM a\nWORKDIR more", &[]),
        ],
    );
}

#[test]
fn variables() {
    table(
        &Around { env: Some(&["LANG=C"]), ..Around::default() },
        &[
            (
                "FROM a\nCOPY $foo .\nARG foo=x\nCOPY $foo .",
                &["UndefinedVar: Usage of undefined variable '$foo' (line 2)"],
            ),
            ("FROM a\nARG foo\nCOPY x$foo $LANG/", &[]),
            ("FROM a AS b\nARG foo=x\nFROM b\nCOPY $foo .", &[]),
            ("FROM a\nARG b=$a a=1\nARG c d=$c", &["UndefinedVar: Usage of undefined variable '$a' (line 2)"]),
            (
                "FROM a\nENV PATH=$PAHT:/x",
                &["UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) (line 2)"],
            ),
            (
                "FROM a\nCOPY $x $x .\nRUN echo $y\nEXPOSE $z",
                &[
                    "UndefinedVar: Usage of undefined variable '$x' (line 2)",
                    "UndefinedVar: Usage of undefined variable '$x' (line 2)",
                ],
            ),
            (
                "FROM a\nCOPY <<E <<'F' /\n$longer\nE\n$other\nF",
                &["UndefinedVar: Usage of undefined variable '$longer' (line 2)"],
            ),
            ("FROM a AS b\nONBUILD ARG foo=x\nFROM b\nCOPY $foo .", &[]),
            (
                "FROM a\nARG password\nENV my_Key=x PUBLIC_KEY=x monkey=x\n# check=skip=all\nARG token",
                &[
                    "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"password\") (line 2)",
                    "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"my_Key\") (line 3)",
                ],
            ),
        ],
    );
    table(
        &Around::default(),
        &[
            ("FROM a AS b\nCOPY $foo .\nFROM b\nCOPY $foo .", &[]),
            ("FROM scratch\nCOPY $foo .", &["UndefinedVar: Usage of undefined variable '$foo' (line 2)"]),
        ],
    );
}

#[test]
fn triggers_stand_where_from_does() {
    let text = "FROM scratch AS a\nONBUILD ENV a 1\nONBUILD ARG T KEY_1=$T\nONBUILD CMD x\nONBUILD WORKDIR $WORKSPACE\nFROM a\nCMD y";
    table(
        &Around::default(),
        &[(
            text,
            &[
                "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 6)",
                "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"KEY_1\") (line 6)",
                "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 6)",
                "UndefinedVar: Usage of undefined variable '$WORKSPACE' (line 6)",
                "WorkdirRelativePath: Relative workdir \"\" can have unexpected results if the base image changes (line 6)",
                "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 6)",
                "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 7)",
            ],
        )],
    );
    let errors = |text: &str| with(text, &Around::default(), check).errors.iter().map(|e| e.message.clone()).collect();
    let wrong: Vec<String> = errors("FROM scratch AS a\nONBUILD COPY x\nFROM a");
    assert!(wrong[0].contains("COPY requires at least two arguments"), "{wrong:?}");
    assert!(errors("FROM scratch AS a\nONBUILD COPY x\nFROM scratch").is_empty());
    let outlined = with(text, &Around::default(), |subject, _| outline(subject)).unwrap();
    let args: Vec<&str> = outlined.args.iter().map(|arg| arg.name.as_str()).collect();
    assert_eq!(args, ["KEY_1", "T"]);
}

#[test]
fn what_only_we_set() {
    let message = |line: usize| {
        format!(
            "UnportableArg: 'TARGETARCH_GNU' is set by archipel only, with other builders it is empty unless --build-arg sets \
             it (line {line})"
        )
    };
    for (text, expected) in [
        ("FROM scratch\nARG TARGETARCH\nARG TARGETARCH_GNU", vec![message(3)]),
        ("ARG TARGETARCH_GNU\nFROM x:$TARGETARCH_GNU", vec![message(1)]),
        ("FROM x:${TARGETARCH_GNU}", vec![message(1)]),
        ("FROM scratch\nARG TARGETARCH_GNU=x", vec![]),
    ] {
        let found: Vec<String> = findings(text, &Around::default())
            .into_iter()
            .filter(|finding| finding.starts_with("Unportable"))
            .collect();
        assert_eq!(found, expected, "{text}");
    }
    let given = Around { build_args: &[("TARGETARCH_GNU", "x")], ..Around::default() };
    assert!(findings("FROM scratch\nARG TARGETARCH_GNU", &given).is_empty());
}

#[test]
fn from() {
    table(
        &Around::default(),
        &[
            (
                "ARG tag=1\nFROM a:${tag}${version}",
                &["UndefinedArgInFrom: FROM argument 'version' is not declared (line 2)"],
            ),
            ("ARG DEBUG\nFROM scra${DEBUG:-tch}", &[]),
            ("FROM --platform=$BUILDPLATFORM scratch", &[]),
            (
                "FROM --platform=$BULIDPLATFORM scratch",
                &[
                    "UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?) (line 1)",
                ],
            ),
            (
                "FROM --platform=${TARGETPLATFORM} scratch",
                &[
                    "RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the \
             default behavior (line 1)",
                ],
            ),
            ("FROM --platform=linux/$TARGETARCH scratch", &[]),
            (
                "FROM --platform=linux/amd64 scratch AS b",
                &[
                    "FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\" (line 1)",
                ],
            ),
            ("FROM --platform=linux/amd64 scratch AS my_amd64_stage", &[]),
            ("# note\n# check=skip=FromPlatformFlagConstDisallowed\nFROM --platform=linux/arm64 scratch", &[]),
        ],
    );
    table(
        &Around { build_args: &[("V", "latest"), ("SFX", "box:latest")], ..Around::default() },
        &[
            (
                "ARG V\nFROM busybox:$V",
                &[
                    "InvalidDefaultArgInFrom: Default value for ARG busybox:$V results in empty or invalid base image name (line 2)",
                ],
            ),
            (
                "ARG V\nFROM $V",
                &[
                    "InvalidDefaultArgInFrom: Default value for ARG $V results in empty or invalid base image name (line 2)",
                ],
            ),
            (
                "ARG SFX=box:\nFROM busy$SFX",
                &[
                    "InvalidDefaultArgInFrom: Default value for ARG busy$SFX results in empty or invalid base image name (line 2)",
                ],
            ),
            ("ARG V=1\nFROM busybox:$V\nARG V", &[]),
            ("ARG V\nFROM busybox:stable$V", &[]),
        ],
    );
    let other = "FROM --platform=linux/$BUILDARCH a\nFROM --platform=${BUILDOS}/arm64 a";
    assert_eq!(
        findings(other, &Around { env: Some(&[]), ..Around::default() }),
        [
            "InvalidBaseImagePlatform: Base image a was pulled with platform \"linux/amd64\", expected \"linux/arm64\" for current \
         build (line 2)",
        ]
    );
}

#[test]
fn ports() {
    table(
        &Around::default(),
        &[
            (
                "FROM scratch\nEXPOSE 80/TcP 8080/TCP 8080/udp",
                &[
                    "ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase (line 2)",
                    "ExposeProtoCasing: Defined protocol '8080/TCP' in EXPOSE instruction should be lowercase (line 2)",
                ],
            ),
            (
                "FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000 :90 ::91 ::::92",
                &[
                    "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found \
             '127.0.0.1:80:80' (line 2)",
                    "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000' \
             (line 2)",
                    "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found \
             '::::92' (line 2)",
                    "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found \
             '[::1]:8080:8080' (line 2)",
                ],
            ),
        ],
    );
}

#[test]
fn what_is_ignored() {
    let ignored = |what: &str, file: &str, line: usize| {
        format!("CopyIgnoredFile: Attempting to {what} file {file:?} that is excluded by .dockerignore (line {line})")
    };
    for (ignore, text, expected) in [
        (
            "Dockerfile",
            "COPY ./Dockerfile .\nADD Dockerfile https://x/Dockerfile /",
            vec![ignored("Copy", "Dockerfile", 2), ignored("Add", "Dockerfile", 3)],
        ),
        ("dir", "COPY dir/a b .", vec![ignored("Copy", "dir/a", 2)]),
        ("**\n!Dockerfile", "COPY Dockerfile a .", vec![]),
        (".*", "COPY . .", vec![]),
        ("*", "COPY . /x\nCOPY / /x", vec![ignored("Copy", ".", 2), ignored("Copy", "/", 3)]),
        ("*/b", "COPY /a . /x\nADD /b/../a/b /x", vec![]),
        ("a", "COPY /a /b", vec![]),
        ("**/a", "COPY /a/b /b", vec![ignored("Copy", "/a/b", 2)]),
        ("*.md", "COPY /a.md ../a.md ./b.md /b", vec![ignored("Copy", "b.md", 2)]),
        ("a", "COPY --from=b a .\nRUN true", vec![]),
        ("a", "COPY <<a /\nx\na", vec![]),
    ] {
        let text = format!("FROM scratch\n{text}");
        assert_eq!(findings(&text, &Around { ignore, ..Around::default() }), expected, "{ignore:?} {text}");
    }
}

#[test]
fn which_stages_and_which_rules() {
    let text = "FROM scratch AS Other\nENV a b\nFROM scratch\nCMD x";
    let names = |text: &str, around: &Around<'_>| -> Vec<String> {
        findings(text, around).iter().filter_map(|finding| Some(finding.split_once(':')?.0.to_owned())).collect()
    };
    let all = ["StageNameCasing", "LegacyKeyValueFormat", "JSONArgsRecommended"];
    assert_eq!(names(text, &Around::default()), all);
    assert_eq!(
        names(text, &Around { target: Some(1), ..Around::default() }),
        ["StageNameCasing", "JSONArgsRecommended"]
    );
    let skips = format!("# check=skip=StageNameCasing,JSONArgsRecommended\n{text}");
    assert_eq!(names(&skips, &Around::default()), ["LegacyKeyValueFormat"]);
    let argument = Around { build_args: &[("BUILDKIT_DOCKERFILE_CHECK", "skip=all")], ..Around::default() };
    assert!(names(&skips, &argument).is_empty());
}

#[test]
fn what_will_fail() {
    let errors = |text: &str| {
        let checked = with(text, &Around::default(), check);
        checked.errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>()
    };
    // The first FROM that comes to nothing ends it; what is no image's name is told after all of them.
    assert_eq!(
        errors("FROM a$Y:\nFROM --platform=$X scratch\nFROM $none"),
        ["empty platform value from expression $X"]
    );
    assert_eq!(errors("FROM $none\nFROM Foo"), ["base name ($none) should not be blank"]);
    assert_eq!(
        errors("FROM Foo\nFROM h.io/B/c\nFROM a$Y:"),
        [
            "failed to parse stage name \"Foo\": invalid reference format: repository name (library/Foo) must be lowercase",
            "failed to parse stage name \"h.io/B/c\": invalid reference format: repository name (B/c) must be lowercase",
            "failed to parse stage name \"a:\": invalid reference format: `a:` is not an image reference: the tag after \
             `:` is empty",
        ]
    );
    assert_eq!(
        errors("FROM --platform=$BULIDPLATFORM scratch"),
        ["empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)"]
    );
    let wrong = errors("ARG MY_ARCH\nARG MY_ARCH=arm64\nFROM --platform=linux/${MYARCH} scratch");
    assert_eq!(
        wrong,
        ["failed to parse platform linux/${MYARCH}: \"\" is an invalid component of \"linux/\": platform specifier \
             component must match \"^[A-Za-z0-9_.-]+$\": invalid argument (did you mean MY_ARCH?)"]
    );
    assert_eq!(errors("FROM scratch\nEXPOSE x"), ["invalid containerPort: x"]);
    assert_eq!(errors("FROM scratch\nVOLUME $x"), [crate::instruction::EMPTY_VOLUME]);
    // The base image may define it.
    assert!(errors("FROM a\nENV x=${y:?no}").is_empty());
}

#[test]
fn the_first_error_ends_it() {
    let names = |text: &str| {
        let found = findings(text, &Around::default());
        found
            .iter()
            .map(|finding| finding.split_once(':').map(|(rule, _)| rule.to_owned()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("FROM scratch\nENV a b\nSTOPSIGNAL x\nENV c d\nFROM scratch\nENV e f"), ["LegacyKeyValueFormat"]);
    assert_eq!(names("FROM --platform=$X scratch\nFROM a$Y\nENV a b"), ["UndefinedArgInFrom"]);
    assert!(names("FROM scratch AS a\nENV a b\nONBUILD STOP x\nFROM a\nENV a b").is_empty());
    assert!(names("FROM scratch\nEXPOSE 1:2/x/y 80/TCP").is_empty());
}
