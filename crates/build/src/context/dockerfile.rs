//! Which text is the Dockerfile.

use std::path::{Path, PathBuf};

use super::local::text_of;
use crate::exec::blocking;
use crate::source::address;
use crate::{Engine, Error, Request, request};

/// Where it is, once everything that must be fetched for it is here.
#[derive(Clone, Debug)]
pub(super) enum Dockerfile {
    /// `Dockerfile` (else `dockerfile`) at the context's root.
    Default,
    /// A path: of this machine for a local context, else within the context.
    Path(PathBuf),
    /// The text itself, and what it is called.
    Text { name: String, text: String },
}

impl Dockerfile {
    pub(super) async fn find(request: &Request, engine: &Engine) -> Result<Self, Error> {
        match request.dockerfile.clone() {
            request::Dockerfile::Default => Ok(Self::Default),
            request::Dockerfile::Path(path) => Ok(Self::Path(path)),
            request::Dockerfile::Text(text) => Ok(Self::Text { name: "Dockerfile".into(), text }),
            request::Dockerfile::Url(url) => {
                let found = engine.http_file(&url, None, request).await?;
                let name = address(&url);
                blocking(move || {
                    let file = std::fs::File::open(&found.path);
                    let file = file.map_err(Error::io(found.path.display().to_string()))?;
                    let text = text_of(file, Path::new(&name))?;
                    Ok(Self::Text { name, text })
                })
                .await
            }
        }
    }
}
