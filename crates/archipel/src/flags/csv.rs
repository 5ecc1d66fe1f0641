//! The comma-separated values of docker's flags (`type=secret,"src=a,b"`): one record of Go's `encoding/csv`.

/// Splits a value at commas. A field in double quotes may hold commas, and `""` in it is a quote.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![];
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err(format!("`{field}` has a quote in its midst: put the quotes round the whole field"));
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("`{after}` follows a closing quote; a comma should")),
        }
    }
}

/// The same, each field a `key=value` pair. A field without `=` has no value.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    Ok(fields(text)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value.to_owned())),
            None => (field, None),
        })
        .collect())
}

fn take_quoted(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err(format!("`\"{text}` has no closing quote"));
        };
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
}

/// A boolean as Go's `strconv.ParseBool` reads it.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_go_does() {
        assert_eq!(fields("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(fields(r#""a,b""c",d"#).unwrap(), [r#"a,b"c"#, "d"]);
        for wrong in [r#"a"b"#, r#""a"#, r#""a"b"#] {
            assert!(fields(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_keep_values_as_they_are() {
        assert_eq!(
            pairs("Type=local,dest=a=B,ro").unwrap(),
            [("type".into(), Some("local".into())), ("dest".into(), Some("a=B".into())), ("ro".into(), None)]
        );
    }
}
