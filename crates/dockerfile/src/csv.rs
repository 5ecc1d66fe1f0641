//! The lists in `--mount`, `--device` and docker's own flags: one record of Go's `encoding/csv`.

/// Splits a list into its fields. A field in double quotes may hold commas, and `""` in it is a quote.
///
/// # Errors
/// What is wrong with its quotes.
pub fn csv_fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err("bare \" in non-quoted field");
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// A field after its opening quote, and what follows it. Two quotes are one that is meant.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err("extraneous or missing \" in quoted-field");
        };
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((field, after)),
            None => return Err("extraneous or missing \" in quoted-field"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(csv_fields("type=bind,ro").unwrap(), ["type=bind", "ro"]);
        assert_eq!(csv_fields("a,\"b,c\",\"d\"\"e\"").unwrap(), ["a", "b,c", "d\"e"]);
        assert_eq!(csv_fields("a,").unwrap(), ["a", ""]);
        assert_eq!(csv_fields("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(csv_fields("\"a,b\"\"c\",d").unwrap(), ["a,b\"c", "d"]);
        assert_eq!(csv_fields("").unwrap(), [""]);
        for bad in ["a\"b", "\"a", "\"a\"b"] {
            assert!(csv_fields(bad).is_err(), "{bad}");
        }
    }
}
