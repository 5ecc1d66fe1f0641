//! Base images for the demo and for tests, made from Debian packages: `busybox` (busybox-static) and `golang` (busybox plus
//! Debian's Go at `/usr/local/go`), each for three platforms. No image registry is needed to have them.
//!
//! ```text
//! DIR/busybox/  DIR/golang/     OCI layouts with one index, tagged latest
//! DIR/busybox.stamp ...         how and from which packages the layout was made
//! DIR/apt/                      package lists and downloads
//! ```
//!
//! A layout is kept until the way it is made changes ([`RECIPE`]) or the machine's Debian release does; remove DIR to have
//! newer packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail};
use archipel_oci::{ContainerConfig, Platform};

use crate::apt::{self, Apt};
use crate::layout::Layout;
use crate::tree::Tree;

/// To be raised whenever the images would come out differently.
const RECIPE: u32 = 1;

const PATH: &str = "PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Arch {
    /// Debian's name.
    deb: &'static str,
    /// OCI's.
    platform: (&'static str, Option<&'static str>),
    /// Rust's, to recognise the machine.
    rust: &'static str,
    /// Where the C library lies.
    triplet: &'static str,
    /// The dynamic loader that programs ask for.
    loader: &'static str,
}

const ARCHES: [Arch; 3] = [
    Arch {
        deb: "amd64",
        platform: ("amd64", None),
        rust: "x86_64",
        triplet: "x86_64-linux-gnu",
        loader: "lib64/ld-linux-x86-64.so.2",
    },
    Arch {
        deb: "arm64",
        platform: ("arm64", Some("v8")),
        rust: "aarch64",
        triplet: "aarch64-linux-gnu",
        loader: "lib/ld-linux-aarch64.so.1",
    },
    Arch {
        deb: "armhf",
        platform: ("arm", Some("v7")),
        rust: "arm",
        triplet: "arm-linux-gnueabihf",
        loader: "lib/ld-linux-armhf.so.3",
    },
];

/// What of a Go release `go build` needs: its source without tests, and these of its tools.
const GO_TOOLS: [&str; 5] = ["asm", "cgo", "compile", "link", "vet"];

/// Makes the images that are not there yet; `only` names some of them, none means all.
pub(crate) fn make(dir: &Path, only: &[String]) -> Result<()> {
    let known = ["busybox", "golang"];
    if let Some(name) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no base image {name:?}: there are {}", known.join(" and "));
    }
    fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    let dir = fs::canonicalize(dir)?;
    let lock = File::create(dir.join("lock"))?;
    lock.lock().context("lock")?;

    let head = format!("recipe {RECIPE} on {}\n", release());
    let missing: Vec<&str> = known
        .into_iter()
        .filter(|name| only.is_empty() || only.iter().any(|o| o == name))
        .filter(|name| {
            !fs::read_to_string(stamp(&dir, name)).is_ok_and(|text| text.starts_with(&head))
                || !dir.join(name).join("index.json").exists()
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = Apt::new(&dir.join("apt"), &ARCHES.map(|arch| arch.deb))?;
    for name in missing {
        let packages = image(&apt, &dir, name)?;
        fs::write(stamp(&dir, name), format!("{head}{}", packages.join("\n")))?;
        println!("{}", dir.join(name).display());
    }
    Ok(())
}

fn stamp(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.stamp"))
}

/// The machine's distribution, which decides what the packages are.
fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").to_owned();
    format!("{} {}", field("ID="), field("VERSION_CODENAME="))
}

/// Makes one image for all platforms; returns the packages it is made of.
fn image(apt: &Apt, dir: &Path, name: &str) -> Result<Vec<String>> {
    let mut packages = vec!["busybox-static".to_owned()];
    let mut go = None;
    if name == "golang" {
        // golang-go is an empty package that depends on the release's default version.
        let version = apt
            .depends("golang-go")?
            .into_iter()
            .find_map(|p| Some(p.strip_prefix("golang-")?.strip_suffix("-go")?.to_owned()))
            .context("golang-go depends on no golang-VERSION-go")?;
        packages.extend([format!("golang-{version}-go"), format!("golang-{version}-src"), "libc6".into()]);
        go = Some(version);
    }
    let scratch = dir.join(format!("{name}.tmp"));
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    let mut used = Vec::new();
    for arch in &ARCHES {
        let root = scratch.join(arch.deb);
        fs::create_dir_all(&root)?;
        for package in &packages {
            // Sources are one package for all architectures, which apt knows by its plain name only.
            let all = package.ends_with("-src");
            let deb = apt.download(&if all { package.clone() } else { format!("{package}:{}", arch.deb) })?;
            apt::unpack(&deb, &root)?;
            used.push(deb.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    used.sort();
    used.dedup();

    let applets = applets(&scratch)?;
    let layout = Layout::create(&scratch.join("layout"))?;
    let images = thread::scope(|scope| {
        let jobs: Vec<_> = ARCHES
            .iter()
            .map(|arch| {
                let (layout, applets, go, root) = (&layout, &applets, go.as_deref(), scratch.join(arch.deb));
                scope.spawn(move || {
                    let mut tree = busybox(&root, applets)?;
                    if let Some(version) = go {
                        golang(&mut tree, &root, arch, version)?;
                    }
                    let (architecture, variant) = arch.platform;
                    let config = ContainerConfig {
                        env: vec![PATH.into()],
                        cmd: Some(vec!["sh".into()]),
                        ..ContainerConfig::default()
                    };
                    layout.image(arch.deb, &Platform::new("linux", architecture, variant), config, &tree)
                })
            })
            .collect();
        jobs.into_iter().map(|job| job.join().map_err(|_| anyhow!("a thread panicked"))?).collect::<Result<Vec<_>>>()
    })?;
    layout.finish(images)?;
    let done = dir.join(name);
    if done.exists() {
        fs::remove_dir_all(&done)?;
    }
    fs::rename(scratch.join("layout"), done)?;
    fs::remove_dir_all(&scratch)?;
    Ok(used)
}

/// Debian's two ways to lay out a package: before and after the merge of `/bin` and `/lib` into `/usr`.
fn either(root: &Path, path: &str) -> PathBuf {
    let merged = root.join("usr").join(path);
    if merged.exists() { merged } else { root.join(path) }
}

/// The commands that busybox stands for: asked of the one that this machine can run.
fn applets(scratch: &Path) -> Result<Vec<String>> {
    let here = ARCHES
        .iter()
        .find(|arch| arch.rust == env::consts::ARCH)
        .with_context(|| format!("base images cannot be made on {}", env::consts::ARCH))?;
    let text = apt::output(Command::new(either(&scratch.join(here.deb), "bin/busybox")).arg("--list"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn busybox(root: &Path, applets: &[String]) -> Result<Tree> {
    let mut tree = Tree::default();
    for path in ["etc", "home", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "var"] {
        tree.dir(path, 0o755);
    }
    tree.dir("root", 0o700);
    tree.dir("tmp", 0o1777);
    tree.dir("var/tmp", 0o1777);
    tree.file("bin/busybox", &either(root, "bin/busybox"))?;
    for applet in applets {
        tree.symlink(&format!("bin/{applet}"), "busybox");
    }
    tree.text(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    );
    tree.text("etc/group", "root:x:0:\ndaemon:x:1:\nusers:x:100:\nnogroup:x:65534:\n");
    Ok(tree)
}

/// Adds Go and the parts of the C library that its `go` command is linked with.
fn golang(tree: &mut Tree, root: &Path, arch: &Arch, version: &str) -> Result<()> {
    let lib = root.join("usr/lib").join(format!("go-{version}"));
    let share = root.join("usr/share").join(format!("go-{version}"));
    let target = format!("linux_{}", arch.platform.0);
    for file in ["VERSION", "go.env"] {
        if let Some(source) = [&lib, &share].into_iter().map(|dir| dir.join(file)).find(|path| path.exists()) {
            tree.file(&format!("usr/local/go/{file}"), &source)?;
        }
    }
    tree.copy("usr/local/go/bin", &lib.join("bin"), &|_| true)?;
    tree.copy("usr/local/go/src", &share.join("src"), &|path| {
        path != "cmd" && !path.ends_with("_test.go") && !path.split('/').any(|part| part == "testdata")
    })?;
    tree.copy("usr/local/go/pkg/include", &share.join("pkg/include"), &|_| true)?;
    for tool in GO_TOOLS {
        let path = format!("pkg/tool/{target}/{tool}");
        tree.file(&format!("usr/local/go/{path}"), &lib.join(&path))?;
    }
    // Compiled packages, which Go had until 1.19: with them an emulated build need not compile the standard library.
    let compiled = lib.join("pkg").join(&target);
    if compiled.exists() {
        tree.copy(&format!("usr/local/go/pkg/{target}"), &compiled, &|path| path != "cmd")?;
    }
    let loader = Path::new(arch.loader).file_name().context("loader")?.to_string_lossy();
    let libc = |name: &str| either(root, &format!("lib/{}/{name}", arch.triplet));
    tree.file(arch.loader, &libc(&loader))?;
    for name in ["libc.so.6", "libpthread.so.0", "libdl.so.2", "libresolv.so.2"] {
        tree.file(&format!("lib/{}/{name}", arch.triplet), &libc(name))?;
    }
    tree.dir("go", 0o755);
    Ok(())
}
