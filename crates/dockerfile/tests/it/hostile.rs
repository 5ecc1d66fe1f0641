//! Texts that were made to hang a parser or to fill a memory. They are large, so that what is not linear is seen.

use std::collections::HashMap;
use std::fmt::Write as _;

use archipel_dockerfile::{
    CheckOptions, IgnoreFile, Scope, Subject, automatic_args, check, glob_match, outline, parse,
};
use archipel_oci::Platform;

/// Instructions in each text.
const MANY: usize = 20_000;

/// The sizes of what a stage's steps come to, up to the first that is wrong, and whether one was.
fn run(text: &str) -> (usize, bool) {
    let parsed = parse(text);
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    let platform = Platform::new("linux", "amd64", None);
    let Ok(globals) = parsed.dockerfile.globals(automatic_args(&platform, &platform, None), &[]) else {
        return (0, true);
    };
    let mut size = 0;
    for stage in &parsed.dockerfile.stages {
        let mut scope = Scope::new(&globals, &[], "/", None);
        for instruction in &stage.instructions {
            match scope.step(instruction) {
                Ok(step) => size += step.history().map_or(0, |text| text.len()),
                Err(_) => return (size, true),
            }
        }
    }
    (size, false)
}

#[test]
fn variables_that_grow() {
    let mut doubling = String::from("FROM scratch\nENV a=0123456789abcdef\n");
    (0..MANY).for_each(|_| doubling.push_str("ENV a=$a$a\n"));
    let (size, stopped) = run(&doubling);
    assert!(stopped && size < 64 << 20, "{size}");

    // Each word is small enough, but there are many.
    let mut many = String::from("FROM scratch\nENV a=0123456789abcdef\n");
    (0..15).for_each(|_| many.push_str("ENV a=$a$a\n"));
    (0..MANY).for_each(|n| writeln!(many, "ENV b{n}=$a").unwrap());
    let (size, stopped) = run(&many);
    assert!(stopped && size < 64 << 20, "{size}");

    let mut labels = many.replace("ENV b", "LABEL b");
    let (size, stopped) = run(&labels);
    assert!(stopped && size < 64 << 20, "{size}");

    labels = String::from("ARG a=0123456789abcdef\n");
    (0..MANY).for_each(|_| labels.push_str("ARG a=$a$a\n"));
    labels.push_str("FROM scratch\n");
    assert!(run(&labels).1);
}

#[test]
fn one_port_many_times() {
    let (size, stopped) = run(&format!("FROM scratch\nEXPOSE{}\n", " 0-65535".repeat(200)));
    assert!(!stopped && size < 1 << 20, "{size}");
}

#[test]
fn deep_and_long_words() {
    let nested = format!("FROM scratch\nENV a={}x{}\n", "${b:-\\\n".repeat(MANY), "}".repeat(MANY));
    assert!(run(&nested).1);
    let long = vec!["a".repeat(10_000); 10].join("\\\n");
    let replaced = format!("FROM scratch\nENV a={long}\nENV b=${{a//a/{}}}\n", "b".repeat(1000));
    assert!(run(&replaced).1);
    let stars = format!("FROM scratch\nENV a={}\nENV b=${{a##{}b}}\n", "a".repeat(5000), "*a".repeat(500));
    let _ = run(&stars);
    for piece in ["\"", "'", "$", "${", "<<", "<<E ", "\\", "[", "--a ", "a=b ", "a=$a "] {
        for keyword in ["RUN", "ENV", "COPY", "ARG", "LABEL", "HEALTHCHECK CMD", "ONBUILD RUN"] {
            let _ = parse(&format!("FROM scratch\n{keyword} {}\n", piece.repeat(MANY / 4)));
        }
    }
}

#[test]
fn long_texts() {
    for line in [
        "RUN a \\\n",
        "\\\n",
        "#\n",
        "# a\n",
        "FROM scratch AS a\n",
        "RUN <<E\n",
        "COPY <<E /\nE\n",
        "X\n",
        "ONBUILD ",
        "ENV a=b\n",
    ] {
        let _ = parse(&format!("FROM scratch\n{}", line.repeat(MANY)));
    }
    let mut names = String::from("FROM scratch\nENV");
    (0..MANY).for_each(|n| write!(names, " \\\n v{n}={n}").unwrap());
    assert!(!run(&names).1);
}

#[test]
fn checks_of_long_texts() {
    let lines = |line: &dyn Fn(usize) -> String| (0..MANY).map(line).collect::<String>();
    for (text, findings, args) in [
        (format!("FROM scratch\n{}{}", lines(&|n| format!("ARG a{n}=b\n")), "RUN true\n".repeat(MANY)), 0, MANY),
        (format!("{}FROM scratch\nARG a1\n", lines(&|n| format!("ARG a=$a$b{n}\nARG b{n}=\n"))), 0, 1),
        (format!("FROM scratch\nWORKDIR /{}", lines(&|n| format!("$a{n}\\\n"))), MANY, 0),
        (format!("FROM scratch\n{}{}", "ENV a=b\n".repeat(MANY), lines(&|n| format!("USER $b{n}\n"))), MANY, 0),
        (
            format!("FROM scratch AS s\n{}", lines(&|n| format!("FROM s AS s\nENV a{n}=b\nCOPY --from=0 a b\n"))),
            MANY,
            0,
        ),
        (format!("FROM scratch\n{}ENV {}", "# a\n".repeat(MANY), lines(&|n| format!(" key_{n}=a \\\n"))), MANY, 0),
        // Read all at once, the triggers would be thousands of times as many as the lines.
        (
            format!("FROM scratch AS a\n{}{}", "ONBUILD CMD a\n".repeat(300), "FROM a\n".repeat(300)),
            299 * 300 + 300 * 300,
            0,
        ),
    ] {
        let dockerfile = parse(&text).dockerfile;
        let platform = Platform::new("linux", "amd64", None);
        let globals = dockerfile.globals(automatic_args(&platform, &platform, None), &[]).unwrap();
        let subject =
            Subject { dockerfile: &dockerfile, globals: &globals, target: None, ignore: None, bases: &HashMap::new() };
        let checked = check(&subject, &CheckOptions::default());
        assert_eq!(checked.errors, [], "{text:.80}");
        assert_eq!((checked.findings.len(), outline(&subject).unwrap().args.len()), (findings, args), "{text:.80}");
    }
}

#[test]
fn one_document_for_many() {
    let text = |documents: usize| {
        let names = "<<E \\\n".repeat(documents);
        format!("FROM scratch\nCOPY {names} /\n{}{}E\n", "E\n".repeat(documents - 1), "a\n".repeat(MANY))
    };
    assert!(parse(&text(100)).is_ok() && !parse(&text(MANY)).is_ok());
}

#[test]
fn patterns_that_backtrack() {
    assert!(!glob_match(&format!("{}b", "*a".repeat(500)), &"a".repeat(5000)));
    let ignore = IgnoreFile::parse(&format!("{}b\n", "**/a/".repeat(200))).unwrap();
    assert!(!ignore.matches(&"a/".repeat(500)));
    let many: String = (0..2000).map(|n| format!("**/x{n}/*\n!**/x{n}/y\n")).collect();
    assert!(!IgnoreFile::parse(&many).unwrap().matches(&"d/".repeat(50)));
}
