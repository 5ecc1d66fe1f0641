//! A frontend in a process of its own, over pipes: the one among the examples.
#![expect(clippy::unwrap_used, reason = "the helpers of tests panic like the tests")]

use std::collections::HashMap;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use archipel_gateway::{Bridge, Graph, pb, serve, status};
use tokio::process::Command;

type Answer<T> = Result<T, pb::Status>;

/// A builder that builds nothing: it has one file, and remembers what it was told.
#[derive(Debug, Default)]
struct Fake {
    script: &'static str,
    solved: Mutex<Vec<pb::Definition>>,
    warned: Mutex<Vec<String>>,
    returned: Mutex<Option<pb::ReturnRequest>>,
}

fn no<T>() -> Answer<T> {
    Err(status::error(status::UNIMPLEMENTED, "not here"))
}

impl Bridge for Fake {
    async fn resolve_image_config(
        &self,
        request: pb::ResolveImageConfigRequest,
    ) -> Answer<pb::ResolveImageConfigResponse> {
        let architecture = request.platform.unwrap_or_default().architecture;
        let config = format!(r#"{{"architecture":"{architecture}","os":"linux","config":{{"Env":["A=b"]}}}}"#);
        Ok(pb::ResolveImageConfigResponse { digest: "sha256:1".into(), config: config.into(), ..Default::default() })
    }

    async fn resolve_source_meta(&self, _: pb::ResolveSourceMetaRequest) -> Answer<pb::ResolveSourceMetaResponse> {
        no()
    }

    async fn solve(&self, request: pb::SolveRequest) -> Answer<pb::SolveResponse> {
        let mut solved = self.solved.lock().unwrap();
        solved.push(request.definition.unwrap_or_default());
        let id = (solved.len() - 1).to_string();
        let result = pb::result::Result::Ref(pb::Ref { id, def: None });
        let result = pb::Result { result: Some(result), ..Default::default() };
        Ok(pb::SolveResponse { result: Some(result), ..Default::default() })
    }

    async fn read_file(&self, request: pb::ReadFileRequest) -> Answer<pb::ReadFileResponse> {
        let is_script = (request.r#ref.as_str(), request.file_path.as_str()) == ("0", "build.txt");
        if is_script { Ok(pb::ReadFileResponse { data: self.script.into() }) } else { no() }
    }

    async fn read_dir(&self, _: pb::ReadDirRequest) -> Answer<pb::ReadDirResponse> {
        no()
    }

    async fn stat_file(&self, _: pb::StatFileRequest) -> Answer<pb::StatFileResponse> {
        no()
    }

    async fn evaluate(&self, _: pb::EvaluateRequest) -> Answer<pb::Empty> {
        no()
    }

    async fn ping(&self, _: pb::Empty) -> Answer<pb::PongResponse> {
        let cap = pb::ApiCap { id: "return".into(), enabled: true, ..Default::default() };
        Ok(pb::PongResponse { frontend_api_caps: vec![cap], ..Default::default() })
    }

    async fn returned(&self, request: pb::ReturnRequest) -> Answer<pb::Empty> {
        *self.returned.lock().unwrap() = Some(request);
        Ok(pb::Empty {})
    }

    async fn inputs(&self, _: pb::Empty) -> Answer<pb::InputsResponse> {
        Ok(pb::InputsResponse::default())
    }

    async fn warn(&self, request: pb::WarnRequest) -> Answer<pb::Empty> {
        self.warned.lock().unwrap().push(String::from_utf8(request.short).unwrap());
        Ok(pb::Empty {})
    }
}

impl Fake {
    fn graph(&self, id: &str) -> Graph {
        Graph::decode(&self.solved.lock().unwrap()[id.parse::<usize>().unwrap()]).unwrap()
    }
}

async fn run(script: &'static str, options: &[&str]) -> (Arc<Fake>, pb::ReturnRequest, ExitStatus) {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().with_file_name("examples").join("frontend");
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    for (number, option) in options.iter().enumerate() {
        command.env(format!("BUILDKIT_FRONTEND_OPT_{number}"), option);
    }
    let mut process = command.spawn().unwrap();
    let stream = tokio::io::join(process.stdout.take().unwrap(), process.stdin.take().unwrap());
    let fake = Arc::new(Fake { script, ..Fake::default() });
    serve(stream, Arc::clone(&fake)).await.unwrap();
    let returned = fake.returned.lock().unwrap().take().unwrap();
    (fake, returned, process.wait().await.unwrap())
}

#[tokio::test]
async fn a_frontend_builds_for_two_platforms() {
    let script = "# language\nimage busybox\nrun make all\ncopy a /b\nlabel k v\nwarn take care\n";
    let options = ["filename=build.txt", "platform=linux/amd64,linux/arm/v7", "contextkey=here"];
    let (fake, returned, status) = run(script, &options).await;
    assert!(status.success());

    let asked = fake.graph("0").vertices.remove(0).op.op;
    let attrs = HashMap::from([("local.followpaths".to_owned(), r#"["build.txt"]"#.to_owned())]);
    let source = pb::SourceOp { identifier: "local://dockerfile".into(), attrs };
    assert_eq!(asked, Some(pb::op::Op::Source(source)));

    let result = returned.result.unwrap();
    let known = String::from_utf8(result.metadata["refs.platforms"].clone()).unwrap();
    let platforms = r#"{"Platforms":[{"ID":"linux/amd64","Platform":{"os":"linux","architecture":"amd64"}},{"ID":"linux/arm/v7","Platform":{"os":"linux","architecture":"arm","variant":"v7"}}]}"#;
    assert_eq!(known, platforms);
    let config = String::from_utf8(result.metadata["containerimage.config/linux/arm/v7"].clone()).unwrap();
    assert_eq!(config, r#"{"architecture":"arm","os":"linux","config":{"Env":["A=b"],"Labels":{"k":"v"}}}"#);
    assert_eq!(*fake.warned.lock().unwrap(), ["take care", "take care"]);

    let Some(pb::result::Result::Refs(refs)) = result.result else { panic!("several results") };
    let graph = fake.graph(&refs.refs["linux/arm/v7"].id);
    let names: Vec<_> =
        graph.vertices.iter().map(|vertex| vertex.metadata.description["llb.customname"].clone()).collect();
    assert_eq!(names, ["busybox", "run make all", "context", "copy a /b"]);
    assert_eq!(graph.vertices[3].inputs, [(1, 0), (2, 0)]);
    assert_eq!(graph.result, Some((3, 0)));
}

#[tokio::test]
async fn a_frontend_says_why_not() {
    let (_, returned, status) = run("scratch\nfail for a reason\n", &["filename=build.txt"]).await;
    assert_eq!((returned.error.unwrap().message.as_str(), status.code()), ("for a reason", Some(1)));
}
