//! "Did you mean": the known word that is nearest to one that is not.

/// How many letters of a word are looked at.
const LONGEST: usize = 64;

/// The nearest of `known` to `word`, if one is near enough for a typing mistake: a third of its letters.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let word = letters(&word.to_lowercase());
    let of = |k: &'a str| Some((distance(&word, &k.to_lowercase(), true, limit)?, k));
    known.into_iter().filter_map(of).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// How a proposal stands in a message: ` (did you mean X?)`, or nothing if there is none.
#[must_use]
pub fn did_you_mean(near: Option<impl std::fmt::Display>) -> String {
    near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

/// How many letters a word may differ in for BuildKit to propose another one.
const SIMILAR: usize = 2;

/// The word of `known` that differs in no more than two letters: what BuildKit proposes. Case counts.
pub(crate) fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = letters(word);
    let near = known.into_iter().filter_map(|k| Some((distance(&word, k, false, SIMILAR)?, k)));
    near.min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// What is proposed for a word that is none of `known`: what BuildKit may propose, of several the one with the slip of the finger;
/// or else the nearest.
pub(crate) fn proposed<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let own = letters(word);
    // With swaps there is never more to do than without.
    let of = |k: &'a str| Some(((distance(&own, k, false, SIMILAR)?, distance(&own, k, true, SIMILAR)?), k));
    let near = known.clone().into_iter().filter_map(of);
    near.min_by_key(|(d, _)| *d).map(|(_, k)| k).or_else(|| nearest(word, known))
}

fn letters(word: &str) -> Vec<char> {
    word.chars().take(LONGEST).collect()
}

/// Insertions, deletions and replacements; with `swaps` also swaps of neighbours (optimal string alignment). `None`: more than
/// `limit`. A text may have thousands of names that each of thousands of others is compared with, so what is far away is given up
/// soon.
fn distance(a: &[char], b: &str, swaps: bool, limit: usize) -> Option<u8> {
    if a.len().abs_diff(b.chars().take(LONGEST).count()) > limit {
        return None;
    }
    // No distance is more than the letters that are looked at, and small rows are made soon.
    let limit = u8::try_from(limit).unwrap_or(u8::MAX);
    let (mut second, mut last, mut row) = ([0_u8; LONGEST + 1], [0; LONGEST + 1], [0; LONGEST + 1]);
    last.iter_mut().zip(0..).for_each(|(cell, n)| *cell = n);
    let mut before = None;
    for (c, n) in b.chars().take(LONGEST).zip(1..) {
        row[0] = n;
        let mut least = row[0].min(last[0]);
        for i in 1..=a.len() {
            let replace = last[i - 1] + u8::from(a[i - 1] != c);
            let mut best = replace.min(last[i] + 1).min(row[i - 1] + 1);
            if swaps && i > 1 && a[i - 2] == c && before == Some(a[i - 1]) {
                best = best.min(second[i - 2] + 1);
            }
            row[i] = best;
            // A swap goes back two rows.
            least = least.min(best).min(last[i]);
        }
        if least > limit {
            return None;
        }
        (second, last, row) = (last, row, second);
        before = Some(c);
    }
    Some(last[a.len()]).filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_slip_of_the_finger() {
        let known = ["RUN", "COPY", "ENTRYPOINT", "EXPOSE"];
        assert_eq!(nearest("RNU", known), Some("RUN"));
        assert_eq!(nearest("copi", known), Some("COPY"));
        assert_eq!(nearest("EXPOZE", known), Some("EXPOSE"));
        assert_eq!(nearest("WHATEVER", known), None);
        assert_eq!(similar("CP", known), Some("COPY"));
        assert_eq!(proposed("RNU", ["ENV", "RUN"]), Some("RUN"));
        assert_eq!(proposed("entripoynt", known), Some("ENTRYPOINT"));
        assert_eq!(similar("EXPOES", known), Some("EXPOSE"));
        assert_eq!(similar("EXOPES", known), None);
        assert_eq!(similar("copy", known), None);
    }
}
