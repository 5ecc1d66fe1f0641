use super::*;

/// The devices of one spec file for each text, and what was told of them.
fn devices(specs: &[&str]) -> Devices {
    let dir = tempfile::tempdir().unwrap();
    for (n, text) in specs.iter().enumerate() {
        std::fs::write(dir.path().join(format!("{n}.yaml")), text).unwrap();
    }
    Devices::read(&[dir.path().to_owned()], &mut |warning| panic!("{warning}"))
}

const CLASSES: &str = r"
cdiVersion: 0.6.0
kind: vendor1.com/deviceclass
annotations: {org.mobyproject.buildkit.device.autoallow: true}
devices:
- {name: foo, annotations: {org.mobyproject.buildkit.device.class: class1}, containerEdits: {env: [FOO=1]}}
- {name: bar, annotations: {org.mobyproject.buildkit.device.class: class1}, containerEdits: {env: [BAR=1]}}
- {name: baz, annotations: {org.mobyproject.buildkit.device.class: vendor1.com/none}, containerEdits: {env: [BAZ=1]}}
";

const LOCKED: &str = r"
cdiVersion: 0.6.0
kind: vendor2.com/gpu
containerEdits: {env: [ALL=1], mounts: [{hostPath: /, containerPath: /a/b/c}]}
devices:
- {name: one, containerEdits: {env: [ONE=1], mounts: [{hostPath: /, containerPath: /a/b, options: [ro]}], additionalGids: [7]}}
- {name: two, containerEdits: {env: [TWO=1], deviceNodes: [{path: /dev/two, hostPath: /dev/null}]}}
";

const HOOKED: &str = r"
cdiVersion: 0.6.0
kind: vendor3.com/hooked
devices:
- {name: one, containerEdits: {env: [ONE=1], hooks: [{hookName: createContainer, path: /bin/hook}]}}
";

fn wish(name: &str, required: bool) -> dockerfile::Device {
    dockerfile::Device { name: name.into(), required }
}

/// The names of what is chosen, and the warnings; or why nothing is.
fn choose(
    devices: &Devices,
    wanted: &[(&str, bool)],
    allow: &[&str],
) -> Result<(Vec<String>, Vec<String>), Diagnostic> {
    let wanted: Vec<_> = wanted.iter().map(|(name, required)| wish(name, *required)).collect();
    let allow: Vec<String> = allow.iter().map(|text| (*text).to_owned()).collect();
    let mut warnings = Vec::new();
    let chosen = devices.choose(&wanted, &allow, &(0..1), &mut |text| warnings.push(text))?;
    Ok((chosen.iter().map(|device| device.name.clone()).collect(), warnings))
}

#[test]
fn names_mean_what_they_mean_to_buildkit() {
    let devices = devices(&[CLASSES, LOCKED]);
    for (name, expected) in [
        ("vendor1.com/deviceclass=foo", &["foo"][..]),
        ("vendor1.com/deviceclass", &["bar"]),
        ("vendor1.com/deviceclass=", &["bar"]),
        ("vendor1.com/deviceclass=*", &["bar", "baz", "foo"]),
        ("vendor1.com/deviceclass=qux", &[]),
        ("class1", &["bar", "foo"]),
        ("vendor1.com/none", &["baz"]),
        ("class1=*", &[]),
        ("deviceclass=foo", &[]),
    ] {
        let (names, _) = choose(&devices, &[(name, false)], &[]).unwrap();
        let expected: Vec<String> = expected.iter().map(|n| format!("vendor1.com/deviceclass={n}")).collect();
        assert_eq!(names, expected, "{name}");
    }
    let both = [("class1", true), ("vendor1.com/deviceclass=*", true)];
    assert_eq!(choose(&devices, &both, &[]).unwrap().0.len(), 3);
}

#[test]
fn only_what_is_allowed_is_given() {
    let devices = devices(&[CLASSES, LOCKED]);
    let all = [("vendor2.com/gpu=*", false)];
    for allow in
        [&["device"][..], &["device=vendor2.com/gpu=*"], &["device=vendor2.com/gpu", "device=vendor2.com/gpu=two"]]
    {
        assert_eq!(
            choose(&devices, &all, allow).unwrap().0,
            ["vendor2.com/gpu=one", "vendor2.com/gpu=two"],
            "{allow:?}"
        );
    }
    let alias = ["device=vendor2.com/gpu=two,alias=mine"];
    assert_eq!(choose(&devices, &[("mine", true)], &alias).unwrap().0, ["vendor2.com/gpu=two"]);
    assert!(
        choose(&devices, &[("mine", true)], &["device"]).unwrap_err().message.starts_with("required device \"mine\"")
    );
    // A kind alone is its first device.
    let error = choose(&devices, &all, &["network.host", "device=vendor2.com/gpu"]).unwrap_err();
    assert_eq!(error.message, "device vendor2.com/gpu=two is requested by the build but not allowed");
    assert_eq!(error.help.as_deref(), Some("build with --allow device=vendor2.com/gpu=two to permit it"));
    let both = "devices vendor2.com/gpu=one, vendor2.com/gpu=two are requested by the build but not allowed";
    // A name that is empty is no device's, and not all of them.
    for allow in ["device=vendor1.com/deviceclass", "device="] {
        assert_eq!(choose(&devices, &all, &[allow]).unwrap_err().message, both, "{allow}");
    }
}

#[test]
fn what_is_missing_or_unsupported_is_named_where_it_is_required() {
    let dir = "/nowhere".into();
    let none = Devices { by_name: BTreeMap::new(), folders: vec![dir, "/neither".into()] };
    assert_eq!(choose(&none, &[("a/b=c", false)], &[]).unwrap().0, [""; 0]);
    let error = choose(&none, &[("a/b=c", true)], &["device"]).unwrap_err();
    let expected = "required device \"a/b=c\" is not registered: there are no devices in /nowhere, /neither";
    assert_eq!(error.message, expected);

    let devices = devices(&[CLASSES, LOCKED, HOOKED]);
    let error = choose(&devices, &[("a/b=c", true)], &[]).unwrap_err();
    assert!(
        error.message.ends_with("there are vendor1.com/deviceclass, vendor2.com/gpu, vendor3.com/hooked"),
        "{error}"
    );
    let error = choose(&devices, &[("vendor3.com/hooked", true)], &["device"]).unwrap_err();
    assert!(error.message.starts_with("device vendor3.com/hooked=one asks for `hooks`, "), "{error}");
    let (names, warnings) = choose(&devices, &[("vendor3.com/hooked", false)], &["device"]).unwrap();
    assert!(names.is_empty() && warnings[0].ends_with(": it is left out"), "{names:?} {warnings:?}");
    assert!(choose(&devices, &[("vendor3.com/hooked", false)], &[]).is_err());
}

#[test]
fn what_a_spec_says_for_all_is_done_once() {
    let devices = devices(&[LOCKED]);
    let both = [wish("vendor2.com/gpu=*", true)];
    let chosen = devices.choose(&both, &["device".into()], &(0..1), &mut |text| panic!("{text}")).unwrap();
    let given = give(&chosen).unwrap();
    let names: Vec<&str> = given.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ALL", "ONE", "TWO"]);
    let mounts: Vec<_> = given
        .mounts
        .iter()
        .map(|mount| match mount {
            Mount::Bind { source, target, read_only } => (source.to_str().unwrap(), target.as_str(), *read_only),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(mounts, [("/", "/a/b", true), ("/", "/a/b/c", false), ("/dev/null", "/dev/two", false)]);
    assert_eq!(given.groups, [7]);
}

#[test]
fn a_node_must_be_what_the_spec_says() {
    let of = |node: &str| {
        let spec = "cdiVersion: 0.6.0\nkind: a/b\ndevices:\n- name: c\n  containerEdits: {deviceNodes: [{NODE}]}\n";
        let devices = devices(&[&spec.replace("NODE", node)]);
        give(&[devices.by_name["a/b=c"].clone()]).map(|given| given.mounts.len())
    };
    for fine in [
        "path: /dev/null",
        "path: /dev/x, hostPath: /dev/null, type: c, major: 1, minor: 3",
        "path: /dev/null, type: u",
    ] {
        assert_eq!(of(fine), Ok(1), "{fine}");
    }
    for (wrong, why) in [
        ("path: /dev/null, major: 1, minor: 5", "/dev/null is 1:3 here, not 1:5"),
        ("path: /dev/null, type: b", "/dev/null is not a device of this type"),
        ("path: /dev/null, type: x", "`x` is not a type of device: c, b and p are"),
        ("path: /dev", "/dev is not a device"),
        ("path: /dev/nowhere", "/dev/nowhere: No such file or directory (os error 2)"),
    ] {
        let error = of(wrong).unwrap_err();
        assert!(error.starts_with("device a/b=c of ") && error.ends_with(why), "{wrong}: {error}");
    }
}
