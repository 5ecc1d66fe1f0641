//! The frontend's side of the protocol, as far as tests and the frontend among the examples need it.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{pb, status, wire};

/// A connection to a builder.
#[derive(Clone, Debug)]
pub struct Client {
    requests: SendRequest<Bytes>,
}

impl Client {
    /// Begins a conversation, which a task of its own carries on until the client is dropped.
    ///
    /// # Errors
    ///
    /// When the stream breaks, or who is at its other end does not speak HTTP/2.
    pub async fn connect<S>(stream: S) -> Result<Self, pb::Status>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(wire::STREAM_WINDOW)
            .initial_connection_window_size(wire::CONNECTION_WINDOW)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(wire::broken)?;
        // Whoever waits for an answer learns how the connection ended.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests })
    }

    /// Calls a method of the builder.
    ///
    /// # Errors
    ///
    /// What the builder says, or that it cannot be asked.
    pub async fn call<Q: Message, A: Message + Default>(&self, method: &str, request: &Q) -> Result<A, pb::Status> {
        self.call_path(&format!("/moby.buildkit.v1.frontend.LLBBridge/{method}"), request).await
    }

    /// Calls a method of any service.
    ///
    /// # Errors
    ///
    /// As of [`Client::call`].
    pub async fn call_path<Q: Message, A: Message + Default>(&self, path: &str, request: &Q) -> Result<A, pb::Status> {
        self.send(path, wire::frame(request)?).await
    }

    /// Calls a method with bytes that are in a frame already, or in none.
    pub(crate) async fn send<A: Message + Default>(&self, path: &str, body: Bytes) -> Result<A, pb::Status> {
        let head = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| status::error(status::INVALID_ARGUMENT, format!("{path}: {error}")))?;
        let mut requests = self.requests.clone().ready().await.map_err(wire::broken)?;
        let (response, mut stream) = requests.send_request(head, false).map_err(wire::broken)?;
        // A builder may answer before it has read everything, and what is left then cannot be sent.
        let sent = wire::send(&mut stream, body).await.and_then(|()| stream.send_data(Bytes::new(), true));
        let response = response.await.map_err(|error| wire::broken(sent.err().unwrap_or(error)))?;
        let head = status::read(response.headers());
        let mut body = response.into_body();
        let message = wire::read(&mut body).await?;
        let trailers = body.trailers().await.map_err(wire::broken)?.and_then(|headers| status::read(&headers));
        match (head.or(trailers), message) {
            (Some(status), Some(message)) if status.code == status::OK => wire::decode(message),
            (Some(status), _) if status.code != status::OK => Err(status),
            _ => Err(status::error(status::INTERNAL, format!("{path} was answered without a status or a message"))),
        }
    }
}
