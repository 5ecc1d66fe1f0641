//! What is told of mistakes: a sentence, the text that it is about, and what to do.

use archipel_bake::File;

use super::{bake, hcl};

/// Message, text at the place, help.
fn told(files: &[File], wanted: &[&str], set: &[&str]) -> String {
    let error = bake(files, wanted, set, &|_| None).unwrap_err();
    let at = error.place.map(|place| format!(" @ {}", place.text.get(place.span).unwrap_or_default()));
    let help = error.help.map(|help| format!(" ({help})"));
    error.message + &at.unwrap_or_default() + &help.unwrap_or_default()
}

#[test]
fn mistakes_have_places() {
    for (text, expected) in [
        ("target \"default\" { tagz = [] }", "a target has no attribute `tagz` @ tagz (did you mean `tags`?)"),
        ("target \"default\" { tags = \"a\" }", "a list is required, and this is a string @ \"a\""),
        ("target \"default\" { pull = \"maybe\" }", "true or false is required, and this is a string @ \"maybe\""),
        ("target \"default\" { policy = [] }", "`policy` is not supported yet @ policy"),
        ("target \"default\" { target = TAGG }\nTAG = 1", "there is no variable `TAGG` @ TAGG (did you mean `TAG`?)"),
        ("target \"default\" { target = uper(\"x\") }", "there is no function `uper` @ uper (did you mean `upper`?)"),
        ("target \"default\" { target = bcrypt(\"x\") }", "the function `bcrypt` is not supported yet @ bcrypt"),
        ("target \"default\" { target = 1 / 0 }", "this divides by zero @ 1 / 0"),
        ("target \"default\" { target = \"x${[]}\" }", "a list cannot be part of a text @ []"),
        (
            "target \"default\" { inherits = [\"bse\"] }\ntarget \"base\" {}",
            "there is no target `bse` @ [\"bse\"] (did you mean `base`?)",
        ),
        ("target \"default\" { cache-to = [{ ref = \"x\" }] }", "`type` is required @ [{ ref = \"x\" }]"),
        ("A = B\nB = A", "the variable `A` needs itself @ A"),
        (
            "function \"f\" {\n params = []\n result = f()\n}\nA = f()",
            "this is nested too deeply, or calls itself @ f()",
        ),
        ("target \"d.ot\" {}", "`d.ot` cannot be a name: letters, digits, `_` and `-` can @ \"d.ot\""),
        ("target \"default\" { name = \"x\" }", "`name` needs `matrix` @ name"),
        ("tarjet \"default\" {}", "there are no blocks of the kind `tarjet` @ \"default\" (did you mean `target`?)"),
        (
            "variable \"V\" {\n default = \"\"\n validation {\n condition = V != \"\"\n error_message = \"say V\"\n }\n}",
            "say V @ V != \"\"",
        ),
        ("target \"default\" {\n args {\n A = 1\n }\n}", "a target has no blocks in it: write `args = {..}` @ args"),
        (
            "variable \"V\" { type = strin }",
            "a type is required: string, number, bool, list(..), set(..), map(..), object({..}), tuple([..]) @ strin (did you mean `string`?)",
        ),
    ] {
        let shown = told(&hcl(text), &["default"], &[]);
        assert!(shown.ends_with(expected), "{text}\n  told     {shown}\n  expected {expected}");
    }
}

#[test]
fn what_is_asked_for_may_be_wrong_too() {
    let text =
        "target \"app\" { contexts = { b = \"target:base\" } }\ntarget \"base\" { contexts = { a = \"target:app\" } }";
    let files = hcl(&(text.to_owned()
        + "\ntarget \"a\" { inherits = [\"b\"] }\ntarget \"b\" { inherits = [\"a\"] }\ntarget \"c\" {}"));
    for (wanted, set, expected) in [
        (&["ap"][..], &[][..], "there is no target `ap` (did you mean `app`?)"),
        (&["x*"], &[], "no target is meant by `x*`"),
        (&["app"], &[], "targets are contexts of each other in a circle: app -> base -> app @ { a = \"target:app\" }"),
        (&["a"], &[], "targets inherit from each other in a circle: a -> b -> a @ [\"b\"]"),
        (&["c"], &["bse.args.X=1"], "--set bse.args.X=1: no target is meant by `bse` (did you mean `base`?)"),
        (&["c"], &["c.tagz=x"], "--set c.tagz=x: `tagz` cannot be set (did you mean `tags`?)"),
        (&["c"], &["c.args=x"], "--set c.args=x: `args` needs a name: TARGET.args.NAME=VALUE"),
        (&["c"], &["c.tags"], "--set c.tags: it should be TARGET.KEY=VALUE"),
    ] {
        assert_eq!(told(&files, wanted, set), expected, "{wanted:?} {set:?}");
    }
}

#[test]
fn mistakes_in_other_languages() {
    let file = |name: &str, text: &str| vec![File { name: name.into(), text: text.into() }];
    for (name, text, expected) in [
        (
            "b.json",
            "{\"target\": {\"default\": {\"tagz\": []}}}",
            "a target has no attribute `tagz` @ \"tagz\" (did you mean `tags`?)",
        ),
        ("b.json", "{\"target\": ", "this is not JSON: EOF while parsing a value at line 1 column 11"),
        (
            "c.yml",
            "services:\n  a:\n    build: {contxt: .}\n",
            "contxt: there is no such key in a `build` @ . (did you mean `context`?)",
        ),
        (
            "c.yml",
            "services:\n  a:\n    build: {context: '${X:?say X}'}\n",
            "the variable `X` is required: say X @ '${X:?say X}'",
        ),
        ("c.yml", "include: [b.yml]\n", "`include` is not supported yet: name the files with --file @ [b.yml]"),
    ] {
        let shown = told(&file(name, text), &["default"], &[]);
        assert!(shown.starts_with(expected) || shown == expected, "{text}\n  told     {shown}\n  expected {expected}");
    }
}
