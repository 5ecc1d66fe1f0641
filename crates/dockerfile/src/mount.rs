//! `RUN --mount`, with its options understood.

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// `type=bind`.
    Bind(BindMount),
    /// `type=cache`.
    Cache(CacheMount),
    /// `type=tmpfs`.
    Tmpfs(TmpfsMount),
    /// `type=secret`.
    Secret(SecretMount),
    /// `type=ssh`.
    Ssh(SshMount),
}

/// `type=bind`: a tree that is only there while the command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// The stage, named context or image; the build context if none.
    pub from: Option<String>,
    /// The path there, absolute.
    pub source: String,
    /// The path here, absolute.
    pub target: String,
    /// Whether the command may write; what it writes is thrown away.
    pub writable: bool,
}

/// `type=cache`: a directory that stays from build to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMount {
    /// Its name; the target's if none is given.
    pub id: String,
    /// Where its first content comes from: a stage, named context or image.
    pub from: Option<String>,
    /// The path there, absolute.
    pub source: String,
    /// The path here, absolute.
    pub target: String,
    /// Who else may use it at the same time.
    pub sharing: Sharing,
    /// Whether the command may not write.
    pub read_only: bool,
    /// The owner that it is made with.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Its mode; 0755 if none is given.
    pub mode: Option<u32>,
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Everybody, each one a directory of their own.
    Private,
    /// One after the other.
    Locked,
}

/// `type=tmpfs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpfsMount {
    /// The path, absolute.
    pub target: String,
    /// The most bytes that it takes.
    pub size: Option<u64>,
    /// Whether the command may not write.
    pub read_only: bool,
}

/// `type=secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretMount {
    /// Which secret.
    pub id: String,
    /// The file that it is shown in, absolute.
    pub target: Option<String>,
    /// The environment variable that it is shown in.
    pub env: Option<String>,
    /// Whether the step fails without it.
    pub required: bool,
    /// The file's owner; root if none is given.
    pub uid: Option<u32>,
    /// The file's group.
    pub gid: Option<u32>,
    /// The file's mode; 0400 if none is given.
    pub mode: Option<u32>,
}

/// `type=ssh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshMount {
    /// Which agent.
    pub id: String,
    /// The socket's path, absolute; `/run/buildkit/ssh_agent.N` if none is given.
    pub target: Option<String>,
    /// Whether the step fails without it.
    pub required: bool,
    /// The socket's owner.
    pub uid: Option<u32>,
    /// The socket's group.
    pub gid: Option<u32>,
    /// The socket's mode; 0600 if none is given.
    pub mode: Option<u32>,
}
