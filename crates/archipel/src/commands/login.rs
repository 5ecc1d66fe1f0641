//! `archipel login`.

use std::io::Read;

use archipel_remote::{Credentials, Secret};

use super::shared;
use crate::environment::Environment;
use crate::errors::{Error, status};
use crate::render::diagnostic;
use crate::{prompt, render, runtime};

/// A password longer than this is a mistake: somebody piped a file.
const MAX_SECRET: u64 = 64 << 10;

/// Log in to a registry, and keep the credentials where docker keeps them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The registry [default: docker.io]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
    /// User name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password or token; other users of the machine can see it while the command runs
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Take the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

/// Checks the credentials with the registry, then stores them.
pub(super) fn run(args: Args, environment: &Environment) -> Result<u8, Error> {
    let registry = shared::registry_name(args.registry.as_deref())?;
    let user = match args.username {
        Some(user) => user,
        None => prompt::line("Username: ")?,
    };
    let secret = match args.password {
        Some(password) => {
            diagnostic::warn(
                "a password on the command line can be seen by other users of this machine: use --password-stdin",
            );
            Secret::new(password)
        }
        None if args.password_stdin => from_stdin()?,
        None => prompt::secret("Password: ")?,
    };
    if user.is_empty() || secret.expose().is_empty() {
        return Err(Error::Usage("a user name and a password are needed, and one of them is empty".into()));
    }
    let (client, file) = (shared::client(environment)?, environment.docker_config()?);
    runtime::block_on(async {
        client.check_login(&registry, &user, &secret).await?;
        Ok(Credentials::store(&file, &registry, &user, &secret).await?)
    })?;
    render::print("Login Succeeded\n")?;
    Ok(status::OK)
}

/// Everything up to the end, without the newline that `echo` adds.
fn from_stdin() -> Result<Secret, Error> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_SECRET)
        .read_to_string(&mut text)
        .map_err(Error::io("the password on standard input"))?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    Ok(secret)
}
