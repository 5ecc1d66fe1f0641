//! Encodings and hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;

use super::{Function, exactly, texts};
use crate::fault::{Result, fault};
use crate::value::Value;

pub(super) const TABLE: &[(&str, Function)] = &[
    ("base64decode", |_, a| {
        let [text] = texts(a)?;
        let bytes = STANDARD.decode(text).map_err(|_| fault("this is not base64"))?;
        String::from_utf8(bytes).map(Value::String).map_err(|_| fault("what was encoded is not a text"))
    }),
    ("base64encode", |_, a| texts(a).map(|[text]| STANDARD.encode(text).into())),
    ("csvdecode", |_, a| texts(a).and_then(|[text]| csv(&text))),
    ("jsondecode", |_, a| {
        let [text] = texts(a)?;
        let json = serde_json::from_str(&text).map_err(|e| fault(format!("this is not JSON: {e}")))?;
        Ok(Value::from_json(&json))
    }),
    ("jsonencode", |_, a| exactly(a).map(|[value]| crate::json::escaped(&value.to_json().to_string()).into())),
    ("md5", |_, a| hashed::<md5::Md5>(a)),
    ("sha1", |_, a| hashed::<sha1::Sha1>(a)),
    ("sha256", |_, a| hashed::<sha2::Sha256>(a)),
    ("sha512", |_, a| hashed::<sha2::Sha512>(a)),
    ("urlencode", |_, a| texts(a).map(|[text]| urlencode(&text).into())),
];

/// A hash in hexadecimal digits. The old ones make names that files already have, and prove nothing.
fn hashed<H: Digest>(arguments: &[Value]) -> Result<Value> {
    let [text] = texts(arguments)?;
    Ok(H::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// As in the query of an address: a space is a plus.
fn urlencode(text: &str) -> String {
    let mut shown = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => shown.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => shown.push(byte.into()),
            _ => shown.push_str(&format!("%{byte:02X}")),
        }
    }
    shown
}

/// Rows as maps, the first line names their fields.
fn csv(text: &str) -> Result<Value> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let fields = |line: &str| archipel_dockerfile::csv_fields(line).map_err(fault);
    let Some(head) = lines.next().map(fields).transpose()? else { return Err(fault("a line of names is required")) };
    let row = |line: &str| {
        let fields = fields(line)?;
        if fields.len() != head.len() {
            return Err(fault(format!("a row of {} fields, where {} have names", fields.len(), head.len())));
        }
        Ok(Value::Map(head.iter().cloned().zip(fields.into_iter().map(Value::String)).collect()))
    };
    lines.map(row).collect()
}
