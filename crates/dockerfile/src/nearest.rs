//! "Did you mean": the known word that is nearest to one that is not.

/// The nearest of `known` to `word`, if one is near enough for a typing mistake: a third of its letters.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let of = |k: &'a str| (distance(&word.to_lowercase(), &k.to_lowercase(), true), k);
    known.into_iter().map(of).filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// The word of `known` that differs in no more than two letters: what BuildKit proposes. Case counts.
pub(crate) fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|k| (distance(word, k, false), k)).filter(|(d, _)| *d <= 2);
    near.min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// What is proposed for a word that is none of `known`: what BuildKit may propose, of several the one with the slip of the finger;
/// or else the nearest.
pub(crate) fn proposed<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let of = |k: &'a str| ((distance(word, k, false), distance(word, k, true)), k);
    let near = known.clone().into_iter().map(of).filter(|((d, _), _)| *d <= 2);
    near.min_by_key(|(d, _)| *d).map(|(_, k)| k).or_else(|| nearest(word, known))
}

/// Insertions, deletions and replacements; with `swaps` also swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str, swaps: bool) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if swaps && i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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
