//! Names made fit for host names, paths and tags.

use archipel_oci::Digest;

/// `CI_COMMIT_REF_SLUG`: lower case, what is neither a letter nor a digit becomes `-`, at most 63 bytes, no `-` at either end.
#[must_use]
pub fn slug(name: &str) -> String {
    // Cut before the ends are trimmed, as GitLab does. All characters are one byte by then.
    let dashed: String = dashed(name).chars().take(63).collect();
    dashed.trim_matches('-').to_owned()
}

fn dashed(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    name.to_lowercase().chars().map(keep).collect()
}

/// `CI_ENVIRONMENT_SLUG`: at most 24 bytes, starting with a letter; a name that had to be changed gets six digits of its hash.
#[must_use]
pub fn environment_slug(name: &str) -> String {
    let mut slug = dashed(name);
    if !slug.starts_with(|c: char| c.is_ascii_lowercase()) {
        slug = format!("env-{slug}");
    }
    while slug.contains("--") {
        slug = slug.replace("--", "-");
    }
    if slug.len() <= 24 && slug == name {
        return slug.strip_suffix('-').unwrap_or(&slug).to_owned();
    }
    slug.truncate(17);
    if !slug.ends_with('-') {
        slug.push('-');
    }
    slug + &hash_digits(name)
}

/// The last six digits of the hash in base 36.
fn hash_digits(name: &str) -> String {
    let digest = Digest::of(name.as_bytes());
    let modulus = 36_u64.pow(6);
    let mut rest = digest.hex().chars().fold(0_u64, |n, c| (n * 16 + u64::from(c.to_digit(16).unwrap_or(0))) % modulus);
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.push(char::from_digit(u32::try_from(rest % 36).unwrap_or(0), 36).unwrap_or('0'));
        rest /= 36;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slugs_as_gitlab_makes_them() {
        for (name, expected) in [
            ("main", "main"),
            ("Feature/New_Thing", "feature-new-thing"),
            ("-a-", "a"),
            ("v1.2.3", "v1-2-3"),
            ("Grüße", "gr--e"),
            ("---", ""),
            ("日本", ""),
        ] {
            assert_eq!(slug(name), expected, "{name}");
        }
        assert_eq!(slug(&format!("{}/b", "a".repeat(62))), "a".repeat(62));
        assert_eq!(slug(&"x".repeat(100)).len(), 63);
    }

    #[test]
    fn environments() {
        assert_eq!(environment_slug("production"), "production");
        assert_eq!(environment_slug("staging-"), "staging");
        let slug = environment_slug("review/Feature-1");
        assert!(slug.starts_with("review-feature-1-") && slug.len() == 23, "{slug}");
        assert!(environment_slug("1").starts_with("env-1-"));
        assert!(environment_slug(&"a".repeat(40)).len() == 24);
    }

    proptest! {
        #[test]
        fn a_slug_is_a_host_label(name in "\\PC{0,80}") {
            let made = slug(&name);
            prop_assert!(made.len() <= 63 && !made.starts_with('-') && !made.ends_with('-'));
            prop_assert!(made.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert_eq!(slug(&made), made);
        }
    }
}
