//! `parallel`: copies of a job.

use crate::reader::Reader;
use crate::variable::Variable;
use crate::yaml::{Node, Value};

/// The most copies of one job (GitLab's number).
const MAX: usize = 200;

/// How a job is multiplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parallel {
    /// So often.
    Count(u32),
    /// Once for each combination of values.
    Matrix(Vec<Vec<(String, String)>>),
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The job's name with what tells it from the others: `test 1/3`, `test: [a, b]`.
    pub name: String,
    /// The values of the matrix.
    pub values: Vec<(String, String)>,
    /// `CI_NODE_INDEX` and what belongs to it.
    pub variables: Vec<Variable>,
}

impl Parallel {
    pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Map(map) = &node.value {
            reader.keys("parallel", map, &["matrix"], &[]);
            let Some(matrix) = map.get("matrix") else {
                reader.findings.error("`parallel` has no `matrix`", node.span);
                return None;
            };
            let found = combinations(matrix, reader);
            return (!found.is_empty()).then_some(Self::Matrix(found));
        }
        let count = reader.number("parallel", node, 1, i64::try_from(MAX).unwrap_or(i64::MAX))?;
        u32::try_from(count).ok().map(Self::Count)
    }

    /// The copies of a job of that name.
    #[must_use]
    pub fn instances(&self, name: &str) -> Vec<Instance> {
        let total = match self {
            Self::Count(n) => *n as usize,
            Self::Matrix(all) => all.len(),
        };
        let copy = |n: usize| {
            let values = match self {
                Self::Count(_) => Vec::new(),
                Self::Matrix(all) => all[n].clone(),
            };
            let name = match self {
                Self::Count(_) => format!("{name} {}/{total}", n + 1),
                Self::Matrix(_) => {
                    let shown: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
                    format!("{name}: [{}]", shown.join(", "))
                }
            };
            let place = [("CI_NODE_INDEX", n + 1), ("CI_NODE_TOTAL", total)];
            let place = place.map(|(name, n)| Variable::new(name, n.to_string()));
            let of_matrix = values.iter().map(|(name, value)| Variable::new(name, value));
            Instance { variables: place.into_iter().chain(of_matrix).collect(), name, values }
        };
        (0..total).map(copy).collect()
    }
}

/// All combinations of the values in a list of maps.
pub(super) fn combinations(node: &Node, reader: &mut Reader<'_>) -> Vec<Vec<(String, String)>> {
    let mut all = Vec::new();
    for item in reader.list("matrix", node).unwrap_or_default() {
        let Some(map) = reader.map("matrix", item) else { continue };
        let mut rows: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for entry in map.iter() {
            let name = &entry.key.value;
            let values: Vec<String> = match &entry.value.value {
                Value::Seq(items) => items.iter().filter_map(|item| reader.value(name, item)).collect(),
                _ => reader.value(name, &entry.value).into_iter().collect(),
            };
            if rows.len() * values.len() > MAX || values.is_empty() {
                let what = if values.is_empty() { "no values".into() } else { format!("more than {MAX} combinations") };
                reader.findings.error(format!("`{name}` makes {what}"), entry.key.span);
                return Vec::new();
            }
            let with = |row: &Vec<(String, String)>, value: &String| {
                row.iter().cloned().chain([(name.clone(), value.clone())]).collect()
            };
            rows = rows.iter().flat_map(|row| values.iter().map(move |value| with(row, value))).collect();
        }
        all.extend(rows.into_iter().filter(|row| !row.is_empty()));
    }
    if all.len() > MAX {
        reader.findings.error(format!("the matrix makes {} jobs, more than {MAX}", all.len()), node.span);
        return Vec::new();
    }
    if all.is_empty() {
        reader.findings.error("the matrix makes no job", node.span);
    }
    all
}
