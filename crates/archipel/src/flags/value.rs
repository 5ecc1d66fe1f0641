//! Small values: sizes, limits, hosts, pairs, platforms.

use std::net::IpAddr;

use archipel_oci::Platform;

/// A platform, or `local` for the machine's own.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    match text {
        "local" => Ok(Platform::host()),
        _ => text.parse().map_err(|e: archipel_oci::PlatformError| e.to_string()),
    }
}

/// `KEY=VALUE`; a key alone has an empty value.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() { Err("it should be KEY=VALUE".into()) } else { Ok((key.to_owned(), value.to_owned())) }
}

/// A pair whose value is never left out: an annotation's.
pub(crate) fn whole_pair(text: &str) -> Result<(String, String), String> {
    if text.contains('=') { pair(text) } else { Err("expected key=value".into()) }
}

/// `64m`, `1.5gb`, `4096`: bytes, the letters being powers of 1024. What is less than a byte is dropped, as docker does.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number and one of b, k, m, g, t".to_owned();
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match lower.get(digits.len()..).unwrap_or_default().trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let unit = 1_u64 << shift;
    let (whole, fraction) = digits.trim().split_once('.').unwrap_or((digits.trim(), ""));
    let number: u64 = match whole {
        "" if !fraction.is_empty() => 0,
        whole => whole.parse().map_err(|_| wrong())?,
    };
    // From the last digit on, so that nothing is rounded.
    let below = fraction.chars().rev().try_fold(0, |below, c| Some((u64::from(c.to_digit(10)?) * unit + below) / 10));
    let below = below.ok_or_else(wrong)?;
    number.checked_mul(unit).and_then(|whole| whole.checked_add(below)).ok_or_else(|| "it is too large".into())
}

/// `nofile=1024[:2048]`.
pub(crate) fn ulimit(text: &str) -> Result<(String, u64, u64), String> {
    let form = || "it should be NAME=SOFT[:HARD]".to_owned();
    // -1 is docker's word for no limit.
    let number = |text: &str| if text == "-1" { Ok(u64::MAX) } else { text.parse().map_err(|_| form()) };
    let (name, limits) = text.split_once('=').ok_or_else(form)?;
    if !archipel_sandbox::is_ulimit(name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard { Err("the soft limit is above the hard one".into()) } else { Ok((name.to_owned(), soft, hard)) }
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`, an IPv6 address with or without brackets.
pub(crate) fn host(text: &str) -> Result<(String, String), String> {
    let at = text.find(['=', ':']).ok_or("it should be NAME:ADDRESS")?;
    let (name, address) = (&text[..at], &text[at + 1..]);
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    match address {
        _ if name.is_empty() => Err("it should be NAME:ADDRESS".into()),
        // Steps share the machine's network, so the host is where they are.
        "host-gateway" => Ok((name.to_owned(), "127.0.0.1".to_owned())),
        _ if address.parse::<IpAddr>().is_ok() => Ok((name.to_owned(), address.to_owned())),
        _ => Err(format!("`{address}` is not an IP address")),
    }
}

/// `--allow`: one entitlement, or some with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entitlements(pub(crate) Vec<String>);

/// `network.host`, `security.insecure`, `device`, `device=NAME[,alias=NAME]`.
pub(crate) fn entitlements(text: &str) -> Result<Entitlements, String> {
    let known = ["network.host", "security.insecure", "device"];
    let mut all: Vec<String> = Vec::new();
    for part in text.split(',') {
        match (part.split_once('='), all.last_mut()) {
            // Without a name it would be every device, which is another permission.
            (Some(("device", name)), _) if !name.is_empty() => all.push(part.to_owned()),
            // What stands for the device in the Dockerfile.
            (Some(("alias", alias)), Some(device)) if device.starts_with("device=") && !alias.is_empty() => {
                device.push(',');
                device.push_str(part);
            }
            (None, _) if known.contains(&part) => all.push(part.to_owned()),
            _ => return Err(format!("unknown entitlement `{part}`; it should be one of {}", known.join(", "))),
        }
    }
    Ok(Entitlements(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_has_a_value() {
        assert_eq!(pair("a"), Ok(("a".into(), String::new())));
        assert_eq!(whole_pair("a="), Ok(("a".into(), String::new())));
        assert!(whole_pair("a").is_err() && whole_pair("=b").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("2 GiB"), Ok(2 << 30));
        assert_eq!(size("0.125g"), Ok(128 << 20));
        assert_eq!(size(".5k"), Ok(512));
        assert_eq!(size("1.0009765625k"), Ok(1025));
        assert_eq!(size("2.999b"), Ok(2));
        for wrong in ["", "m", ".", ".g", "1.5.2g", "1.-5g", "-1", "-0.5g", "1x", "99999999t", "16777216.5t"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_and_hosts() {
        assert_eq!(ulimit("nofile=1:2"), Ok(("nofile".into(), 1, 2)));
        assert_eq!(ulimit("core=-1"), Ok(("core".into(), u64::MAX, u64::MAX)));
        assert!(ulimit("nofile=3:2").is_err());
        assert_eq!(ulimit("files=1"), Err("invalid ulimit type: files".into()));
        assert_eq!(host("a:::1"), Ok(("a".into(), "::1".into())));
        assert_eq!(host("a=[::1]"), Ok(("a".into(), "::1".into())));
        assert_eq!(host("a:10.0.0.1"), Ok(("a".into(), "10.0.0.1".into())));
        assert!(host("a:b").is_err() && host("a").is_err() && host(":1.2.3.4").is_err());
    }

    #[test]
    fn what_is_allowed() {
        let of = |text| entitlements(text).map(|some| some.0);
        let both = ["network.host", "security.insecure"].map(String::from).to_vec();
        assert_eq!(of("network.host,security.insecure"), Ok(both));
        assert_eq!(
            of("device=a/b=c,alias=x,device").map(|all| all.join(" ")),
            Ok("device=a/b=c,alias=x device".into())
        );
        for wrong in [
            "",
            "foo",
            "alias=x",
            "device=",
            "device=,alias=x",
            "device,alias=x",
            "device=a,alias=",
            "device=a,other=x",
            "network.host=1",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
