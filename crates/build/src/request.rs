//! What is to be built: the binary resolves its flags and the environment into this, and the library reads nothing else.

use std::path::PathBuf;

use archipel_dockerfile::boolean;
use archipel_oci::{Platform, Reference};

use crate::{CacheExport, CacheLocation, Error, Provenance, Sbom};

/// One build.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where files come from.
    pub context: Context,
    /// Where the Dockerfile is.
    pub dockerfile: Dockerfile,
    /// `--build-context`: further trees and images by name.
    pub named_contexts: Vec<(String, Context)>,
    /// The name of the stage to build; the last one if none.
    pub target: Option<String>,
    /// The platforms to build for; the machine's own if empty.
    pub platforms: Vec<Platform>,
    /// `--build-arg`.
    pub build_args: Vec<(String, String)>,
    /// `--label`.
    pub labels: Vec<(String, String)>,
    /// `--annotation`: as written, prefixes included.
    pub annotations: Vec<(String, String)>,
    /// Names for the result.
    pub tags: Vec<Reference>,
    /// What to do with the result. Nothing: keep it in the store under its tags.
    pub outputs: Vec<Output>,
    /// Run every step, whatever the cache has.
    pub no_cache: bool,
    /// The stages whose steps run whatever the cache has.
    pub no_cache_filter: Vec<String>,
    /// `--cache-from`: where else steps may be found.
    pub cache_from: Vec<CacheLocation>,
    /// `--cache-to type=inline`: the image says which steps its layers are.
    pub inline_cache: bool,
    /// `--cache-to`: where else steps are written to.
    pub cache_to: Vec<CacheExport>,
    /// `--provenance`.
    pub provenance: Option<Provenance>,
    /// `--sbom`.
    pub sbom: Option<Sbom>,
    /// Ask registries for base images that are here under their name.
    pub pull: bool,
    /// `--secret`.
    pub secrets: Vec<Secret>,
    /// `--ssh`: id and socket or key paths.
    pub ssh: Vec<(String, Vec<PathBuf>)>,
    /// `--network` of RUN steps: `default`, `host` or `none`.
    pub network: Option<String>,
    /// `--add-host`: name and address.
    pub add_hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<u64>,
    /// `--ulimit`: name, soft, hard.
    pub ulimits: Vec<(String, u64, u64)>,
    /// `--allow`: `security.insecure`, `network.host`, `device[=NAME[,alias=NAME]]`.
    pub allow: Vec<String>,
    /// Folders of CDI specs, for `RUN --device`; a later one goes before an earlier one.
    pub device_specs: Vec<PathBuf>,
    /// How many steps run at once; the machine's processors if 0.
    pub jobs: usize,
}

#[cfg(test)]
impl Request {
    /// One that asks for nothing.
    pub(crate) fn empty() -> Self {
        Self {
            context: Context::Empty,
            dockerfile: Dockerfile::Default,
            named_contexts: Vec::new(),
            target: None,
            platforms: Vec::new(),
            build_args: Vec::new(),
            labels: Vec::new(),
            annotations: Vec::new(),
            tags: Vec::new(),
            outputs: Vec::new(),
            no_cache: false,
            no_cache_filter: Vec::new(),
            cache_from: Vec::new(),
            inline_cache: false,
            cache_to: Vec::new(),
            provenance: None,
            sbom: None,
            pull: false,
            secrets: Vec::new(),
            ssh: Vec::new(),
            network: None,
            add_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            allow: Vec::new(),
            device_specs: Vec::new(),
            jobs: 0,
        }
    }
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org): seconds since 1970, of a time that a calendar has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDateEpoch(pub(crate) i64);

impl std::str::FromStr for SourceDateEpoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.parse().ok().filter(|seconds| jiff::Timestamp::from_second(*seconds).is_ok());
        seconds.map(Self).ok_or_else(|| {
            format!("invalid SOURCE_DATE_EPOCH: {text}; it should be seconds since 1970, of a year with four digits")
        })
    }
}

impl Request {
    /// Whether the image is to say which steps its layers are.
    pub(crate) fn keeps_inline_cache(&self) -> bool {
        self.build_arg("BUILDKIT_INLINE_CACHE").and_then(boolean) == Some(true) || self.inline_cache
    }

    /// Whether the result is an index, or a folder for each platform. With one platform it is where that is asked for.
    pub(crate) fn multi_platform(&self) -> Result<bool, Error> {
        let several = self.platforms.len() > 1;
        let Some(text) = self.build_arg("BUILDKIT_MULTI_PLATFORM").filter(|text| !text.is_empty()) else {
            return Ok(several);
        };
        match boolean(text) {
            None => Err(Error::Request(format!("invalid boolean value for multi-platform: {text}"))),
            Some(false) if several => {
                Err(Error::Request("conflicting config: returning multiple target platforms is not allowed".into()))
            }
            Some(wanted) => Ok(wanted),
        }
    }

    /// The value of a `--build-arg`; of several the last counts.
    pub(crate) fn build_arg(&self, wanted: &str) -> Option<&str> {
        self.build_args.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// A `--build-context` and its name as it was given. Names are compared without case, and as references where they are some.
    pub(crate) fn named_context(&self, name: &str) -> Option<(String, Context)> {
        let wanted = normal(name);
        self.named_contexts.iter().rev().find(|(known, _)| normal(known) == wanted).cloned()
    }
}

/// A named context's name as it is compared: those of images are equal with and without what goes without saying.
pub(crate) fn normal(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.parse::<Reference>() {
        Ok(reference) => reference.familiar().trim_end_matches(":latest").to_owned(),
        Err(_) => lower,
    }
}

/// A tree of files, or an image.
#[derive(Clone, Debug)]
pub enum Context {
    /// A folder.
    Local(PathBuf),
    /// A tar (or a Dockerfile alone) that was given on standard input, spooled to a file by the binary.
    Stdin(PathBuf),
    /// `https://host/repo.git#ref:subdir`, `git@host:repo`.
    Git(String),
    /// `http(s)://host/context.tar.gz` or a Dockerfile's URL.
    Http(String),
    /// `docker-image://REF`.
    Image(Reference),
    /// `oci-layout://DIR[:TAG][@DIGEST]`.
    OciLayout {
        /// The layout's folder.
        path: PathBuf,
        /// Which image of it.
        target: Option<String>,
    },
    /// No files at all: a Dockerfile came alone.
    Empty,
}

/// Where the Dockerfile is.
#[derive(Clone, Debug)]
pub enum Dockerfile {
    /// `Dockerfile` (else `dockerfile`) at the context's root.
    Default,
    /// A path: of this machine for a local context, else within the context.
    Path(PathBuf),
    /// The text itself (`-f -`).
    Text(String),
    /// `-f http(s)://...`: a file of a web server.
    Url(String),
}

/// A secret that RUN steps may mount. Its value never enters a key, a layer, an event or an error.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its name in `--mount=type=secret,id=`.
    pub id: String,
    /// Where the value is.
    pub source: SecretSource,
}

/// Where a secret's value is.
#[derive(Clone)]
pub enum SecretSource {
    /// In a file, read when a step needs it.
    File(PathBuf),
    /// Here (from the environment).
    Value(Vec<u8>),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Value(_) => f.write_str("Value(***)"),
        }
    }
}

/// What to do with the result (`--output`).
#[derive(Clone, Debug)]
pub enum Output {
    /// `type=image`: keep it in the store under its tags; with `push`, send it to their registries.
    Image {
        /// Send it.
        push: bool,
        /// Names beside `--tag`.
        names: Vec<Reference>,
        /// `push-by-digest=true`: send it to the repositories of its names, and give it no tag there.
        by_digest: bool,
        /// How layers are compressed, ...
        options: ImageOptions,
    },
    /// `type=oci`: an OCI layout, as a tar or a folder.
    Oci {
        /// The file or folder; `-` (as `None`) is standard output.
        dest: Option<PathBuf>,
        /// A tar rather than a folder.
        tar: bool,
        /// Names beside `--tag`.
        names: Vec<Reference>,
        /// How layers are compressed, ...
        options: ImageOptions,
    },
    /// `type=docker`: an archive for `docker load`; one platform.
    Docker {
        /// The file; `None` is standard output.
        dest: Option<PathBuf>,
        /// Names beside `--tag`.
        names: Vec<Reference>,
        /// How layers are compressed, ...
        options: ImageOptions,
    },
    /// `type=local`: the files, in a folder; with several platforms in one folder each.
    Local {
        /// The folder.
        dest: PathBuf,
        /// `mode=delete`: what is in the folder and not in the result is removed.
        delete: bool,
        /// `platform-split=`: a folder for each platform; as if by itself with several platforms.
        split: Option<bool>,
        /// `source-date-epoch=`: the time of all files, instead of the build's.
        epoch: Option<SourceDateEpoch>,
    },
    /// `type=tar`: the files, in a tar.
    Tar {
        /// The file; `None` is standard output.
        dest: Option<PathBuf>,
        /// `platform-split=`: the archive has folders as it would without; a statement of provenance says its platform where
        /// this is false.
        split: Option<bool>,
        /// As for [`Output::Local`].
        epoch: Option<SourceDateEpoch>,
    },
    /// `type=cacheonly`: nothing leaves the cache.
    CacheOnly,
}

impl Output {
    /// What is done where nothing is said: the image is kept in the store.
    pub(crate) fn kept() -> Self {
        Self::Image { push: false, names: Vec::new(), by_digest: false, options: ImageOptions::default() }
    }
}

/// How an image is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// `compression=`; gzip if none.
    pub compression: Option<Compression>,
    /// `compression-level=`.
    pub level: Option<i32>,
    /// `force-compression=true`: base layers too.
    pub force_compression: bool,
    /// `oci-mediatypes=false`: Docker's types, for registries and runtimes that know no others.
    pub docker_types: bool,
    /// `oci-artifact=false`: attestations as images, for readers of the time before OCI 1.1.
    pub attestation_images: bool,
    /// `rewrite-timestamp=true`: clamp the times in layers to `SOURCE_DATE_EPOCH`. Without one nothing is rewritten.
    pub rewrite_timestamp: bool,
    /// `source-date-epoch=`: instead of the build's.
    pub source_date_epoch: Option<SourceDateEpoch>,
    /// `name=`, `annotation.KEY=`: as written.
    pub annotations: Vec<(String, String)>,
}

/// `compression=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None at all.
    Uncompressed,
    /// What every registry and runtime reads.
    Gzip,
    /// Smaller and quicker; from Docker 23 on.
    Zstd,
}
