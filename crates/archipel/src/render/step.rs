//! How a step is called on a line.

use archipel_build::{How, StepInfo};

/// Decides whether a step's name carries its platforms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    platforms: usize,
}

impl Names {
    /// For a build of so many platforms.
    pub(super) fn new(platforms: usize) -> Self {
        Self { platforms }
    }

    /// `linux/arm64`, or nothing where the build has one platform or the step serves all of them.
    pub(super) fn tag(self, step: &StepInfo) -> String {
        if self.platforms < 2 || step.platforms.len() >= self.platforms {
            return String::new();
        }
        let names: Vec<String> = step.platforms.iter().map(ToString::to_string).collect();
        names.join(",")
    }

    /// BuildKit's form: `[linux/arm64 build 2/4] RUN go build`.
    pub(super) fn full(self, step: &StepInfo) -> String {
        let tag = step.label.clone().unwrap_or_else(|| self.tag(step));
        match (tag.as_str(), step.name.strip_prefix('[')) {
            ("", _) => step.name.clone(),
            (tag, Some(rest)) => format!("[{tag} {rest}"),
            (tag, None) => format!("[{tag}] {}", step.name),
        }
    }
}

/// `native`, `emulated`, or nothing where no process runs.
pub(super) fn how(how: How) -> &'static str {
    match how {
        How::Native => "native",
        How::Emulated => "emulated",
        How::Assembled => "",
    }
}

#[cfg(test)]
mod tests {
    use archipel_build::StepId;

    use super::*;

    #[test]
    fn names_carry_platforms_where_they_tell_something() {
        let step = |name: &str, platforms: &[&str]| StepInfo {
            id: StepId(0),
            name: name.into(),
            label: None,
            platforms: platforms.iter().map(|p| p.parse().unwrap()).collect(),
            how: How::Native,
        };
        let arm = step("[build 2/4] RUN make", &["linux/arm64"]);
        assert_eq!(Names::new(1).full(&arm), "[build 2/4] RUN make");
        assert_eq!(Names::new(2).full(&arm), "[linux/arm64 build 2/4] RUN make");
        let label = Some("linux/amd64->arm64".into());
        assert_eq!(Names::new(1).full(&StepInfo { label, ..arm }), "[linux/amd64->arm64 build 2/4] RUN make");
        let both = step("[internal] load build context", &["linux/arm64", "linux/amd64"]);
        assert_eq!(Names::new(2).full(&both), "[internal] load build context");
        assert_eq!(Names::new(3).full(&step("push", &["linux/arm64"])), "[linux/arm64] push");
    }
}
