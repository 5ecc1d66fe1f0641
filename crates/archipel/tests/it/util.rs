//! The binary in a home of its own, and transcripts without what differs from run to run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use archipel_testkit::{Archipel, Finished, Image, ImageBuilder, OwnRegistry, write_layout};

/// The binary, in a new home.
pub(crate) fn archipel() -> Archipel {
    Archipel::new(env!("CARGO_BIN_EXE_archipel"))
}

/// An image with one file, which the text makes its own.
pub(crate) fn image(platform: &str, text: &str) -> Image {
    ImageBuilder::new(platform)
        .config(|config| {
            config.created = Some("2026-01-01T00:00:00Z".into());
            config.config.env = vec!["PATH=/bin".into()];
            config.config.cmd = Some(vec!["/bin/true".into()]);
        })
        .layer([("note", 0o644, text.as_bytes())])
        .build()
}

/// Puts images as one index into a registry.
pub(crate) fn publish(archipel: &Archipel, registry: &OwnRegistry, name: &str, images: &[Image]) -> String {
    let layout = archipel.home.path().join("layout");
    let _ = std::fs::remove_dir_all(&layout);
    write_layout(&layout, images);
    let reference = format!("{}/{name}", registry.address());
    let _ = archipel.ok(["copy", "--quiet", &format!("oci:{}", layout.display()), &reference]);
    reference
}

/// Puts one image into a registry, without an index.
pub(crate) fn publish_alone(archipel: &Archipel, registry: &OwnRegistry, name: &str, image: &Image) -> String {
    let digest = image.manifest.digest();
    let whole = publish(archipel, registry, "parts", std::slice::from_ref(image));
    let reference = format!("{}/{name}", registry.address());
    let _ = archipel.ok(["copy", "--quiet", &format!("{}@{digest}", whole.trim_end_matches(":latest")), &reference]);
    reference
}

/// What a server answers, head and body.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: registry\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A transcript with the home's path, times, digests and ports replaced.
pub(crate) fn transcript(archipel: &Archipel, finished: &Finished) -> String {
    let text = finished.transcript().replace(&archipel.home.path().display().to_string(), "[HOME]");
    text.lines().map(|line| clean(line) + "\n").collect()
}

fn clean(line: &str) -> String {
    line.split(' ').map(clean_word).collect::<Vec<_>>().join(" ")
}

fn clean_word(word: &str) -> String {
    let word = replaced(word, "sha256:", "[DIGEST]", |c| c.is_ascii_hexdigit());
    let word = replaced(&word, "127.0.0.1:", "[REGISTRY]", |c| c.is_ascii_digit());
    replaced(&word, "\"20", "\"[TIME]", |c| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z'))
}

/// Replaces whatever starts with a mark and goes on with such characters.
fn replaced(word: &str, mark: &str, by: &str, goes_on: impl Fn(char) -> bool) -> String {
    let mut pieces = word.split(mark);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, after| text + by + after.trim_start_matches(&goes_on))
}
