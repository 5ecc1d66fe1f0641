//! The registry's page, as a browser shows it.

use std::path::{Path, PathBuf};
use std::process::Command;

use archipel_testkit::{Archipel, ImageBuilder, OwnRegistry, requires, write_layout};

/// Lets Chromium load a page; what it prints.
fn chromium(profile: &Path, url: &str, options: &[&str]) -> String {
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.arg(format!("--user-data-dir={}", profile.display())).arg("--window-size=1100,700");
    let output = browser.args(options).arg(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_shows_one_row_for_an_index_with_its_platforms() {
    requires!(chromium);
    let registry = OwnRegistry::start();
    let archipel = Archipel::new(env!("CARGO_BIN_EXE_archipel"));
    let image = |platform: &str| ImageBuilder::new(platform).layer([("f", 0o644, platform.as_bytes())]).build();
    let layout = archipel.home.path().join("layout");
    write_layout(&layout, &["linux/amd64", "linux/arm64", "linux/arm/v7"].map(image));
    // What a manifest says is shown as text, whatever it is.
    let mut hostile = image("linux/s390x");
    hostile.platform.os = "<img src=x onerror=document.title=1>".into();
    let odd = archipel.home.path().join("odd");
    write_layout(&odd, &[hostile, image("linux/riscv64")]);
    for (from, name) in [(&layout, "team/hello:latest"), (&layout, "team/hello:1.0"), (&odd, "team/odd:latest")] {
        archipel.ok(["copy", &format!("oci:{}", from.display()), &format!("{}/{name}", registry.address())]);
    }
    let url = format!("http://{}/", registry.address());
    let profile = archipel.home.path().join("chromium");
    let page = chromium(&profile, &url, &["--dump-dom"]);
    let row = page.split("<tr class=\"image\">").find(|row| row.contains("team/hello:latest"));
    let row = row.unwrap_or_else(|| panic!("no row in\n{page}"));
    for part in ["linux/amd64", "linux/arm64", "linux/arm/v7", ">1.0<", ">latest<", "docker pull"] {
        assert!(row.contains(part), "no {part} in\n{row}");
    }
    assert_eq!(page.matches("<tr class=\"image\">").count(), 2, "{page}");
    assert!(page.contains("<title>archipel registry</title>"), "a script of a manifest's ran:\n{page}");
    assert!(!page.contains("<img") && !page.contains("unknown"), "{page}");
    // It needs no script, for there is none. The picture is kept for whoever wants to look.
    assert!(!page.contains("<script"), "{page}");
    let shot = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page.png");
    chromium(&profile, &url, &[&format!("--screenshot={}", shot.display())]);
    let png = std::fs::read(&shot).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
}
