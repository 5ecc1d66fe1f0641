use super::*;
use crate::include::Nothing;

fn facts() -> Facts {
    Facts {
        reference: Ref::Branch("main".into()),
        project: "group/project".into(),
        source: "push".into(),
        predefined: vec![Variable::raw("CI_COMMIT_BRANCH", "main"), Variable::raw("CI_PIPELINE_SOURCE", "push")],
        paths: vec!["Dockerfile".into(), "src/a.rs".into()],
        changed: Some(vec!["src/a.rs".into()]),
        ..Facts::default()
    }
}

fn plan(text: &str, facts: &Facts) -> Result<Plan, Unplanned> {
    let parsed = crate::parse("ci", text, &Nothing);
    parsed.pipeline.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics)).plan(facts)
}

/// `name when` of each job.
fn jobs(text: &str, facts: &Facts) -> Vec<String> {
    plan(text, facts).unwrap().jobs.iter().map(|job| format!("{} {:?}", job.name, job.when)).collect()
}

#[test]
fn rules() {
    let text = "a: {script: x, rules: [{if: $CI_COMMIT_BRANCH == 'main', when: manual}, {when: always}]}\n\
                b: {script: x, rules: [{if: $CI_COMMIT_TAG}]}\n\
                c: {script: x, rules: [{changes: [src/**/*]}]}\n\
                d: {script: x, rules: [{changes: [docs/*]}]}\n\
                e: {script: x, rules: [{exists: [Dockerfile], variables: {X: 1}}]}\n\
                f: {script: x, rules: [{when: never}]}\n\
                g: {script: x, when: on_failure, rules: [{if: $CI_PIPELINE_SOURCE == \"push\"}]}\n";
    assert_eq!(jobs(text, &facts()), ["a Manual", "c OnSuccess", "e OnSuccess", "g OnFailure"]);
    let planned = plan(text, &facts()).unwrap();
    assert_eq!(planned.jobs[0].allow_failure, AllowFailure::Always(false));
    assert_eq!(planned.jobs[2].values(&[]).unwrap().get("X"), Some("1"));
    let unknown = Facts { changed: None, ..facts() };
    assert!(jobs(text, &unknown).contains(&"d OnSuccess".to_owned()));
}

#[test]
fn only_and_except() {
    let text = "a: {script: x, only: [main]}\n\
                b: {script: x, only: [tags]}\n\
                c: {script: x, only: [/^MA/i]}\n\
                d: {script: x, except: [branches]}\n\
                e: {script: x, only: {refs: [branches], variables: [$NOTHING]}}\n\
                f: {script: x, only: [main@group/project], when: manual}\n\
                g: {script: x, only: [main@other/project]}\n\
                h: {script: x, only: [pushes], except: {changes: [src/a.rs]}}\n\
                i: {script: x, only: [merge_requests]}\n";
    assert_eq!(jobs(text, &facts()), ["a OnSuccess", "c OnSuccess", "f Manual"]);
    assert_eq!(plan(text, &facts()).unwrap().jobs[2].allow_failure, AllowFailure::Always(true));
}

#[test]
fn workflows() {
    let text = "workflow: {name: 'for $CI_COMMIT_BRANCH', rules: [{if: $NO, when: never}, {if: $CI_COMMIT_BRANCH, variables: {W: w}}]}\n\
                a: {script: x}";
    let planned = plan(text, &facts()).unwrap();
    assert_eq!(planned.name.as_deref(), Some("for main"));
    assert_eq!(planned.jobs[0].values(&[]).unwrap().get("W"), Some("w"));
    let no = Facts { overrides: vec![Variable::new("NO", "1")], ..facts() };
    assert!(matches!(plan(text, &no), Err(Unplanned::Workflow)));
    assert!(matches!(plan("a: {script: x, only: [tags]}", &facts()), Err(Unplanned::NoJobs)));
}

#[test]
fn precedence_of_variables() {
    let text = "variables: {A: global, B: global, C: global, D: global, E: $A-$D}\n\
                j: {script: x, variables: {A: job, B: job, D: job}, rules: [{if: $CI_COMMIT_BRANCH, variables: {B: rule}}]}\n\
                k: {script: x, inherit: {variables: [A]}}\n";
    let given = Facts { overrides: vec![Variable::new("D", "given")], ..facts() };
    let planned = plan(text, &given).unwrap();
    let values = planned.jobs[0].values(&[Variable::new("C", "dotenv"), Variable::new("D", "dotenv")]).unwrap();
    let shown: Vec<_> = ["A", "B", "C", "D", "E"].map(|name| values.get(name).unwrap()).to_vec();
    assert_eq!(shown, ["job", "rule", "dotenv", "given", "job-given"]);
    assert_eq!(planned.jobs[1].values(&[]).unwrap().get("B"), None);
}

#[test]
fn copies_needs_and_artifacts() {
    let text = "build: {stage: build, script: x, parallel: {matrix: [{A: [a, b]}]}}\n\
                other: {stage: build, script: x}\n\
                t1: {script: x, needs: [{job: build, parallel: {matrix: [{A: b}]}}, {job: other, artifacts: false}]}\n\
                t2: {script: x, dependencies: [other]}\n\
                t3: {script: x, parallel: 2}\n\
                t4: {script: x, needs: [{job: gone, optional: true}]}\n\
                gone: {script: x, only: [tags]}\n";
    let planned = plan(text, &facts()).unwrap();
    assert_eq!(planned.stages, ["build", "test"]);
    let find = |name: &str| planned.jobs.iter().position(|job| job.name == name).unwrap();
    let (a, b, other) = (find("build: [a]"), find("build: [b]"), find("other"));
    let job = |name: &str| &planned.jobs[find(name)];
    assert_eq!((job("t1").needs.clone(), job("t1").artifacts_from.clone()), (Some(vec![b, other]), vec![b]));
    assert_eq!((job("t2").needs.clone(), job("t2").artifacts_from.clone()), (None, vec![other]));
    assert_eq!(job("t3 2/2").artifacts_from, [a, b, other]);
    assert_eq!(job("t3 2/2").values(&[]).unwrap().get("CI_NODE_INDEX"), Some("2"));
    assert_eq!(job("build: [b]").values(&[]).unwrap().get("A"), Some("b"));
    assert_eq!(job("t4").needs, Some(vec![]));
    let lost = plan("a: {script: x, needs: [b]}\nb: {script: x, only: [tags]}", &facts());
    assert!(matches!(lost, Err(Unplanned::Misfit(found)) if found[0].message.contains("`a` needs `b`")));
}

#[test]
fn environments_have_variables() {
    let text =
        "j: {script: x, environment: {name: review/$CI_COMMIT_BRANCH, url: 'https://$CI_ENVIRONMENT_SLUG.example'}}";
    let values = plan(text, &facts()).unwrap().jobs[0].values(&[]).unwrap();
    assert_eq!(values.get("CI_ENVIRONMENT_NAME"), Some("review/main"));
    assert!(values.get("CI_ENVIRONMENT_URL").unwrap().starts_with("https://review-main-"));
}
