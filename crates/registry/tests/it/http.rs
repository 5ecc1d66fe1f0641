//! A server in a thread, and a client of sixty lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;

use archipel_oci::{Algorithm, Digest, Hasher};
use archipel_registry::{FsStorage, Registry};
use tokio::sync::oneshot;

/// A registry that runs; it stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    dir: Option<tempfile::TempDir>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    fn over(dir: tempfile::TempDir) -> Self {
        let storage = FsStorage::open(dir.path()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let shutdown = async move { stopped.await.unwrap_or_default() };
                Registry::new(storage).serve(listener, shutdown).await.unwrap();
            });
        });
        Self { address, dir: Some(dir), running: Some((stop, thread)) }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// Stops it and starts another one over the same folder.
    pub(crate) fn restart(mut self) -> Self {
        self.stop();
        Self::over(self.dir.take().unwrap())
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.begin(method, path, headers, Some(body.len()));
        let _ = stream.write_all(body); // a server may answer before it has read everything
        Answer::read(stream, method == "HEAD")
    }

    /// Sends only a head. Without a length the body is to be sent in chunks.
    pub(crate) fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) -> TcpStream {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        match length {
            Some(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            None => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// Pushes a blob in one request.
    pub(crate) fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.send("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], bytes).expect(201);
        digest
    }

    /// Pushes a manifest and returns its digest.
    pub(crate) fn push_manifest(&self, name: &str, target: &str, bytes: &[u8]) -> Answer {
        self.send("PUT", &format!("/v2/{name}/manifests/{target}"), &[], bytes)
    }

    /// Starts an upload and returns its address.
    pub(crate) fn start_upload(&self, name: &str) -> String {
        let answer = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").expect(202);
        answer.header("location").unwrap().to_owned()
    }

    /// Pushes a small image and returns its manifest. Different seeds give different images.
    pub(crate) fn push_image(&self, name: &str, seed: &str, more: &str) -> Vec<u8> {
        let config = format!("{{\"seed\":\"{seed}\"}}");
        let layer = format!("layer {seed}");
        for blob in [&config, &layer] {
            self.push_blob(name, blob.as_bytes());
        }
        image(config.as_bytes(), layer.as_bytes(), more)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An image manifest over two blobs, with more fields as they come.
pub(crate) fn image(config: &[u8], layer: &[u8], more: &str) -> Vec<u8> {
    let config = (config.len(), Digest::of(config));
    let layer = (layer.len(), Digest::of(layer));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":{},"digest":"{}"}}]{more}}}"#,
        config.0, config.1, layer.0, layer.1
    )
    .into_bytes()
}

/// An index over manifests.
pub(crate) fn index(children: &[&[u8]]) -> Vec<u8> {
    let children: Vec<String> = children
        .iter()
        .map(|child| {
            let (size, digest) = (child.len(), Digest::of(child));
            format!(r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":{size},"digest":"{digest}"}}"#)
        })
        .collect();
    let children = children.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{children}]}}"#)
        .into_bytes()
}

pub(crate) fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(stream: TcpStream, is_head: bool) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Self { status, headers, body: Vec::new() };
        if !is_head {
            let length = answer.header("content-length").map(|length| length.parse().unwrap());
            reader.take(length.unwrap_or(0)).read_to_end(&mut answer.body).unwrap();
            assert_eq!(Some(answer.body.len() as u64), length.or(Some(0)), "the body is as long as was said");
        }
        answer
    }

    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// Expects an error of this code.
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json()["errors"][0]["code"], code);
        assert!(answer.json()["errors"][0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
