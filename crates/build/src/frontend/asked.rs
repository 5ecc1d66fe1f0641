//! What a frontend asks of the language of Dockerfiles: its options, by BuildKit's names (`frontend/dockerui/config.go`), as a request.
//!
//! What is said of the text is in the options and nowhere else: a frontend passes on what its own was given, or does not. What is
//! said of the build (secrets, permissions, caches, outputs) stays as the person has it.
//!
//! An option that is not known is refused. To leave one out would be to build something else than was asked for.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use archipel_dockerfile::AddSource;
use archipel_oci::Platform;

use super::options::{CONTEXT, Options};
use super::source::is_remote;
use crate::Request;
use crate::request::Context;

/// Options that change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    // How a frontend's program is found, and what it can do: this language has none.
    "source",
    "cmdline",
    "frontend.caps",
    // Which file the text is. Whoever reads it looks for them.
    "filename",
    "dockerfilekey",
    // Which option has the address of the context: see `main_context`.
    "contextkey",
    // Caches elsewhere are the person's to name, for the whole build. What is built does not depend on them.
    "cache-imports",
    "cache-from",
    // The builder attests how something came about, and the language has no part in it (BuildKit's has none either).
    "attest:provenance",
];

/// The same of options that have a name in them: BuildKit's connections to its clients, of which we have none.
const FAMILIES_WITHOUT_EFFECT: &[&str] = &["local-sessionid", "sharedkey"];

/// The request as a frontend's options change it. `own` are those that the frontend was given itself.
pub(super) fn asked(outer: &Request, own: &Options, given: &HashMap<String, String>) -> Result<Request, String> {
    let mut request = Request {
        target: None,
        platforms: Vec::new(),
        build_args: Vec::new(),
        labels: Vec::new(),
        named_contexts: Vec::new(),
        no_cache: false,
        no_cache_filter: Vec::new(),
        network: None,
        add_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        // It is made of what the frontend returns in the end.
        sbom: None,
        ..outer.clone()
    };
    let main = given.get("contextkey").map_or(CONTEXT, String::as_str);
    // In their order, so that the same options are the same request.
    for (name, value) in given.iter().collect::<BTreeMap<_, _>>() {
        let read = match name == main {
            true => main_context(own, value),
            false => option(&mut request, outer, own, name, value),
        };
        read.map_err(|reason| format!("gives the language of Dockerfiles the option {name}: {reason}"))?;
    }
    by_argument(&mut request, given);
    Ok(request)
}

fn option(request: &mut Request, outer: &Request, own: &Options, name: &str, value: &str) -> Result<(), String> {
    let (family, member) = name.split_once(':').unwrap_or((name, ""));
    match (family, member) {
        _ if WITHOUT_EFFECT.contains(&name) || FAMILIES_WITHOUT_EFFECT.contains(&family) => {}
        ("build-arg", arg) => request.build_args.push((arg.into(), value.into())),
        ("label", key) => request.labels.push((key.into(), value.into())),
        ("context", known) => request.named_contexts.push((known.into(), named(outer, own, known, value)?)),
        ("target", "") => request.target = Some(value.to_owned()).filter(|target| !target.is_empty()),
        ("platform", "") => request.platforms = list(value, platform)?,
        ("no-cache", "") => {
            request.no_cache = value.is_empty();
            request.no_cache_filter = list(value, |stage| Ok(stage.into()))?;
        }
        ("image-resolve-mode", "") => request.pull = pull(outer, value)?,
        ("force-network-mode", "") => request.network = network(value)?,
        ("add-hosts", "") => request.add_hosts = list(value, host)?,
        ("shm-size", "") => request.shm_size = size(value)?,
        ("ulimit", "") => request.ulimits = list(value, limit)?,
        ("hostname" | "multi-platform", "") => {} // `by_argument`
        ("requestid", "") if value.is_empty() => {}
        ("requestid", "") => return Err(format!("{value} is not answered to frontends yet")),
        _ => return Err("it is not supported".into()),
    }
    Ok(())
}

/// What may also be said by a build argument, which then counts.
fn by_argument(request: &mut Request, given: &HashMap<String, String>) {
    for (option, argument) in [("hostname", "BUILDKIT_SANDBOX_HOSTNAME"), ("multi-platform", "BUILDKIT_MULTI_PLATFORM")]
    {
        let said = request.build_arg(argument).is_some_and(|value| !value.is_empty());
        if let Some(value) = given.get(option).filter(|value| !said && !value.is_empty()) {
            request.build_args.push((argument.into(), value.clone()));
        }
    }
}

/// The address of the context. Without one it is the folder `context`, or an input of that name.
fn main_context(own: &Options, value: &str) -> Result<(), String> {
    match value.is_empty() || own.values.get(CONTEXT).is_some_and(|known| known == value) {
        true => Ok(()),
        false => Err("a context that is not the build's own is not supported yet".into()),
    }
}

/// A named context: one of those that the frontend was told of, or an address.
fn named(outer: &Request, own: &Options, name: &str, value: &str) -> Result<Context, String> {
    if name.contains("::") {
        return Err("a context for one platform alone is not supported yet".into());
    }
    let unknown = || format!("there is no {value} among what the build was given");
    match value.split_once(':') {
        Some(("docker-image", reference)) => {
            let reference = reference.trim_start_matches('/');
            reference.parse().map(Context::Image).map_err(|e| format!("{reference} is no name of an image: {e}"))
        }
        Some(("oci-layout", layout)) => {
            let layout = layout.trim_start_matches('/').split('@').next().unwrap_or_default();
            let (_, path, target) = own.layouts.get(layout).ok_or_else(unknown)?;
            Ok(Context::OciLayout { path: path.clone(), target: target.clone() })
        }
        Some(("local", folder)) => local(outer, folder).ok_or_else(unknown),
        Some(("input", _)) => Err("inputs as named contexts are not supported yet".into()),
        _ => address(value),
    }
}

/// What a folder's name stands for: the names are those that [`Options`] give out.
fn local(outer: &Request, folder: &str) -> Option<Context> {
    if folder == CONTEXT {
        return Some(outer.context.clone());
    }
    let number: usize = folder.strip_prefix(CONTEXT)?.parse().ok()?;
    outer.named_contexts.get(number).map(|(_, context)| context.clone())
}

/// A frontend is somebody else's program, so that git must not read for it what is on this machine.
fn address(value: &str) -> Result<Context, String> {
    match AddSource::parse(value) {
        Ok(AddSource::Http { url, .. }) => Ok(Context::Http(url)),
        Ok(AddSource::Git(git)) if is_remote(&git.remote) => Ok(Context::Git(value.into())),
        _ => Err("it is neither an image nor a folder nor an address elsewhere".into()),
    }
}

fn list<T>(value: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(item).collect()
}

fn platform(text: &str) -> Result<Platform, String> {
    text.parse().map_err(|e: archipel_oci::PlatformError| e.to_string())
}

fn pull(outer: &Request, mode: &str) -> Result<bool, String> {
    match mode {
        "" | "default" => Ok(outer.pull),
        "pull" => Ok(true),
        "local" => Ok(false),
        other => Err(format!("{other} is none of default, pull and local")),
    }
}

fn network(mode: &str) -> Result<Option<String>, String> {
    match mode {
        "" | "sandbox" => Ok(None),
        "host" | "none" => Ok(Some(mode.into())),
        other => Err(format!("{other} is none of sandbox, host and none")),
    }
}

fn host(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(_, address)| address.parse::<IpAddr>().is_ok());
    let (name, address) = pair.ok_or_else(|| format!("{text} is not NAME=ADDRESS"))?;
    Ok((name.to_ascii_lowercase(), address.into()))
}

/// Nothing and 0 are what is usual.
fn size(text: &str) -> Result<Option<u64>, String> {
    let wrong = |_| format!("{text} is no number of bytes");
    if text.is_empty() { Ok(None) } else { text.parse().map(|size| Some(size).filter(|size| *size > 0)).map_err(wrong) }
}

/// `NAME=SOFT[:HARD]`; -1 is no limit.
fn limit(text: &str) -> Result<(String, u64, u64), String> {
    let wrong = || format!("{text} is not NAME=SOFT:HARD");
    let number = |text: &str| if text == "-1" { Some(u64::MAX) } else { text.parse().ok() };
    let (name, limits) =
        text.split_once('=').filter(|(name, _)| archipel_sandbox::is_ulimit(name)).ok_or_else(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    number(soft).zip(number(hard)).map(|(soft, hard)| (name.to_owned(), soft, hard)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(options: &[(&str, &str)]) -> Result<Request, String> {
        let outer = Request {
            no_cache: true,
            named_contexts: vec![("theirs".into(), Context::Local("/theirs".into()))],
            ..Request::empty()
        };
        let mut own = Options::default();
        own.values.insert(CONTEXT.into(), "https://h/o/r.git".into());
        own.layouts.insert("context3".into(), ("l".into(), "/layout".into(), None));
        asked(&outer, &own, &options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn options_are_a_request() {
        let found = request(&[
            ("build-arg:A", "1"),
            ("label:l", "x"),
            ("target", "final"),
            ("platform", "linux/amd64,linux/arm/v7"),
            ("no-cache", "a,b"),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "none"),
            ("add-hosts", "One=1.2.3.4,six=::1"),
            ("shm-size", "1024"),
            ("ulimit", "nofile=1:2,core=-1"),
            ("hostname", "h"),
        ]);
        let found = found.unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found.build_args, [pair("A", "1"), pair("BUILDKIT_SANDBOX_HOSTNAME", "h")]);
        assert_eq!(found.labels, [pair("l", "x")]);
        assert_eq!((found.target.as_deref(), found.platforms.len()), (Some("final"), 2));
        assert_eq!((found.no_cache, found.no_cache_filter.join(" ")), (false, "a b".into()));
        assert_eq!((found.pull, found.network.as_deref(), found.shm_size), (true, Some("none"), Some(1024)));
        assert_eq!(found.add_hosts, [pair("one", "1.2.3.4"), pair("six", "::1")]);
        assert_eq!(found.ulimits, [("nofile".into(), 1, 2), ("core".into(), u64::MAX, u64::MAX)]);
        // What is not passed on is not asked for.
        assert!(found.named_contexts.is_empty());
        assert!(!request(&[]).unwrap().no_cache && request(&[("no-cache", "")]).unwrap().no_cache);
        let both = request(&[("hostname", "h"), ("build-arg:BUILDKIT_SANDBOX_HOSTNAME", "arg")]).unwrap();
        assert_eq!(both.build_arg("BUILDKIT_SANDBOX_HOSTNAME"), Some("arg"));
        assert!(request(&[("multi-platform", "true")]).unwrap().multi_platform().unwrap());
    }

    #[test]
    fn contexts_are_those_that_were_given_and_addresses() {
        for (value, expected) in [
            ("docker-image://busybox", "Image("),
            ("oci-layout://context3@sha256:00", "OciLayout { path: \"/layout\""),
            ("local:context0", "Local(\"/theirs\")"),
            ("local:context", "Empty"),
            ("https://h/o/r.git#v1", "Git(\"https://h/o/r.git#v1\")"),
            ("https://h/a.tar", "Http(\"https://h/a.tar\")"),
        ] {
            let shown = format!("{:?}", request(&[("context:n", value)]).unwrap().named_contexts);
            assert!(shown.contains(&format!("(\"n\", {expected}")), "{shown}");
        }
    }

    #[test]
    fn what_would_be_left_out_is_refused() {
        for (name, value, reason) in [
            ("memory", "1", "not supported"),
            ("cgroup-parent", "c", "not supported"),
            ("target:x", "t", "not supported"),
            ("attest:sbom", "generator=g", "not supported"),
            ("requestid", "frontend.outline", "frontend.outline is not answered"),
            ("context", "https://h/o/other.git", "not the build's own"),
            ("context:n", "input:n", "inputs"),
            ("context:n", "local:context9", "there is no local:context9"),
            ("context:n", "oci-layout://elsewhere@sha256:00", "there is no oci-layout://elsewhere"),
            ("context:n", "/etc", "elsewhere"),
            ("context:n", "file:///home/me/r.git", "elsewhere"),
            ("context:n::linux/arm64", "docker-image://b", "one platform"),
            ("platform", "nonsense/", "not a platform"),
            ("add-hosts", "h=x", "NAME=ADDRESS"),
            ("shm-size", "x", "bytes"),
            ("ulimit", "x=1", "SOFT"),
            ("force-network-mode", "x", "sandbox"),
            ("image-resolve-mode", "x", "pull"),
        ] {
            let told = request(&[(name, value)]).unwrap_err();
            assert!(told.contains(&format!("the option {name}: ")) && told.contains(reason), "{told}");
        }
        let without_effect = [
            ("source", "lang"),
            ("cmdline", "lang fast"),
            ("filename", "F"),
            ("dockerfilekey", "d"),
            ("context", "https://h/o/r.git"),
            ("local-sessionid:context", "x"),
            ("sharedkey:localdir:context", "x"),
            ("cache-from", "a,b"),
            ("frontend.caps", "c"),
            ("attest:provenance", "mode=max"),
        ];
        request(&without_effect).unwrap();
        let elsewhere = request(&[("contextkey", "address"), ("address", "https://h/o/r.git")]);
        elsewhere.unwrap();
    }
}
