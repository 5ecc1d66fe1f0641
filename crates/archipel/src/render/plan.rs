//! A plan in words: what `--explain` prints.

use archipel_build::{ExplainedStep, How};

/// All steps, then how many there are of which kind.
pub(crate) fn explained(steps: &[ExplainedStep], platforms: usize) -> String {
    let mut shown = String::new();
    for (n, step) in steps.iter().enumerate() {
        let how = match step.how {
            How::Native => "native",
            How::Emulated => "emulated",
            How::Assembled => "files only",
        };
        let places: Vec<String> = step.platforms.iter().map(ToString::to_string).collect();
        let once = if platforms > 1 && step.platforms.len() == platforms { ", once for all" } else { "" };
        shown.push_str(&format!("{:>3}  {}\n     for     {}{once}; {how}\n", n + 1, step.name, places.join(", ")));
        shown.push_str(&format!("     on      {}\n", step.on));
        let cache = if step.no_cache { "runs whatever the cache has; else " } else { "" };
        shown.push_str(&format!("     key     {cache}{}\n", step.key.join("; ")));
        if !step.unkeyed.is_empty() {
            shown.push_str(&format!("     beside  {}\n", step.unkeyed.join("; ")));
        }
    }
    let count = |how: How| steps.iter().filter(|step| step.how == how).count();
    let shared = steps.iter().filter(|step| platforms > 1 && step.platforms.len() == platforms).count();
    shown
        + &format!(
            "{} steps: {} native, {} emulated, {} of files only; {shared} once for all platforms\n",
            steps.len(),
            count(How::Native),
            count(How::Emulated),
            count(How::Assembled),
        )
}
