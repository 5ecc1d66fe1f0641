//! The builder's side of the protocol: a server of gRPC with one client, the frontend at the other end of the stream.
//!
//! Only what the protocol needs of gRPC is here: a call is one message and answered by one. Calls are independent: each has a
//! task, which ends when its caller takes the call back, and all end with the connection.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::{pb, status, wire};

/// As many calls as may be under way. A frontend has few for each platform; a message of each is in memory.
const MAX_CALLS: u32 = 128;

/// Headers of a call are some hundred bytes.
const MAX_HEADERS: u32 = 64 << 10;

const SERVICE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";

/// What a frontend may ask of a builder. The methods have the protocol's names; an error is what the frontend is told.
pub trait Bridge: Send + Sync + 'static {
    /// Which image a reference stands for, and its config.
    fn resolve_image_config(
        &self,
        request: pb::ResolveImageConfigRequest,
    ) -> impl Future<Output = Result<pb::ResolveImageConfigResponse, pb::Status>> + Send;

    /// What a source stands for: an image, a commit, a file of the web.
    fn resolve_source_meta(
        &self,
        request: pb::ResolveSourceMetaRequest,
    ) -> impl Future<Output = Result<pb::ResolveSourceMetaResponse, pb::Status>> + Send;

    /// Takes a definition, and gives names to what it will come to.
    fn solve(&self, request: pb::SolveRequest) -> impl Future<Output = Result<pb::SolveResponse, pb::Status>> + Send;

    /// A file of a result.
    fn read_file(
        &self,
        request: pb::ReadFileRequest,
    ) -> impl Future<Output = Result<pb::ReadFileResponse, pb::Status>> + Send;

    /// The files in a folder of a result.
    fn read_dir(
        &self,
        request: pb::ReadDirRequest,
    ) -> impl Future<Output = Result<pb::ReadDirResponse, pb::Status>> + Send;

    /// What a file of a result is.
    fn stat_file(
        &self,
        request: pb::StatFileRequest,
    ) -> impl Future<Output = Result<pb::StatFileResponse, pb::Status>> + Send;

    /// Builds a result, where [`Bridge::solve`] need not have.
    fn evaluate(&self, request: pb::EvaluateRequest) -> impl Future<Output = Result<pb::Empty, pb::Status>> + Send;

    /// What this builder can do.
    fn ping(&self, request: pb::Empty) -> impl Future<Output = Result<pb::PongResponse, pb::Status>> + Send;

    /// The frontend's last word: what it came to, or why it did not. (`Return`, which no function can be called.)
    fn returned(&self, request: pb::ReturnRequest) -> impl Future<Output = Result<pb::Empty, pb::Status>> + Send;

    /// The definitions that the frontend was called with.
    fn inputs(&self, request: pb::Empty) -> impl Future<Output = Result<pb::InputsResponse, pb::Status>> + Send;

    /// Something that the user should know.
    fn warn(&self, request: pb::WarnRequest) -> impl Future<Output = Result<pb::Empty, pb::Status>> + Send;
}

/// Why a conversation ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What came is no HTTP/2, or not by its rules.
    #[error(
        "it does not speak BuildKit's protocol on its standard streams ({0}): is the image a frontend, and does it \
         write its log to the standard error?"
    )]
    Protocol(h2::Error),
    /// The stream.
    #[error("the connection broke: {0}")]
    Io(io::Error),
}

/// Answers a frontend's calls until it closes the connection, which it also does by ending.
///
/// # Errors
///
/// When the stream breaks, or what comes from it is not the protocol.
pub async fn serve<S, B>(stream: S, bridge: Arc<B>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Bridge,
{
    let mut connection = match h2::server::Builder::new()
        .initial_window_size(wire::STREAM_WINDOW)
        .initial_connection_window_size(wire::CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_CALLS)
        .max_header_list_size(MAX_HEADERS)
        .handshake(stream)
        .await
    {
        Ok(connection) => connection,
        Err(error) => return ended(error),
    };
    let mut calls = JoinSet::new();
    while let Some(call) = connection.accept().await {
        match call {
            Ok((request, respond)) => calls.spawn(handle(request, respond, Arc::clone(&bridge))),
            Err(error) => return ended(error),
        };
        while calls.try_join_next().is_some() {}
    }
    Ok(())
}

/// A frontend that exits does not take leave, so the end of the stream is an end like any other.
fn ended(error: h2::Error) -> Result<(), Error> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    if !error.is_io() {
        return Err(Error::Protocol(error));
    }
    match error.into_io() {
        Some(error) if matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) => Ok(()),
        Some(error) => Err(Error::Io(error)),
        None => Ok(()),
    }
}

/// One call. What cannot be sent has nobody who waits for it.
async fn handle<B: Bridge>(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, bridge: Arc<B>) {
    let (head, mut body) = request.into_parts();
    let answer = tokio::select! {
        biased;
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
        answer = answer(&*bridge, head.uri.path(), &mut body) => answer,
    };
    let _ = match answer {
        Ok(message) => succeed(&mut respond, message).await,
        Err(status) => fail(&mut respond, status),
    };
}

async fn succeed(respond: &mut SendResponse<Bytes>, message: Bytes) -> Result<(), h2::Error> {
    let mut stream = start(respond, false, HeaderMap::new())?;
    wire::send(&mut stream, message).await?;
    let mut trailers = HeaderMap::new();
    status::write(&pb::Status::default(), &mut trailers);
    stream.send_trailers(trailers)
}

/// An error needs no body: its headers are the last already.
fn fail(respond: &mut SendResponse<Bytes>, mut status: pb::Status) -> Result<(), h2::Error> {
    if status.code == status::OK {
        status.code = status::UNKNOWN;
    }
    let mut headers = HeaderMap::new();
    status::write(&status, &mut headers);
    start(respond, true, headers).map(drop)
}

fn start(
    respond: &mut SendResponse<Bytes>,
    last: bool,
    mut headers: HeaderMap,
) -> Result<SendStream<Bytes>, h2::Error> {
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    respond.send_response(response, last)
}

/// Finds the method, and calls it.
async fn answer<B: Bridge>(bridge: &B, path: &str, body: &mut RecvStream) -> Result<Bytes, pb::Status> {
    let Some(method) = path.strip_prefix(SERVICE) else {
        return if path == "/grpc.health.v1.Health/Check" {
            wire::frame(&Health { status: 1 })
        } else {
            Err(unknown(path))
        };
    };
    match method {
        "ResolveImageConfig" => wire::frame(&bridge.resolve_image_config(request(body).await?).await?),
        "ResolveSourceMeta" => wire::frame(&bridge.resolve_source_meta(request(body).await?).await?),
        "Solve" => wire::frame(&bridge.solve(request(body).await?).await?),
        "ReadFile" => wire::frame(&bridge.read_file(request(body).await?).await?),
        "ReadDir" => wire::frame(&bridge.read_dir(request(body).await?).await?),
        "StatFile" => wire::frame(&bridge.stat_file(request(body).await?).await?),
        "Evaluate" => wire::frame(&bridge.evaluate(request(body).await?).await?),
        "Ping" => wire::frame(&bridge.ping(request(body).await?).await?),
        "Return" => wire::frame(&bridge.returned(request(body).await?).await?),
        "Inputs" => wire::frame(&bridge.inputs(request(body).await?).await?),
        "Warn" => wire::frame(&bridge.warn(request(body).await?).await?),
        "NewContainer" | "ReleaseContainer" | "ExecProcess" | "ReadFileContainer" | "ReadDirContainer"
        | "StatFileContainer" => {
            let message = format!("{method}: archipel does not run interactive containers for frontends yet");
            Err(status::error(status::UNIMPLEMENTED, message))
        }
        _ => Err(unknown(path)),
    }
}

/// The message that a call brings.
async fn request<M: Message + Default>(body: &mut RecvStream) -> Result<M, pb::Status> {
    let none = || status::error(status::INVALID_ARGUMENT, "the call brings no message");
    wire::decode(wire::read(body).await?.ok_or_else(none)?)
}

fn unknown(path: &str) -> pb::Status {
    status::error(status::UNIMPLEMENTED, format!("archipel does not know the method {path}"))
}

/// `grpc.health.v1.HealthCheckResponse`. There are frontends that ask before anything else.
#[derive(Clone, PartialEq, Message)]
struct Health {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests;
