use bytes::BufMut as _;
use tokio::sync::{Barrier, Notify};

use super::*;
use crate::client::Client;

/// A builder that tells what it was asked.
#[derive(Debug)]
struct Echo {
    both: Barrier,
    dropped: Arc<Notify>,
}

/// Tells when it goes.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Bridge for Echo {
    async fn resolve_image_config(
        &self,
        request: pb::ResolveImageConfigRequest,
    ) -> Result<pb::ResolveImageConfigResponse, pb::Status> {
        let config = request.platform.unwrap_or_default().architecture.into_bytes();
        Ok(pb::ResolveImageConfigResponse { digest: "sha256:0".into(), config, r#ref: request.r#ref })
    }

    async fn resolve_source_meta(
        &self,
        request: pb::ResolveSourceMetaRequest,
    ) -> Result<pb::ResolveSourceMetaResponse, pb::Status> {
        Ok(pb::ResolveSourceMetaResponse { source: request.source, ..pb::ResolveSourceMetaResponse::default() })
    }

    async fn solve(&self, request: pb::SolveRequest) -> Result<pb::SolveResponse, pb::Status> {
        match request.frontend.as_str() {
            "both" => {
                self.both.wait().await;
            }
            "never" => {
                let _guard = Guard(Arc::clone(&self.dropped));
                self.both.wait().await;
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let result = pb::result::Result::Ref(pb::Ref { id: request.frontend, def: request.definition });
        let result = pb::Result { result: Some(result), ..pb::Result::default() };
        Ok(pb::SolveResponse { result: Some(result), ..pb::SolveResponse::default() })
    }

    async fn read_file(&self, request: pb::ReadFileRequest) -> Result<pb::ReadFileResponse, pb::Status> {
        let length = usize::try_from(request.range.unwrap_or_default().length).unwrap();
        Ok(pb::ReadFileResponse { data: request.file_path.into_bytes().into_iter().cycle().take(length).collect() })
    }

    async fn read_dir(&self, request: pb::ReadDirRequest) -> Result<pb::ReadDirResponse, pb::Status> {
        let entry = pb::Stat { path: request.include_pattern, ..pb::Stat::default() };
        Ok(pb::ReadDirResponse { entries: vec![entry] })
    }

    async fn stat_file(&self, request: pb::StatFileRequest) -> Result<pb::StatFileResponse, pb::Status> {
        let detail = pb::Any { type_url: "a/b".into(), value: request.path.clone().into_bytes() };
        Err(pb::Status { details: vec![detail], ..status::error(status::NOT_FOUND, request.path) })
    }

    async fn evaluate(&self, request: pb::EvaluateRequest) -> Result<pb::Empty, pb::Status> {
        Err(status::error(status::OK, request.r#ref))
    }

    async fn ping(&self, _: pb::Empty) -> Result<pb::PongResponse, pb::Status> {
        let cap = pb::ApiCap { id: "solve.base".into(), enabled: true, ..pb::ApiCap::default() };
        Ok(pb::PongResponse { frontend_api_caps: vec![cap], ..pb::PongResponse::default() })
    }

    async fn returned(&self, request: pb::ReturnRequest) -> Result<pb::Empty, pb::Status> {
        request.error.map_or(Ok(pb::Empty {}), Err)
    }

    async fn inputs(&self, _: pb::Empty) -> Result<pb::InputsResponse, pb::Status> {
        Ok(pb::InputsResponse { definitions: [("in".into(), pb::Definition::default())].into() })
    }

    async fn warn(&self, request: pb::WarnRequest) -> Result<pb::Empty, pb::Status> {
        Err(status::error(status::UNKNOWN, format!("{}: {:?}", request.level, request.short)))
    }
}

/// A client, and the server's end when the client is gone. Their stream is narrower than any message, so that everything is split.
async fn pair() -> (Client, tokio::task::JoinHandle<Result<(), Error>>, Arc<Notify>) {
    let (ours, theirs) = tokio::io::duplex(777);
    let dropped = Arc::new(Notify::new());
    let bridge = Echo { both: Barrier::new(2), dropped: Arc::clone(&dropped) };
    let server = tokio::spawn(serve(theirs, Arc::new(bridge)));
    (Client::connect(ours).await.unwrap(), server, dropped)
}

#[tokio::test]
async fn every_method_is_answered() {
    let (client, server, _) = pair().await;
    let platform = pb::Platform { architecture: "arm64".into(), ..pb::Platform::default() };
    let request =
        pb::ResolveImageConfigRequest { r#ref: "busybox".into(), platform: Some(platform), ..Default::default() };
    let image: pb::ResolveImageConfigResponse = client.call("ResolveImageConfig", &request).await.unwrap();
    assert_eq!((image.r#ref.as_str(), image.config.as_slice()), ("busybox", &b"arm64"[..]));

    let source = pb::SourceOp { identifier: "git://x".into(), ..pb::SourceOp::default() };
    let request = pb::ResolveSourceMetaRequest { source: Some(source.clone()), ..Default::default() };
    let meta: pb::ResolveSourceMetaResponse = client.call("ResolveSourceMeta", &request).await.unwrap();
    assert_eq!(meta.source, Some(source));

    let definition = pb::Definition { def: vec![vec![7; 100_000]; 30], ..pb::Definition::default() };
    let request = pb::SolveRequest { definition: Some(definition.clone()), ..Default::default() };
    let solved: pb::SolveResponse = client.call("Solve", &request).await.unwrap();
    let reference = pb::Ref { id: String::new(), def: Some(definition) };
    assert_eq!(solved.result.unwrap().result, Some(pb::result::Result::Ref(reference)));

    let request = pb::ReadDirRequest { include_pattern: "*.rs".into(), ..Default::default() };
    let listed: pb::ReadDirResponse = client.call("ReadDir", &request).await.unwrap();
    assert_eq!(listed.entries[0].path, "*.rs");

    let pong: pb::PongResponse = client.call("Ping", &pb::Empty {}).await.unwrap();
    assert_eq!(pong.frontend_api_caps[0].id, "solve.base");
    let inputs: pb::InputsResponse = client.call("Inputs", &pb::Empty {}).await.unwrap();
    assert!(inputs.definitions.contains_key("in"));
    let done: pb::Empty = client.call("Return", &pb::ReturnRequest::default()).await.unwrap();
    assert_eq!(done, pb::Empty {});
    let health: Health = client.call_path("/grpc.health.v1.Health/Check", &pb::Empty {}).await.unwrap();
    assert_eq!(health.status, 1);

    drop(client);
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_come_as_they_are() {
    let (client, _server, _) = pair().await;
    let request = pb::StatFileRequest { path: "no/ä%".into(), ..Default::default() };
    let error = client.call::<_, pb::StatFileResponse>("StatFile", &request).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (status::NOT_FOUND, "no/ä%"));
    assert_eq!(error.details[0].value, "no/ä%".as_bytes());

    let request = pb::WarnRequest { level: 1, short: b"x".to_vec(), ..Default::default() };
    let error = client.call::<_, pb::Empty>("Warn", &request).await.unwrap_err();
    assert_eq!(error, status::error(status::UNKNOWN, "1: [120]"));
    // A mistake of ours, and no success for that.
    let error = client.call::<_, pb::Empty>("Evaluate", &pb::EvaluateRequest::default()).await.unwrap_err();
    assert_eq!(error.code, status::UNKNOWN);
}

#[tokio::test]
async fn what_nobody_does_is_named() {
    let (client, _server, _) = pair().await;
    for (path, says) in [
        ("/moby.buildkit.v1.frontend.LLBBridge/NewContainer", "archipel does not run interactive containers"),
        (
            "/moby.buildkit.v1.frontend.LLBBridge/Dance",
            "does not know the method /moby.buildkit.v1.frontend.LLBBridge/Dance",
        ),
        ("/grpc.health.v1.Health/Watch", "does not know the method /grpc.health.v1.Health/Watch"),
    ] {
        let error = client.call_path::<_, pb::Empty>(path, &pb::Empty {}).await.unwrap_err();
        assert_eq!(error.code, status::UNIMPLEMENTED, "{path}");
        assert!(error.message.contains(says), "{}", error.message);
    }
}

#[tokio::test]
async fn long_messages_pass_and_longer_ones_do_not() {
    let (client, _server, _) = pair().await;
    let read = |length: usize| {
        let range = pb::FileRange { offset: 0, length: i64::try_from(length).unwrap() };
        let request = pb::ReadFileRequest { file_path: "abc".into(), range: Some(range), ..Default::default() };
        let client = client.clone();
        async move { client.call::<_, pb::ReadFileResponse>("ReadFile", &request).await }
    };
    let (one, other) = tokio::join!(read(12 << 20), read(2 << 20));
    assert_eq!((one.unwrap().data.len(), other.unwrap().data.len()), (12 << 20, 2 << 20));
    assert_eq!(read(wire::MAX_MESSAGE).await.unwrap_err().code, status::RESOURCE_EXHAUSTED);

    let path = "/moby.buildkit.v1.frontend.LLBBridge/Ping";
    let error = client.send::<pb::Empty>(path, vec![0; wire::MAX_MESSAGE + 6].into()).await.unwrap_err();
    assert_eq!(error.code, status::RESOURCE_EXHAUSTED);
    for (body, code) in [
        (&[1, 0, 0, 0, 0][..], status::UNIMPLEMENTED),
        (&[0, 0, 0, 0, 9], status::INVALID_ARGUMENT),
        (&[0, 0, 0, 0, 0, 0], status::INVALID_ARGUMENT),
        (&[0, 0], status::INVALID_ARGUMENT),
        (&[], status::INVALID_ARGUMENT),
        (&[0, 255, 255, 255, 255], status::RESOURCE_EXHAUSTED),
        (&[0, 0, 0, 0, 1, 255], status::INVALID_ARGUMENT),
    ] {
        let error = client.send::<pb::Empty>(path, Bytes::from_static(body)).await.unwrap_err();
        assert_eq!(error.code, code, "{body:?}: {}", error.message);
    }
}

#[tokio::test]
async fn calls_do_not_wait_for_each_other() {
    let (client, _server, _) = pair().await;
    let request = pb::SolveRequest { frontend: "both".into(), ..Default::default() };
    let call = || client.call::<_, pb::SolveResponse>("Solve", &request);
    let (one, other) = tokio::join!(call(), call());
    assert_eq!(one.unwrap(), other.unwrap());
}

#[tokio::test]
async fn a_call_ends_when_nobody_waits_for_it() {
    let (client, server, dropped) = pair().await;
    let waiting = |name: &str| {
        let (client, request) = (client.clone(), pb::SolveRequest { frontend: name.into(), ..Default::default() });
        tokio::spawn(async move { client.call::<_, pb::SolveResponse>("Solve", &request).await })
    };
    let never = waiting("never");
    waiting("both").await.unwrap().unwrap();
    never.abort();
    dropped.notified().await;

    // Or when the client is gone altogether.
    let never = waiting("never");
    waiting("both").await.unwrap().unwrap();
    drop(client);
    never.abort();
    dropped.notified().await;
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_protocol_is_said() {
    let dropped = Arc::new(Notify::new());
    let bridge = Arc::new(Echo { both: Barrier::new(1), dropped });
    let mut noise = Vec::new();
    noise.put_slice(&b"Hello, I am a program that prints its log.\n".repeat(4));
    let stream = tokio::io::join(std::io::Cursor::new(noise), tokio::io::sink());
    let error = serve(stream, Arc::clone(&bridge)).await.unwrap_err().to_string();
    assert!(error.starts_with("it does not speak BuildKit's protocol"), "{error}");

    serve(tokio::io::join(tokio::io::empty(), tokio::io::sink()), bridge).await.unwrap();
}
