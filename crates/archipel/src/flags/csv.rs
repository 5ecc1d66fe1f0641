//! The comma-separated values of docker's flags (`type=secret,"src=a,b"`): pairs, and what their values mean.

pub(crate) use archipel_dockerfile::boolean;
use archipel_dockerfile::csv_fields;

/// Splits a list into `key=value` pairs, with the keys in lower case. A field without `=` has no value.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let lower = |(key, value): (String, Option<String>)| match value {
        Some(value) => (key.to_ascii_lowercase(), Some(value)),
        None => (key, None),
    };
    Ok(pairs_as_typed(text)?.into_iter().map(lower).collect())
}

/// The same with the keys as they were typed.
pub(crate) fn pairs_as_typed(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    Ok(csv_fields(text)?
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), Some(value.to_owned())),
            None => (field, None),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_values_as_they_are() {
        assert_eq!(
            pairs("Type=local,dest=a=B,ro").unwrap(),
            [("type".into(), Some("local".into())), ("dest".into(), Some("a=B".into())), ("ro".into(), None)]
        );
    }
}
