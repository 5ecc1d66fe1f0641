//! A scripted registry: it expects requests in an order and answers each as it was told, which no real registry would do
//! on demand: break off, lie, ask to wait.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request that is expected, and what is done with it.
pub(crate) struct Step {
    method: &'static str,
    path: String,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Break off after this many bytes of the body, although more were announced.
    cut: Option<usize>,
    /// Break off after this many bytes of the request's body, without an answer.
    hang_up: Option<usize>,
    /// Answer without having read the request's body.
    early: bool,
}

pub(crate) fn on(method: &'static str, path: impl Into<String>, status: u16) -> Step {
    Step {
        method,
        path: path.into(),
        status,
        headers: Vec::new(),
        body: Vec::new(),
        cut: None,
        hang_up: None,
        early: false,
    }
}

impl Step {
    /// Adds a header. `{host}` stands for the server's address.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    pub(crate) fn hang_up(mut self, at: usize) -> Self {
        self.hang_up = Some(at);
        self
    }

    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Step>,
    seen: Vec<Seen>,
    unexpected: Vec<String>,
}

pub(crate) struct Server {
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn new(script: Vec<Step>) -> Self {
        Self::start(script, None)
    }

    pub(crate) fn tls(script: Vec<Step>, config: Arc<ServerConfig>) -> Self {
        Self::start(script, Some(config))
    }

    fn start(script: Vec<Step>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { script: script.into(), ..State::default() }));
        let (shared, name) = (state.clone(), host.clone());
        // The threads end with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, name, tls) = (shared.clone(), name.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => {
                        let closer = stream.try_clone().unwrap();
                        converse(stream, &closer, &state, &name);
                    }
                    Some(config) => {
                        let closer = stream.try_clone().unwrap();
                        let connection = ServerConnection::new(config).unwrap();
                        converse(StreamOwned::new(connection, stream), &closer, &state, &name);
                    }
                });
            }
        });
        Self { host, state }
    }

    /// Adds what is only known once other servers run.
    pub(crate) fn expect(&self, step: Step) {
        self.state.lock().unwrap().script.push_back(step);
    }

    /// Everything came as expected; what it was.
    pub(crate) fn done(&self) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        assert_eq!(state.unexpected, Vec::<String>::new(), "unexpected requests");
        let left: Vec<_> = state.script.iter().map(|s| format!("{} {}", s.method, s.path)).collect();
        assert_eq!(left, Vec::<String>::new(), "requests that did not come");
        state.seen.clone()
    }
}

/// Serves one connection until it ends.
fn converse(stream: impl Read + Write, closer: &TcpStream, state: &Mutex<State>, host: &str) {
    let mut stream = BufReader::new(stream);
    while let Some(mut seen) = read_head(&mut stream) {
        let step = {
            let mut state = state.lock().unwrap();
            let expected = state.script.front().map(|s| format!("{} {}", s.method, s.path.replace("{host}", host)));
            if expected.as_deref() == Some(&seen.line) {
                state.script.pop_front()
            } else {
                let expected = expected.unwrap_or_else(|| "nothing".into());
                state.unexpected.push(format!("{}, expected {expected}", seen.line));
                None
            }
        };
        let step = step.unwrap_or_else(|| on("", "", 418));
        let keep = step.hang_up.is_none() && !step.early;
        read_body(&mut stream, &mut seen, step.hang_up, step.early);
        let head = seen.line.starts_with("HEAD ");
        state.lock().unwrap().seen.push(seen);
        if step.hang_up.is_none() {
            let mut answer = format!("HTTP/1.1 {} Said\r\n", step.status);
            if !step.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
                answer.push_str(&format!("Content-Length: {}\r\n", step.body.len()));
            }
            for (name, value) in &step.headers {
                answer.push_str(&format!("{name}: {}\r\n", value.replace("{host}", host)));
            }
            answer.push_str("\r\n");
            let mut answer = answer.into_bytes();
            if !head {
                answer.extend_from_slice(&step.body[..step.cut.unwrap_or(step.body.len())]);
            }
            if stream.get_mut().write_all(&answer).and_then(|()| stream.get_mut().flush()).is_err() {
                return;
            }
        }
        if step.cut.is_some() || !keep {
            // Reads what is under way first, so that the client sees the end and not a reset with the answer lost.
            if step.early {
                let _ = std::io::copy(&mut stream.by_ref().take(1 << 20), &mut std::io::sink());
            }
            let _ = closer.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_head(stream: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split(' ');
    let line = format!("{} {}", words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => return Some(Seen { line, headers, body: Vec::new() }),
        }
    }
}

fn read_body(stream: &mut impl BufRead, seen: &mut Seen, limit: Option<usize>, skip: bool) {
    let length: usize = seen.header("content-length").map_or(0, |l| l.parse().unwrap());
    let length = if skip { 0 } else { length.min(limit.unwrap_or(usize::MAX)) };
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).is_ok() {
        seen.body = body;
    }
}
