//! Messages in streams of HTTP/2, as gRPC frames them: a byte that says whether it is compressed, its length in four, itself.

use std::future::poll_fn;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use prost::Message;

use crate::{pb, status};

/// The longest message, in either direction: BuildKit's limit, which frontends have built in.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// How much of a stream, and of all of them together, may be under way. The defaults of HTTP/2 (64 KiB) make a conversation of a
/// context's files.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;

const HEAD: usize = 5;

/// A message in its frame.
pub(crate) fn frame(message: &impl Message) -> Result<Bytes, pb::Status> {
    let length = message.encoded_len();
    let (Ok(short), true) = (u32::try_from(length), length <= MAX_MESSAGE) else { return Err(too_long(length)) };
    let mut bytes = BytesMut::with_capacity(HEAD + length);
    bytes.put_u8(0);
    bytes.put_u32(short);
    message.encode(&mut bytes).map_err(|_| too_long(length))?;
    Ok(bytes.freeze())
}

/// The one message of a stream, out of its frame; nothing if there is none.
pub(crate) async fn read(stream: &mut RecvStream) -> Result<Option<Bytes>, pb::Status> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.map_err(broken)?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > HEAD + MAX_MESSAGE {
            return Err(too_long(bytes.len() - HEAD));
        }
        stream.flow_control().release_capacity(chunk.len()).map_err(broken)?;
    }
    let bytes = bytes.freeze();
    let Some((head, message)) = bytes.split_first_chunk::<HEAD>() else {
        return if bytes.is_empty() { Ok(None) } else { Err(cut(bytes.len())) };
    };
    let [compressed, length @ ..] = head;
    match usize::try_from(u32::from_be_bytes(*length)) {
        _ if *compressed != 0 => Err(status::error(status::UNIMPLEMENTED, "compressed messages are not understood")),
        Ok(length) if length > MAX_MESSAGE => Err(too_long(length)),
        Ok(length) if length == message.len() => Ok(Some(bytes.slice(HEAD..))),
        _ => Err(cut(bytes.len())),
    }
}

/// Sends bytes as fast as the other side takes them.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let Some(capacity) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Err(h2::Reason::CANCEL.into());
        };
        let part = bytes.split_to(capacity?.min(bytes.len()));
        stream.send_data(part, false)?;
    }
    Ok(())
}

/// A message out of its bytes.
pub(crate) fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, pb::Status> {
    M::decode(bytes)
        .map_err(|error| status::error(status::INVALID_ARGUMENT, format!("not the method's message: {error}")))
}

/// What a caller is told when its connection broke.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn broken(error: h2::Error) -> pb::Status {
    status::error(status::UNAVAILABLE, format!("the connection broke: {error}"))
}

fn too_long(length: usize) -> pb::Status {
    status::error(status::RESOURCE_EXHAUSTED, format!("a message of {length} bytes: at most {MAX_MESSAGE} can be sent"))
}

fn cut(length: usize) -> pb::Status {
    status::error(status::INVALID_ARGUMENT, format!("{length} bytes are not one message in its frame"))
}
