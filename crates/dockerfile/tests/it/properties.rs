//! What holds for any text: nothing panics, places are places, and what is written anew is the same.

use std::collections::HashMap;

use archipel_dockerfile::{
    AddSource, CheckOptions, Dockerfile, Globals, IgnoreFile, Op, Scope, Span, Subject, automatic_args, check,
    check_text, glob_match, outline, parse, parse_trigger,
};
use archipel_oci::Platform;
use proptest::prelude::*;

use crate::fragments::{lines, pattern, text};

/// Whether a place is one that a renderer can mark.
fn is_place(span: &Span, text: &str) -> bool {
    text.get(span.clone()).is_some()
}

fn globals(dockerfile: &Dockerfile) -> Option<Globals> {
    let platform = Platform::new("linux", "amd64", None);
    dockerfile.globals(automatic_args(&platform, &platform, None), &[("other".into(), "x y".into())]).ok()
}

/// Goes through all stages as a build would, with everything that can be asked on the way.
fn walk(dockerfile: &Dockerfile) {
    let Some(globals) = globals(dockerfile) else { return };
    for stage in &dockerfile.stages {
        let _ = globals.expand(&stage.base);
        let mut scope = Scope::new(&globals, &["PATH=/bin".into()], "/w", None);
        for instruction in &stage.instructions {
            let _ = dockerfile.sources(stage.index, instruction);
            assert!(!scope.title(instruction).is_empty());
            if let Ok(step) = scope.step(instruction) {
                let _ = step.history();
            }
            assert!(scope.workdir().starts_with('/'));
        }
    }
    let bases = HashMap::new();
    let ignore = IgnoreFile::parse("a\n**/b").unwrap();
    let subject = Subject { dockerfile, globals: &globals, target: None, ignore: Some(&ignore), bases: &bases };
    if let Ok(options) = CheckOptions::new(dockerfile, &[]) {
        let _ = (check(&subject, &options), options.unknown());
    }
    if !dockerfile.stages.is_empty() {
        let _ = outline(&subject);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_global_rejects: 16 * 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in text()) {
        let parsed = parse(&text);
        for found in &parsed.diagnostics {
            prop_assert!(is_place(&found.span, &text), "{found:?}");
            prop_assert!(found.labels.iter().all(|label| is_place(&label.span, &text)), "{found:?}");
            prop_assert!(!found.message.is_empty());
        }
        for stage in &parsed.dockerfile.stages {
            prop_assert!(is_place(&stage.span, &text) && is_place(&stage.base.span, &text));
            for instruction in &stage.instructions {
                prop_assert!(is_place(&instruction.span, &text) && is_place(&instruction.name.span, &text));
            }
        }
        if let Ok(options) = CheckOptions::new(&parsed.dockerfile, &[]) {
            for finding in check_text(&parsed.dockerfile, &[], &options) {
                prop_assert!(is_place(&finding.span, &text), "{finding:?}");
            }
        }
        walk(&parsed.dockerfile);
    }

    #[test]
    fn what_is_read_is_no_larger(text in text()) {
        let parsed = parse(&text);
        // Each line's text, its comments, and the marks between them.
        prop_assert!(parsed.dockerfile.to_string().len() <= 4 * text.len() + 64);
        prop_assert!(parsed.diagnostics.len() <= 4 * text.len() + 1);
    }

    #[test]
    fn printed_and_read_again_it_is_the_same(text in prop_oneof![text(), lines()]) {
        let parsed = parse(&text);
        prop_assume!(parsed.is_ok());
        let printed = parsed.dockerfile.to_string();
        let again = parse(&printed);
        prop_assert!(again.is_ok(), "{printed:?}: {:?}", again.diagnostics);
        prop_assert_eq!(&printed, &again.dockerfile.to_string());
        let told = |dockerfile: &Dockerfile| {
            let instructions = dockerfile.stages.iter().flat_map(|stage| &stage.instructions).chain(&dockerfile.globals);
            let told = |i: &archipel_dockerfile::Instruction| (i.keyword(), i.heredocs.iter().map(|h| h.content.clone()).collect::<Vec<_>>());
            let stages = dockerfile.stages.iter().map(|stage| (stage.label(), stage.base.value.clone(), stage.description.clone()));
            (instructions.map(told).collect::<Vec<_>>(), stages.collect::<Vec<_>>())
        };
        prop_assert_eq!(told(&parsed.dockerfile), told(&again.dockerfile));
    }

    #[test]
    fn a_trigger_is_an_instruction(text in text()) {
        if let Ok(instruction) = parse_trigger(&text, &(3..7)) {
            prop_assert_eq!(&instruction.span, &(3..7));
        }
        for stage in parse(&text).dockerfile.stages {
            for instruction in stage.instructions {
                if let Op::Onbuild(trigger) = instruction.op {
                    // Whether it is right is found out by who uses it.
                    let _ = parse_trigger(&trigger, &(0..1));
                }
            }
        }
    }

    #[test]
    fn any_pattern_and_path(patterns in proptest::collection::vec(pattern(), 0..6), path in pattern()) {
        let _ = patterns.iter().filter(|pattern| glob_match(pattern, &path)).count();
        if let Ok(ignore) = IgnoreFile::parse(&patterns.join("\n")) {
            let _ = (ignore.matches(&path), ignore.may_prune(&path));
        }
        let excludes = IgnoreFile::from_patterns(&patterns);
        let _ = excludes.matches(&path);
    }

    #[test]
    fn a_name_matches_itself(name in "[a-z.é ]{1,12}", more in "[a-z/]{0,6}") {
        prop_assert!(glob_match(&name, &name));
        let (whole, pattern) = (format!("{name}{}", more.replace('/', "")), format!("{name}*"));
        prop_assert!(glob_match(&pattern, &whole));
    }

    #[test]
    fn any_source_of_add(text in "(https?://|git@|ssh://|git://|)[a-z.:/@?&=#%0-9]{0,24}(\\.git)?[#?a-z=&:/]{0,12}") {
        let _ = AddSource::parse(&text);
    }
}
