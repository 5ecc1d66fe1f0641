//! A frontend: a program that BuildKit's builders and archipel run for `# syntax=`, here for a language of one line an instruction.
//! It is an example of the protocol, and what the tests of the binary build with.
//!
//! ```text
//! image REF             begin with an image            file PATH TEXT     write a line
//! scratch               begin with nothing             mkdir PATH         make a folder and its parents
//! result N              begin with an earlier result   rm PATH            remove a file, or what fits a wildcard
//! source NAME           begin with a named context,    link OLD NEW       make a symbolic link
//!                       or a source like git://...     copy SRC DEST      copy from the context
//! run WORD...           run a program                  take N SRC DEST    copy from an earlier result
//! shell TEXT            run a line of a shell          give OWNER MODE N SRC DEST   ... with an owner and a mode
//! secret ID TEXT        ... with a secret, at /secret  read PATH NEW      write what is read of a file, \
//! ssh TEXT              ... with an agent              list PATH NEW      ... the names in a folder,    \
//! cache ID TEXT         ... with a cache, at /cache    stat PATH NEW      ... or the mode and size,     / asking the builder
//! out TEXT              ...: only what it writes       env-opt K NEW      ... or one of our options
//!                       to /out goes on                ignore PATTERN     leave this of the context alone
//! merge N M             one result over another        only PATTERN       take nothing else of the context
//! diff N M              what M has beyond N            warn TEXT, fail TEXT
//! env K V, label K V    set in the config              wait               for ever
//! cmd WORD...           set in the config              exit [SECONDS]     without a word, now or then
//! history TEXT          of one layer                   attest TYPE PATH   say what is in a JSON file of the image
//! note K V              an annotation of the image
//! ```
//!
//! A text that begins with `dockerfile [OPTION=VALUE]...` is a Dockerfile from the next line on, and one that begins with
//! `frontend IMAGE` is for another frontend: the builder is asked to have them read.
//!
//! Results are the file systems that lines come to, counted from 0. A line that makes none has no number. The build argument `LINGER`
//! keeps the program alive after its last word. Of the questions that are no build it knows `frontend.lint`.

mod definition;
mod image;

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::process::ExitCode;

use archipel_gateway::client::Client;
use archipel_gateway::pb::op::Op as Kind;
use archipel_gateway::{pb, status};
use base64::Engine as _;
use serde_json::json;

use definition::{Definition, file, local, name, platform};
use image::{Finished, Image, describe};

type Result<T> = std::result::Result<T, pb::Status>;

fn main() -> ExitCode {
    // The thread that waits for more from the builder never ends, so the runtime is left and not waited for.
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    let code = runtime.block_on(async {
        let stream = tokio::io::join(standard(std::io::stdin())?, standard(std::io::stdout())?);
        let client = Client::connect(stream).await?;
        let frontend = Frontend::new(client.clone());
        let request = match frontend.build().await {
            Ok(result) => pb::ReturnRequest { result: Some(result), error: None },
            Err(error) => pb::ReturnRequest { result: None, error: Some(error) },
        };
        let _: pb::Empty = client.call("Return", &request).await?;
        if frontend.options.contains_key("build-arg:LINGER") {
            std::future::pending::<()>().await;
        }
        Ok(if request.error.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    });
    runtime.shutdown_background();
    code.unwrap_or_else(|_: pb::Status| ExitCode::from(2))
}

/// A standard stream, whatever kind of file it is.
fn standard(stream: impl AsFd) -> Result<tokio::fs::File> {
    let file = stream.as_fd().try_clone_to_owned().map_err(wrong)?;
    Ok(tokio::fs::File::from_std(File::from(file)))
}

fn wrong(error: impl ToString) -> pb::Status {
    status::error(status::INVALID_ARGUMENT, error.to_string())
}

/// An error with the line that it is about, as BuildKit has such places: JSON.
fn at(text: &str, line: i32, mut error: pb::Status) -> pb::Status {
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    let position = json!({ "line": line });
    let place = json!({"info": {"data": data}, "ranges": [{"start": position, "end": position}]});
    let type_url = "github.com/moby/buildkit/errdefs.Source".into();
    error.details.push(pb::Any { type_url, value: place.to_string().into_bytes() });
    error
}

/// The answer to a question that is no build: how many lines there are, and whether one is a failure.
fn lint(text: &str) -> pb::Result {
    let lines = text.lines().count();
    let status = u8::from(text.lines().any(|line| line.starts_with("fail")));
    let answers = [
        ("result.txt", format!("{lines} lines\n")),
        ("result.json", json!({ "lines": lines }).to_string()),
        ("result.statuscode", status.to_string()),
    ];
    let metadata = answers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    pb::Result { metadata, ..Default::default() }
}

struct Frontend {
    client: Client,
    options: HashMap<String, String>,
}

impl Frontend {
    fn new(client: Client) -> Self {
        let given = std::env::vars().filter(|(name, _)| name.starts_with("BUILDKIT_FRONTEND_OPT_"));
        let pairs = given.filter_map(|(_, pair)| pair.split_once('=').map(|(k, v)| (k.into(), v.into())));
        Self { client, options: pairs.collect() }
    }

    fn option<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.options.get(name).map_or(default, String::as_str)
    }

    /// Everything: reads the file, and builds what it says for every platform.
    async fn build(&self) -> Result<pb::Result> {
        let pong: pb::PongResponse = self.client.call("Ping", &pb::Empty {}).await?;
        if !pong.frontend_api_caps.iter().any(|cap| cap.id == "return" && cap.enabled) {
            return Err(status::error(status::FAILED_PRECONDITION, "this builder takes no results"));
        }
        let filename = self.option("filename", "Dockerfile");
        // Who has called us may have made the text.
        let inputs: pb::InputsResponse = self.client.call("Inputs", &pb::Empty {}).await?;
        let text = inputs.definitions.get("dockerfile").cloned().unwrap_or_else(|| {
            let mut script = Definition::default();
            let folder = Kind::Source(local(self.option("dockerfilekey", "dockerfile"), Some(filename)));
            let folder = script.add(Vec::new(), folder, None, filename);
            script.end(&Some(folder))
        });
        let id = self.solve(text).await?;
        let text = String::from_utf8(self.read(&id, filename).await?).map_err(wrong)?;

        if let Some(result) = self.forward(&text).await? {
            return Ok(result);
        }
        if self.option("requestid", "") == "frontend.lint" {
            return Ok(lint(&text));
        }
        let asked = self.option("platform", "").split(',').filter(|name| !name.is_empty());
        let mut platforms: Vec<_> = asked.map(platform).collect();
        if platforms.is_empty() {
            let own = pong.workers.into_iter().flat_map(|worker| worker.platforms).next();
            platforms.push(own.unwrap_or_else(|| platform("linux/amd64")));
        }
        self.images(&text, platforms).await
    }

    /// The images of all platforms. The only one is told of without its name.
    async fn images(&self, text: &str, platforms: Vec<pb::Platform>) -> Result<pb::Result> {
        let single = platforms.len() == 1;
        let (mut result, mut refs, mut known) = (pb::Result::default(), HashMap::new(), Vec::new());
        for platform in platforms {
            let id = name(&platform);
            let mut described = json!({});
            describe(&platform, &mut described);
            known.push(json!({"ID": id, "Platform": described}));
            let image = self.image(text, platform).await?;
            let key = if single { String::new() } else { format!("/{id}") };
            result.metadata.insert(format!("containerimage.config{key}"), image.config);
            result.metadata.extend(image.notes);
            result.attestations.insert(id.clone(), pb::Attestations { attestation: image.attestations });
            refs.insert(id, image.files);
        }
        result.result = if single {
            refs.into_values().next().map(pb::result::Result::Ref)
        } else {
            result.metadata.insert("refs.platforms".into(), json!({ "Platforms": known }).to_string().into_bytes());
            Some(pb::result::Result::Refs(pb::RefMap { refs }))
        };
        Ok(result)
    }

    /// What the builder makes of a text that is another frontend's.
    async fn forward(&self, text: &str) -> Result<Option<pb::Result>> {
        let mut lines = text.lines().skip_while(|line| line.is_empty() || line.starts_with('#'));
        let words: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        // What else we were told is passed on.
        let (frontend, changed) = match words[..] {
            ["dockerfile", ref options @ ..] => {
                ("dockerfile.v0", options.iter().filter_map(|option| option.split_once('=')).collect())
            }
            ["frontend", image] => ("gateway.v0", vec![("source", image)]),
            _ => return Ok(None),
        };
        let rest: String = lines.flat_map(|line| [line, "\n"]).collect();
        let mut script = Definition::default();
        let made = script.add(Vec::new(), file("/Dockerfile", &rest), None, "Dockerfile");
        let mut frontend_opt = self.options.clone();
        let changed = [("filename", "Dockerfile")].into_iter().chain(changed);
        frontend_opt.extend(changed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let request = pb::SolveRequest {
            frontend: frontend.into(),
            frontend_opt,
            frontend_inputs: [("dockerfile".to_owned(), script.end(&Some(made)))].into(),
            allow_result_return: true,
            allow_result_array_ref: true,
            ..Default::default()
        };
        let solved: pb::SolveResponse = self.client.call("Solve", &request).await?;
        Ok(solved.result)
    }

    /// The image of one platform: its files and its config.
    async fn image(&self, text: &str, platform: pb::Platform) -> Result<Finished> {
        let mut image = Image::new(self, platform, text);
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if !line.is_empty() && !line.starts_with('#') {
                image.line(number, line).await.map_err(|error| at(text, number, error))?;
            }
        }
        image.finish().await
    }

    /// What the builder calls the file system of a definition.
    async fn solve(&self, definition: pb::Definition) -> Result<String> {
        let definition = Some(definition);
        let request = pb::SolveRequest {
            definition,
            allow_result_return: true,
            allow_result_array_ref: true,
            ..Default::default()
        };
        let solved: pb::SolveResponse = self.client.call("Solve", &request).await?;
        match solved.result.and_then(|result| result.result) {
            Some(pb::result::Result::Ref(reference)) => Ok(reference.id),
            Some(_) => Err(status::error(status::INTERNAL, "a definition has one result")),
            None => Ok(solved.r#ref),
        }
    }

    async fn read(&self, id: &str, path: &str) -> Result<Vec<u8>> {
        let request = pb::ReadFileRequest { r#ref: id.into(), file_path: path.into(), ..Default::default() };
        self.client.call::<_, pb::ReadFileResponse>("ReadFile", &request).await.map(|response| response.data)
    }
}
