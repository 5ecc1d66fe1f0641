//! Registry client: pull, push, credentials, mirrors.
