//! An HTTP server that says what a script tells it: for registries that are hostile, odd or broken.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bodies of requests beyond this are not kept.
const MAX_BODY: u64 = 64 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

impl Reply {
    /// An answer without a body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None }
    }

    /// Adds a header; a `Content-Length` replaces the true one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Breaks the connection after so many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    fn write(&self, stream: &mut TcpStream, with_body: bool) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\nConnection: close\r\n", self.status);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if with_body {
            stream.write_all(self.body.get(..self.cut.unwrap_or(usize::MAX)).unwrap_or(&self.body))?;
        }
        stream.flush()
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path with the query.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// What is to come, and what to say.
#[derive(Debug, Default)]
pub struct Script {
    steps: Vec<(String, String, Reply)>,
}

impl Script {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One request (method, path with query) and its answer. The same request may be listed again: answers come in order.
    /// Different requests may come in any order, as parallel clients send them. `{address}` in a header's value becomes the
    /// server's.
    #[must_use]
    pub fn on(mut self, method: &str, path: &str, reply: Reply) -> Self {
        self.steps.push((method.into(), path.into(), reply));
        self
    }

    /// Starts the server on a free loopback port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(mut self) -> ScriptServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address").to_string();
        for (_, value) in self.steps.iter_mut().flat_map(|(_, _, reply)| &mut reply.headers) {
            *value = value.replace("{address}", &address);
        }
        let state = Arc::new(Mutex::new(State { steps: self.steps, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // A client that goes away in the middle is no failure of the script.
                thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        ScriptServer { address, state }
    }
}

#[derive(Debug, Default)]
struct State {
    steps: Vec<(String, String, Reply)>,
    requests: Vec<Request>,
    unexpected: Vec<String>,
}

/// A server at work. It lasts as long as the test's process.
#[derive(Debug)]
pub struct ScriptServer {
    address: String,
    state: Arc<Mutex<State>>,
}

impl ScriptServer {
    /// Where it listens: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What has come so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// Checks that everything in the script came, and nothing else.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn finish(self) -> Vec<Request> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left: Vec<_> = state.steps.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        assert!(
            left.is_empty() && state.unexpected.is_empty(),
            "never asked for: {left:?}; asked for but not in the script: {:?}",
            state.unexpected
        );
        state.requests.clone()
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(request) = read(&mut BufReader::new(&mut stream))? else { return Ok(()) };
    let with_body = request.method != "HEAD";
    let reply = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.steps.iter().position(|(method, path, _)| *method == request.method && *path == request.path);
        let reply = match at {
            Some(at) => state.steps.remove(at).2,
            None => {
                state.unexpected.push(format!("{} {}", request.method, request.path));
                Reply::new(404)
            }
        };
        state.requests.push(request);
        reply
    };
    reply.write(&mut stream, with_body)
}

fn read(stream: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim_end().is_empty() {
            break;
        }
        if lines.is_empty() && line.len() > 64 << 10 {
            return Ok(None);
        }
        lines.push(line.trim_end().to_owned());
    }
    let Some((first, rest)) = lines.split_first() else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let headers: Vec<(String, String)> = rest
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method: method.into(), path: path.into(), headers, body: Vec::new() };
    if let Some(length) = request.header("content-length").and_then(|value| value.parse::<u64>().ok()) {
        stream.take(length.min(MAX_BODY)).read_to_end(&mut request.body)?;
    } else if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream, &mut request.body)?;
    }
    Ok(Some(request))
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).unwrap_or(0).min(MAX_BODY);
        stream.take(size).read_to_end(body)?;
        stream.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(());
        }
    }
}
