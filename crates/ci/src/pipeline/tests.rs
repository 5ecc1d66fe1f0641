use super::*;
use crate::job::{AllowFailure, CacheKey, Parallel, When};

/// A repository of a few files.
struct Few(&'static [(&'static str, &'static str)]);

impl Files for Few {
    fn read(&self, path: &str) -> std::io::Result<Option<String>> {
        Ok(self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    fn paths(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn good(text: &str) -> Pipeline {
    let parsed = parse(".gitlab-ci.yml", text, &Few(&[]));
    assert!(parsed.diagnostics.is_empty(), "{:#?}", parsed.diagnostics);
    parsed.pipeline.unwrap()
}

/// `place: message (help)` of each finding.
fn findings(text: &str) -> Vec<String> {
    let parsed = parse("ci", text, &Few(&[]));
    let show = |d: &Diagnostic| {
        let help = d.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}: {}{help}", parsed.sources.place(d.span), d.message)
    };
    parsed.diagnostics.iter().map(show).collect()
}

#[test]
fn the_reference_pipelines() {
    for name in ["per-arch", "one-shot", "dockerhub"] {
        let path = format!("{}/tests/data/reference/{name}.gitlab-ci.yml", env!("CARGO_MANIFEST_DIR"));
        let pipeline = good(&std::fs::read_to_string(path).unwrap());
        let job = &pipeline.jobs[0];
        assert_eq!((pipeline.jobs.len(), job.name.as_str(), job.stage.value.as_str()), (1, "build", "build"));
        assert_eq!(job.image.as_ref().unwrap().name.value, "public.ecr.aws/docker/library/docker:19.03.15");
        assert_eq!(job.services[0].image.name.value, "public.ecr.aws/docker/library/docker:19.03.15-dind");
        assert_eq!(job.before_script.len(), 2);
        assert!(job.script[0].starts_with("mkdir -p"));
    }
}

#[test]
fn jobs_extend_and_inherit() {
    let pipeline = good(
        "default: {image: a:1, retry: 1, before_script: [x]}\n\
         variables: {A: 1, B: {value: b, expand: false, description: d}}\n\
         .base: {variables: {X: x, Y: y}, script: [one, two], tags: [t]}\n\
         .more: {extends: .base, variables: {Y: z}}\n\
         job:\n  extends: [.more]\n  script: [[three, [four]], five]\n  inherit: {default: [image], variables: [A]}\n\
         other: {extends: .base, image: {name: b, entrypoint: ['']}}\n",
    );
    let [job, other] = &pipeline.jobs[..] else { panic!("two jobs") };
    assert_eq!(job.script, ["three", "four", "five"]);
    assert_eq!(job.variables, [Variable::new("X", "x"), Variable::new("Y", "z")]);
    assert_eq!((job.retry.max, job.before_script.len()), (0, 0));
    assert_eq!(job.inherit_variables.as_deref(), Some(&["A".to_owned()][..]));
    assert_eq!(job.image.as_ref().unwrap().name.value, "a:1");
    assert_eq!((other.retry.max, other.script.len()), (1, 2));
    assert_eq!(other.image.as_ref().unwrap().entrypoint, Some(vec![String::new()]));
    assert_eq!(pipeline.variables[1], Variable::raw("B", "b"));
    assert_eq!(pipeline.stages, [".pre", "build", "test", "deploy", ".post"]);
}

#[test]
fn a_job_with_everything() {
    let pipeline = good(
        "stages: [one, two]\n\
         a: {stage: one, script: x}\n\
         b:\n  stage: two\n  script: [x]\n  after_script: [y]\n  needs: [a, {job: a, artifacts: false}]\n  dependencies: [a]\n  \
         when: delayed\n  start_in: 30 minutes\n  allow_failure: {exit_codes: [1, 2]}\n  \
         services: [redis, {name: postgres:15, alias: 'db, pg', command: [a], variables: {P: 1}}]\n  \
         artifacts: {paths: [out], exclude: [out/x], when: always, expire_in: 1 week, reports: {dotenv: build.env, junit: [a.xml]}}\n  \
         cache: [{key: {files: [Cargo.lock]}, paths: [target]}, {key: $CI_COMMIT_REF_SLUG, paths: [x], policy: pull}]\n  \
         retry: {max: 2, when: [script_failure]}\n  timeout: 1h 30m\n  parallel: {matrix: [{A: [1, 2], B: x}]}\n  \
         tags: [a]\n  interruptible: true\n  coverage: '/x/'\n  environment: {name: prod, url: http://x}\n  resource_group: r\n",
    );
    let job = &pipeline.jobs[1];
    assert_eq!(job.when, Some(When::Delayed(std::time::Duration::from_secs(1800))));
    assert_eq!(job.allow_failure, Some(AllowFailure::ExitCodes(vec![1, 2])));
    assert_eq!(job.services[1].aliases, ["db", "pg"]);
    assert_eq!(job.artifacts.dotenv, ["build.env"]);
    assert_eq!(job.caches[0].key, CacheKey::Files { files: vec!["Cargo.lock".into()], prefix: None });
    let Some(Parallel::Matrix(rows)) = &job.parallel else { panic!("no matrix") };
    assert_eq!(rows.len(), 2);
    let names: Vec<String> = job.parallel.as_ref().unwrap().instances("b").into_iter().map(|i| i.name).collect();
    assert_eq!(names, ["b: [1, x]", "b: [2, x]"]);
}

#[test]
fn findings_have_places_and_proposals() {
    for (text, expected) in [
        ("j: {script: x, imgae: y}", "ci:1:16: `imgae` is not a key of a job (did you mean `image`?)"),
        ("j: {scripts: x}", "ci:1:5: `scripts` is not a key of a job (did you mean `script`?)"),
        (
            "j: {image: x}",
            "ci:1:1: the job `j` has no script (give it one, or let its name begin with a dot if it is only there to be extended)",
        ),
        ("j: {script: x, trigger: y}", "ci:1:16: `a job:trigger` is not supported yet"),
        ("j: {script: []}", "ci:1:1: the script of `j` is empty"),
        ("j: {script: [false]}", "ci:1:14: `script` should be a text, not a boolean (put it in quotes: \"false\")"),
        ("j: {script: x, stage: biuld}", "ci:1:23: there is no stage `biuld` (did you mean `build`?)"),
        (
            "j: {script: x, needs: [bulid]}\nbuild: {script: x}",
            "ci:1:24: there is no job `bulid` (did you mean `build`?)",
        ),
        (
            "j: {script: x, extends: .bsae}\n.base: {}",
            "ci:1:25: there is no job `.bsae` to extend (did you mean `.base`?)",
        ),
        (
            ".a: {extends: .b}\n.b: {extends: .a}\nj: {extends: .a, script: x}",
            "ci:2:15: `.a` extends itself in the end",
        ),
        (
            "j: {script: x, rules: [{if: '$A = 1'}]}",
            "ci:1:33: `=` is neither a $VARIABLE, a \"text\", a /pattern/, null nor an operator",
        ),
        ("j: {script: x, rules: [{if: $A}], only: [main]}", "ci:1:35: `only` cannot be used together with `rules`"),
        ("j: {script: x, image: 1.10}", "ci:1:23: `image` should be a text, not a number (put it in quotes: \"1.10\")"),
        (
            "j: {script: x, variables: {A: yes}}",
            "ci:1:31: `A` should be a text, not a boolean (put it in quotes: \"yes\")",
        ),
        (
            "j: {script: x, variables: {A: 1.10}}",
            "ci:1:31: `1.10` is read as the number 1.1 (if that is not meant, put it in quotes: \"1.10\")",
        ),
        ("j: {script: x, when: nevr}", "ci:1:22: `nevr` is not a value of `when` (did you mean `never`?)"),
        ("j: {script: x, timeout: soon}", "ci:1:25: `soon` is not a span of time (write it like: 1 hour 30 minutes)"),
        (
            "j: {script: x}\nstage: [a]",
            "ci:2:1: `stage` is neither a job nor a key of a pipeline (did you mean `stages`?)",
        ),
        ("include: {template: X}\nj: {script: x}", "ci:1:11: `include:template` is not supported yet"),
        ("include: 'https://x/y.yml'\nj: {script: x}", "ci:1:10: `include:remote` is not supported yet"),
        ("include: a.yml\nj: {script: x}", "ci:1:10: `a.yml` is not in the repository"),
        ("image: a\ndefault: {image: b}\nj: {script: x}", "ci:2:11: `image` is given at the top and in `default` too"),
        ("a: {script: x, needs: [b]}\nb: {script: x, needs: [a]}", "ci:2:24: `a` waits for itself in the end"),
        ("j: {script: x, artifacts: {path: a}}", "ci:1:28: `path` is not a key of artifacts (did you mean `paths`?)"),
        (".h: {script: x}", "ci:1:1: the pipeline has no job that is not hidden"),
        ("- a", "ci:1:1: a pipeline is a map of jobs"),
    ] {
        assert_eq!(findings(text), [expected], "{text}");
    }
}

#[test]
fn all_errors_at_once() {
    let found = findings("a: {script: x, wehn: y}\nb: {script: x, stage: z}\nc: {}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn included_files_lie_below() {
    let files = Few(&[
        ("ci/a.yml", "include: /ci/b.yml\nj: {script: [a], image: a}\n"),
        ("ci/b.yml", "j: {script: [b], image: b, tags: [b]}\nk: {script: [k]}\n"),
        ("loop.yml", "include: loop.yml\nx: {script: x}"),
        ("typo.yml", "x: {scirpt: x}"),
    ]);
    let parsed = parse("main", "include: [{local: 'ci/a*.yml'}]\nj: {script: [main]}", &files);
    let pipeline = parsed.pipeline.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    let j = pipeline.jobs.iter().find(|job| job.name == "j").unwrap();
    assert_eq!((j.script.as_slice(), j.image.as_ref().unwrap().name.value.as_str()), (&["main".to_owned()][..], "a"));
    assert!(pipeline.jobs.iter().any(|job| job.name == "k"));
    let looped = parse("main", "include: loop.yml", &files);
    assert!(looped.diagnostics[0].message.contains("more than 150 files"));
    let typo = parse("main", "include: typo.yml", &files);
    assert_eq!(typo.sources.place(typo.diagnostics[0].span), "typo.yml:1:5");
}

#[test]
fn hostile_sizes_end() {
    let errors = |text: String| parse("x", &text, &Few(&[])).diagnostics;
    let many = (0..20_000).map(|n| format!("j{n}: {{script: x, needs: [k{n}], stage: s}}\n")).collect::<String>();
    assert!(errors(many).len() <= 100);
    let heavy = (0..1000).map(|n| format!("j{n}: {{script: x}}\n")).collect::<String>();
    let found = errors(format!("before_script: [{}]\n{heavy}", "x".repeat(1 << 20)));
    assert!(found[0].message.contains("come to more than 64 MiB"), "{found:?}");
    let keys = (0..150_000).map(|n| format!("k{n}: 1\n")).collect::<String>();
    assert_eq!(errors(format!(".h:\n  {}", keys.replace('\n', "\n  "))).len(), 1);
    let circle = (0..1500).map(|n| format!("j{n}: {{script: x, needs: [j{}]}}\n", (n + 1) % 1500)).collect::<String>();
    assert!(errors(circle)[0].message.contains("waits for itself"));
}

proptest::proptest! {
    #[test]
    fn never_panics(text in r"(a|job|script|: |\n|  |- |\{|\}|\[|\]|, |image|needs|rules|if|parallel|matrix|!reference |&a |\*a|extends|<<|1){0,40}") {
        let _ = parse("x", &text, &Few(&[]));
    }
}
