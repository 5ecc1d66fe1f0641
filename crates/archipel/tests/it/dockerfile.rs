//! What is wrong in a Dockerfile is shown where it is.

use crate::util::{archipel, transcript};

#[test]
fn needs_userns_every_error_is_shown_with_its_place() {
    let archipel = archipel();
    archipel.home.context("c", [("Dockerfile", "FROM scratch\nCOPPY a b\nRUN --mout=type=bind true\nEXPOSE x/y/z\n")]);
    insta::assert_snapshot!(transcript(&archipel, &archipel.run(["build", "c"])), @r"
    $ archipel build c
    error: unknown instruction: COPPY (did you mean COPY?)
     --> Dockerfile:2:1
      |
    2 | COPPY a b
      | ^^^^^

    error: unknown flag: --mout (did you mean mount?)
     --> Dockerfile:3:5
      |
    3 | RUN --mout=type=bind true
      |     ^^^^^^^^^^^^^^^^

    error: Dockerfile has 2 errors
    [exit 1]
    ");
}
