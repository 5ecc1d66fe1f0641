//! The shell script of a job, as GitLab's runner makes it: it goes to the standard input of the shell that the image has.
//!
//! `set -o errexit`, and `pipefail` where the shell knows it; the variables, exported; then each command with `$ command` before it,
//! green where somebody sees colours. The commands read nothing from standard input: what they would read is this script. They run in a subshell, for
//! otherwise bash makes status 1 of every failure (the runner has this behind `FF_USE_NEW_BASH_EVAL_STRATEGY`).

use std::fmt::Write as _;

const GREEN: &str = "\u{1b}[32;1m";
const RESET: &str = "\u{1b}[0;m";

/// Finds bash, else sh, where the runner looks for them. The image's entry point gets it as its command.
const DETECT: &str = "\
if [ -x /usr/local/bin/bash ]; then exec /usr/local/bin/bash
elif [ -x /usr/bin/bash ]; then exec /usr/bin/bash
elif [ -x /bin/bash ]; then exec /bin/bash
elif [ -x /usr/local/bin/sh ]; then exec /usr/local/bin/sh
elif [ -x /usr/bin/sh ]; then exec /usr/bin/sh
elif [ -x /bin/sh ]; then exec /bin/sh
elif [ -x /busybox/sh ]; then exec /busybox/sh
else echo shell not found; exit 1
fi";

/// The command that is given to the image's entry point.
#[must_use]
pub fn shell() -> Vec<String> {
    ["sh", "-c", DETECT].map(str::to_owned).to_vec()
}

/// Writes a script.
///
/// `variables` whose names a shell cannot have are left out, as nothing could use them.
#[must_use]
pub fn write<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    dir: &str,
    commands: impl IntoIterator<Item = &'a str>,
    colours: bool,
) -> String {
    let mut body = String::new();
    for (name, value) in variables.into_iter().filter(|(name, _)| is_name(name)) {
        let _ = writeln!(body, "export {name}={}", quote(value)); // a string takes everything
    }
    let _ = writeln!(body, "cd {}", quote(dir));
    for command in commands {
        let command = command.trim();
        let _ = writeln!(body, "printf '%s\\n' {}\n{command}", quote(&echo(command, colours)));
    }
    format!(
        "trap 'exit 1' TERM\n\
         if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi; set -o errexit\n\
         set +o noclobber\n\
         : | (eval {})\n\
         exit 0\n",
        quote(&body)
    )
}

/// What is shown of a command before it runs.
fn echo(command: &str, colours: bool) -> String {
    let shown = match command.split_once('\n') {
        Some((first, _)) => format!("$ {first} # collapsed multi-line command"),
        None => format!("$ {command}"),
    };
    if colours { format!("{GREEN}{shown}{RESET}") } else { shown }
}

/// A word that every shell takes as it is.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether a shell can have a variable of that name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs a script as a job would, under a shell of this machine.
    fn run(shell: &str, variables: &[(&str, &str)], commands: &[&str]) -> (Option<i32>, String) {
        let script = write(variables.iter().copied(), "/", commands.iter().copied(), true);
        let mut child =
            Command::new(shell).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn commands_run_and_are_shown() {
        for shell in ["sh", "bash"] {
            let variables = [("A", "it's $HOME \\n \"x\""), ("bad-name", "x"), ("CI", "true")];
            let (code, output) = run(shell, &variables, &["echo \"$A\" $CI", "for i in 1 2\ndo echo $i\ndone", "pwd"]);
            assert_eq!(code, Some(0));
            let expected = "\u{1b}[32;1m$ echo \"$A\" $CI\u{1b}[0;m\nit's $HOME \\n \"x\" true\n\
                            \u{1b}[32;1m$ for i in 1 2 # collapsed multi-line command\u{1b}[0;m\n1\n2\n\
                            \u{1b}[32;1m$ pwd\u{1b}[0;m\n/\n";
            // dash's echo makes a line end of `\n`, which is not the script's doing.
            assert_eq!(output.replace("$HOME \n \"x\"", "$HOME \\n \"x\""), expected);
        }
    }

    #[test]
    fn without_colours_there_are_no_escapes() {
        let script = write([("CI", "true")], "/", ["pwd", "for i in 1 2\ndo echo $i\ndone"], false);
        assert!(script.contains("$ pwd") && script.contains("$ for i in 1 2 # collapsed"), "{script}");
        assert!(!script.contains('\u{1b}'), "{script}");
    }

    #[test]
    fn the_first_failure_ends_it() {
        for shell in ["sh", "bash"] {
            assert_eq!(run(shell, &[], &["(exit 3)", "echo no"]).0, Some(3), "{shell}");
            assert!(!run(shell, &[], &["false", "echo reached"]).1.contains("\nreached"));
        }
        assert_eq!(run("bash", &[], &["(exit 4) | true"]).0, Some(4), "pipefail");
    }

    #[test]
    fn commands_read_nothing() {
        let (code, output) = run("bash", &[], &["cat", "echo after", "read x || echo none"]);
        assert_eq!(code, Some(0));
        assert!(output.contains("\nafter\n") && output.ends_with("none\n"), "{output}");
    }
}
