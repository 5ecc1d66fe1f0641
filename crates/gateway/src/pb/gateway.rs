//! `frontend/gateway/pb/gateway.proto`: what a frontend asks for, and what it is told.
#![expect(missing_docs, reason = "the fields are the protocol's, which says what they mean")]

use std::collections::HashMap;

use prost::{Enumeration, Message, Oneof};

use super::{Definition, Platform, SourceInfo, SourceOp};

/// What a frontend comes to: one file system or several by name, and what is to be known of them.
#[derive(Clone, PartialEq, Message)]
pub struct Result {
    #[prost(oneof = "result::Result", tags = "1, 2, 3, 4")]
    pub result: Option<result::Result>,
    #[prost(map = "string, bytes", tag = "10")]
    pub metadata: HashMap<String, Vec<u8>>,
    #[prost(map = "string, message", tag = "12")]
    pub attestations: HashMap<String, Attestations>,
}

/// What [`Result`] may be.
pub mod result {
    use super::{Oneof, Ref, RefMap, RefMapDeprecated};

    /// The file systems.
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Result {
        #[prost(string, tag = "1")]
        RefDeprecated(String),
        #[prost(message, tag = "2")]
        RefsDeprecated(RefMapDeprecated),
        #[prost(message, tag = "3")]
        Ref(Ref),
        #[prost(message, tag = "4")]
        Refs(RefMap),
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct RefMapDeprecated {
    #[prost(map = "string, string", tag = "1")]
    pub refs: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Ref {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub def: Option<Definition>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RefMap {
    #[prost(map = "string, message", tag = "1")]
    pub refs: HashMap<String, Ref>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attestations {
    #[prost(message, repeated, tag = "1")]
    pub attestation: Vec<Attestation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attestation {
    #[prost(enumeration = "AttestationKind", tag = "1")]
    pub kind: i32,
    #[prost(map = "string, bytes", tag = "2")]
    pub metadata: HashMap<String, Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    pub r#ref: Option<Ref>,
    #[prost(string, tag = "4")]
    pub path: String,
    #[prost(string, tag = "5")]
    pub in_toto_predicate_type: String,
    #[prost(message, repeated, tag = "6")]
    pub in_toto_subjects: Vec<InTotoSubject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum AttestationKind {
    InToto = 0,
    Bundle = 1,
}

#[derive(Clone, PartialEq, Message)]
pub struct InTotoSubject {
    #[prost(enumeration = "InTotoSubjectKind", tag = "1")]
    pub kind: i32,
    #[prost(string, repeated, tag = "2")]
    pub digest: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum InTotoSubjectKind {
    Itself = 0,
    Raw = 1,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    pub result: Option<Result>,
    #[prost(message, optional, tag = "2")]
    pub error: Option<Status>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`. In details of BuildKit's errors the value is JSON.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// Every message without a field, of which there are several.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub struct InputsResponse {
    #[prost(map = "string, message", tag = "1")]
    pub definitions: HashMap<String, Definition>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveImageConfigRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
    #[prost(message, optional, tag = "2")]
    pub platform: Option<Platform>,
    #[prost(string, tag = "3")]
    pub resolve_mode: String,
    #[prost(string, tag = "4")]
    pub log_name: String,
    #[prost(int32, tag = "5")]
    pub resolver_type: i32,
    #[prost(string, tag = "6")]
    pub session_id: String,
    #[prost(string, tag = "7")]
    pub store_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveImageConfigResponse {
    #[prost(string, tag = "1")]
    pub digest: String,
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
    #[prost(string, tag = "3")]
    pub r#ref: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceMetaRequest {
    #[prost(message, optional, tag = "1")]
    pub source: Option<SourceOp>,
    #[prost(message, optional, tag = "2")]
    pub platform: Option<Platform>,
    #[prost(string, tag = "3")]
    pub log_name: String,
    #[prost(string, tag = "4")]
    pub resolve_mode: String,
    #[prost(message, optional, tag = "5")]
    pub git: Option<ResolveSourceGitRequest>,
    #[prost(message, optional, tag = "6")]
    pub image: Option<ResolveSourceImageRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceMetaResponse {
    #[prost(message, optional, tag = "1")]
    pub source: Option<SourceOp>,
    #[prost(message, optional, tag = "2")]
    pub image: Option<ResolveSourceImageResponse>,
    #[prost(message, optional, tag = "3")]
    pub git: Option<ResolveSourceGitResponse>,
    #[prost(message, optional, tag = "4")]
    pub http: Option<ResolveSourceHttpResponse>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceImageRequest {
    #[prost(bool, tag = "1")]
    pub no_config: bool,
    #[prost(bool, tag = "2")]
    pub attestation_chain: bool,
    #[prost(string, repeated, tag = "3")]
    pub resolve_attestations: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceImageResponse {
    #[prost(string, tag = "1")]
    pub digest: String,
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceGitRequest {
    #[prost(bool, tag = "1")]
    pub return_object: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceGitResponse {
    #[prost(string, tag = "1")]
    pub checksum: String,
    #[prost(string, tag = "2")]
    pub r#ref: String,
    #[prost(string, tag = "3")]
    pub commit_checksum: String,
    #[prost(bytes = "vec", tag = "4")]
    pub commit_object: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub tag_object: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResolveSourceHttpResponse {
    #[prost(string, tag = "1")]
    pub checksum: String,
    #[prost(string, tag = "2")]
    pub filename: String,
    #[prost(message, optional, tag = "3")]
    pub last_modified: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct SolveRequest {
    #[prost(message, optional, tag = "1")]
    pub definition: Option<Definition>,
    #[prost(string, tag = "2")]
    pub frontend: String,
    #[prost(map = "string, string", tag = "3")]
    pub frontend_opt: HashMap<String, String>,
    #[prost(bool, tag = "5")]
    pub allow_result_return: bool,
    #[prost(bool, tag = "6")]
    pub allow_result_array_ref: bool,
    #[prost(bool, tag = "10")]
    pub r#final: bool,
    #[prost(bytes = "vec", tag = "11")]
    pub exporter_attr: Vec<u8>,
    #[prost(message, repeated, tag = "12")]
    pub cache_imports: Vec<CacheOptionsEntry>,
    #[prost(map = "string, message", tag = "13")]
    pub frontend_inputs: HashMap<String, Definition>,
    #[prost(bool, tag = "14")]
    pub evaluate: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct CacheOptionsEntry {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(map = "string, string", tag = "2")]
    pub attrs: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SolveResponse {
    #[prost(string, tag = "1")]
    pub r#ref: String,
    #[prost(message, optional, tag = "3")]
    pub result: Option<Result>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadFileRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
    #[prost(string, tag = "2")]
    pub file_path: String,
    #[prost(message, optional, tag = "3")]
    pub range: Option<FileRange>,
    #[prost(int32, tag = "4")]
    pub mount_index: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct FileRange {
    #[prost(int64, tag = "1")]
    pub offset: i64,
    #[prost(int64, tag = "2")]
    pub length: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadFileResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadDirRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
    #[prost(string, tag = "2")]
    pub dir_path: String,
    #[prost(string, tag = "3")]
    pub include_pattern: String,
    #[prost(int32, tag = "4")]
    pub mount_index: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadDirResponse {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Stat>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StatFileRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
    #[prost(string, tag = "2")]
    pub path: String,
    #[prost(int32, tag = "3")]
    pub mount_index: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct StatFileResponse {
    #[prost(message, optional, tag = "1")]
    pub stat: Option<Stat>,
}

/// `fsutil/types/stat.proto`: a file. Its mode has Go's bits (`os.FileMode`).
#[derive(Clone, PartialEq, Message)]
pub struct Stat {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub mod_time: i64,
    #[prost(string, tag = "7")]
    pub linkname: String,
    #[prost(int64, tag = "8")]
    pub devmajor: i64,
    #[prost(int64, tag = "9")]
    pub devminor: i64,
    #[prost(map = "string, bytes", tag = "10")]
    pub xattrs: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct EvaluateRequest {
    #[prost(string, tag = "1")]
    pub r#ref: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PongResponse {
    #[prost(message, repeated, tag = "1")]
    pub frontend_api_caps: Vec<ApiCap>,
    #[prost(message, repeated, tag = "2")]
    pub llb_caps: Vec<ApiCap>,
    #[prost(message, repeated, tag = "3")]
    pub workers: Vec<WorkerRecord>,
}

/// `util/apicaps/pb/caps.proto`: something that this builder can do.
#[derive(Clone, PartialEq, Message)]
pub struct ApiCap {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    #[prost(bool, tag = "3")]
    pub deprecated: bool,
    #[prost(string, tag = "4")]
    pub disabled_reason: String,
    #[prost(string, tag = "5")]
    pub disabled_reason_msg: String,
    #[prost(string, tag = "6")]
    pub disabled_alternative: String,
}

/// `api/types/worker.proto`: who runs the operations.
#[derive(Clone, PartialEq, Message)]
pub struct WorkerRecord {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(map = "string, string", tag = "2")]
    pub labels: HashMap<String, String>,
    #[prost(message, repeated, tag = "3")]
    pub platforms: Vec<Platform>,
}

#[derive(Clone, PartialEq, Message)]
pub struct WarnRequest {
    #[prost(string, tag = "1")]
    pub digest: String,
    #[prost(int64, tag = "2")]
    pub level: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub short: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub detail: Vec<Vec<u8>>,
    #[prost(string, tag = "5")]
    pub url: String,
    #[prost(message, optional, tag = "6")]
    pub info: Option<SourceInfo>,
    #[prost(message, repeated, tag = "7")]
    pub ranges: Vec<super::Range>,
}
