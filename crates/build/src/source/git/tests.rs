//! Repositories served by the simplest server: one that knows nothing but files.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::thread;

use archipel_remote::{Client, Config, Credentials, Options};
use archipel_store::Store;

use super::*;
use crate::request::{Secret, SecretSource};

/// A folder with repositories, served, and an engine.
struct World {
    dir: tempfile::TempDir,
    address: String,
    engine: Engine,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = serve(dir.path().join("served"));
        let store = Store::open(&dir.path().join("store")).unwrap();
        let client = Client::new(Config::default(), Credentials::default(), Options::default());
        Self { address, engine: Engine::new(store, client, Vec::new()), dir }
    }

    /// Runs commands in a repository, which is made if it is not there.
    fn repository(&self, name: &str, commands: &str) -> String {
        let folder = self.dir.path().join("served").join(name);
        fs::create_dir_all(&folder).unwrap();
        let init = "test -e .git || { git init -q -b master && git config user.email t@e && git config user.name t; }";
        let status = Command::new("sh")
            .args(["-ec", &format!("{init}\n{commands}\ngit update-server-info")])
            .current_dir(&folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", "2023-01-10T15:34:56Z")
            .env("GIT_COMMITTER_DATE", "2023-01-10T15:34:56Z")
            .status()
            .unwrap();
        assert!(status.success());
        format!("http://{}/{name}/.git", self.address)
    }

    /// The engine of another process, which remembers nothing but what the store has.
    fn another(&self) -> Engine {
        let client = Client::new(Config::default(), Credentials::default(), Options::default());
        Engine::new(Store::open(&self.dir.path().join("store")).unwrap(), client, Vec::new())
    }

    async fn tree(&self, url: &str) -> Result<GitTree, Error> {
        tree(&self.engine, url, &Request::empty()).await
    }
}

async fn tree(engine: &Engine, url: &str, request: &Request) -> Result<GitTree, Error> {
    let source = GitSource::parse(url).unwrap().unwrap();
    let commit = engine.git_commit(&source, None, request).await?;
    engine.git_tree(&source, &commit, request).await
}

/// Serves files. A path with `private` in it wants the token `hush`.
fn serve(root: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let root = root.clone();
            thread::spawn(move || {
                let lines: Vec<String> = BufReader::new(&mut stream)
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
                let path = path.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
                // x-access-token:hush
                let welcome = !path.contains("private")
                    || lines.iter().any(|line| line == "Authorization: basic eC1hY2Nlc3MtdG9rZW46aHVzaA==");
                let (status, body) = match fs::read(root.join(&path)) {
                    Ok(body) if welcome => (200, body),
                    _ => (if welcome { 404 } else { 403 }, Vec::new()),
                };
                let head =
                    format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            });
        }
    });
    address
}

fn read(tree: &GitTree, name: &str) -> Option<String> {
    fs::read_to_string(tree.path.join(name)).ok()
}

const TWO: &str = "echo one > f; chmod 755 f; mkdir d; echo deep > d/g; git add -A; git commit -qm 1; git tag v1
git tag -a -m note noted; git branch old; echo two > f; git commit -qam 2; git tag v2";

#[tokio::test]
async fn the_ways_to_name_a_commit() {
    let world = World::new();
    let url = world.repository("r", TWO);
    let first = Command::new("git").args(["rev-parse", "v1"]).current_dir(world.dir.path().join("served/r")).output();
    let first = String::from_utf8(first.unwrap().stdout).unwrap().trim().to_owned();
    for (tail, expected) in [
        (String::new(), "two\n"),
        ("#v1".into(), "one\n"),
        ("#refs/tags/v2".into(), "two\n"),
        ("#noted".into(), "one\n"),
        ("?branch=old".into(), "one\n"),
        ("?ref=master".into(), "two\n"),
        (format!("#{first}"), "one\n"),
        (format!("?tag=v1&commit={}", &first[..10]), "one\n"),
        (format!("?tag=noted&commit={first}"), "one\n"),
    ] {
        let tree = world.tree(&format!("{url}{tail}")).await.unwrap_or_else(|e| panic!("{tail}: {e}"));
        assert_eq!(read(&tree, "f").as_deref(), Some(expected), "{tail}");
        assert_eq!(tree.time, 1_673_364_896);
        assert!(!tree.path.join(".git").exists());
        let mode = |name: &str| fs::metadata(tree.path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("f"), mode("d"), mode("d/g")), (0o755, 0o755, 0o644));
    }
    for (tail, message) in [
        ("#nowhere".into(), "repository does not contain ref nowhere"),
        ("?branch=v1".into(), "repository does not contain ref refs/heads/v1"),
        (format!("?tag=v2&commit={first}"), "expected checksum to match"),
        ("?checksum=foobar".into(), "invalid checksum foobar"),
        ("#-x".into(), "invalid git ref"),
        (format!("#{}", "a".repeat(40)), "/r/.git: "),
        ("#v1:nowhere".into(), "invalid subdir nowhere: not found"),
    ] {
        let error = world.tree(&format!("{url}{tail}")).await.unwrap_err().to_string();
        assert!(error.contains(message), "{tail}: {error}");
    }
}

#[tokio::test]
async fn options_of_the_checkout() {
    let world = World::new();
    let url = world.repository("r", TWO);
    let sub = world.tree(&format!("{url}#v1:d")).await.unwrap();
    assert_eq!((read(&sub, "g").as_deref(), read(&sub, "f")), (Some("deep\n"), None));
    let kept = world.tree(&format!("{url}?tag=v1&keep-git-dir=true&mtime=commit")).await.unwrap();
    assert!(read(&kept, ".git/config").unwrap().contains(&format!("url = {url}")));
    assert_eq!(fs::symlink_metadata(kept.path.join("d/g")).unwrap().mtime(), kept.time);
    assert_eq!(fs::symlink_metadata(&kept.path).unwrap().mtime(), kept.time);
    let log = Command::new("git").args(["log", "--format=%s %D"]).current_dir(&kept.path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&log.stdout), "1 grafted, HEAD, tag: v1\n");
}

#[tokio::test]
async fn what_moves_is_asked_for_and_what_is_here_is_not() {
    let world = World::new();
    let url = world.repository("r", TWO);
    let before = world.tree(&url).await.unwrap();
    world.repository("r", "echo three > f; git commit -qam 3");
    // The build goes on with what it has seen; the next one sees the change.
    assert_eq!(world.tree(&url).await.unwrap().path, before.path);
    let after = tree(&world.another(), &url, &Request::empty()).await.unwrap();
    assert_eq!(read(&after, "f").as_deref(), Some("three\n"));
    let first = fs::read_to_string(world.dir.path().join("served/r/.git/refs/tags/v1")).unwrap();
    let named = format!("{url}#{}", first.trim());
    let whole = world.tree(&named).await.unwrap();
    fs::remove_dir_all(world.dir.path().join("served")).unwrap();
    assert_eq!(tree(&world.another(), &named, &Request::empty()).await.unwrap().path, whole.path);
}

#[tokio::test]
async fn submodules_and_nothing_of_this_machine() {
    let world = World::new();
    let inner = world.repository("inner", "echo in > f; git add -A; git commit -qm i");
    let url = world.repository(
        "r",
        &format!(
            "git submodule --quiet add {inner} m; git submodule --quiet add {inner} n
            git config -f .gitmodules submodule.n.url ../../inner/.git; git commit -qam 1"
        ),
    );
    let with = world.tree(&url).await.unwrap();
    assert_eq!((read(&with, "m/f").as_deref(), read(&with, "n/f").as_deref()), (Some("in\n"), Some("in\n")));
    assert!(!with.path.join("m/.git").exists());
    let without = world.tree(&format!("{url}?submodules=false")).await.unwrap();
    assert_eq!(read(&without, "m/f"), None);
    let local = world.dir.path().join("served/inner/.git");
    let add =
        format!("git -c protocol.file.allow=always submodule --quiet add {} x; git commit -qm 2", local.display());
    world.repository("r", &add);
    let error = tree(&world.another(), &url, &Request::empty()).await.unwrap_err().to_string();
    assert!(error.contains("submodules: ") && error.contains("'file' not allowed"), "{error}");
}

#[tokio::test]
async fn tokens() {
    let world = World::new();
    let url = world.repository("private", "echo p > f; git add -A; git commit -qm p");
    let error = world.tree(&url).await.unwrap_err().to_string();
    assert!(error.contains("/private/.git: "), "{error}");
    let mut request = Request::empty();
    let token = Secret { id: "GIT_AUTH_TOKEN".into(), source: SecretSource::Value(b"hush\n".to_vec()) };
    request.secrets = vec![token];
    assert_eq!(read(&tree(&world.another(), &url, &request).await.unwrap(), "f").as_deref(), Some("p\n"));
    let named = url.replace("http://", "http://me:word@").replace("private", "absent");
    let error = tree(&world.another(), &named, &request).await.unwrap_err().to_string();
    assert!(!error.contains("word") && error.contains("/absent/.git"), "{error}");
}
