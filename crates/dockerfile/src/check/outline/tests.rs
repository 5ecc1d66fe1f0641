use super::super::tests::{Around, with};
use super::*;

#[test]
fn an_outline() {
    let text = "\
# inherited is an inherited arg
ARG inherited=inherited0
ARG unused=never
ARG deep=deep0
ARG tag=$deep
FROM x:$tag AS below
RUN --mount=type=ssh --mount=type=secret,id=low,required true
# target defines the target
FROM below AS Target
# foo is foo
ARG foo=123
ARG inherited TARGETARCH nothing
RUN --mount=type=secret,id=mine true
FROM scratch
ARG other=1
";
    let around = Around { build_args: &[("foo", "given")], target: Some(1), ..Around::default() };
    let outline = with(text, &around, |subject, _| outline(subject)).unwrap();
    assert_eq!((outline.name.as_deref(), outline.description.as_deref()), (Some("target"), Some("defines the target")));
    let args: Vec<_> =
        outline.args.iter().map(|a| (a.name.as_str(), a.value.as_str(), a.description.as_deref())).collect();
    assert_eq!(
        args,
        [
            ("inherited", "inherited0", Some("is an inherited arg")),
            ("deep", "deep0", None),
            ("tag", "deep0", None),
            ("foo", "given", Some("is foo")),
            ("nothing", "", None),
        ]
    );
    let needs = |list: &[OutlineNeed]| list.iter().map(|need| (need.id.clone(), need.required)).collect::<Vec<_>>();
    assert_eq!(needs(&outline.secrets), [("low".into(), true), ("mine".into(), false)]);
    assert_eq!(needs(&outline.ssh), [("default".into(), false)]);
}
