//! `cargo xtask bench`: the figures of BENCHMARKS.md, measured on this machine against what peers are installed.
//!
//! Whole processes, wall time, the median of several runs after a warm-up, peers in the same session. The absolute figures belong
//! to the machine; the ratios carry over.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

const RUNS: usize = 11;
const PLATFORMS: &str = "linux/amd64,linux/arm64,linux/arm/v7";

/// Everything that the measurements share.
struct Bench {
    archipel: PathBuf,
    dir: PathBuf,
    registry: String,
    server: Child,
}

/// Runs all measurements and prints a line for each.
pub(crate) fn run(archipel: &Path, bases: &Path) -> Result<()> {
    // Absolute, as the store's folder must be.
    let dir = std::path::absolute(bases.with_file_name(format!("bench.{}", std::process::id())))?;
    fs::create_dir_all(&dir)?;
    let mut bench = start(archipel, &dir)?;
    let result = measure(&bench, bases);
    // By hand, not on drop: the folder can only go when the server is gone.
    bench.server.kill()?;
    bench.server.wait()?;
    bench.archipel(&["prune", "--all", "--force"]).status()?;
    fs::remove_dir_all(&dir)?;
    result
}

fn start(archipel: &Path, dir: &Path) -> Result<Bench> {
    let mut server = Command::new(archipel)
        .args(["registry", "serve", "--listen", "127.0.0.1:0", "--root"])
        .arg(dir.join("registry"))
        .stdout(Stdio::piped())
        .spawn()
        .context("start the registry")?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().context("its output")?).read_line(&mut line)?;
    let registry = line.trim().strip_prefix("listening on http://").context("its address")?.to_owned();
    fs::write(dir.join("config.toml"), format!("[registry.\"docker.io\"]\nmirrors = [\"{registry}\"]\n"))?;
    Ok(Bench { archipel: archipel.to_owned(), dir: dir.to_owned(), registry, server })
}

impl Bench {
    fn archipel(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.archipel);
        command
            .args(args)
            .env("ARCHIPEL_STORE", self.dir.join("data/archipel"))
            .env("ARCHIPEL_CONFIG", self.dir.join("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn build(&self, args: &[&str], context: &Path) -> Command {
        let mut command = self.archipel(&["build", "--progress", "plain"]);
        command.args(args).arg(context);
        command
    }

    fn context(&self, name: &str, dockerfile: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("Dockerfile"), dockerfile)?;
        Ok(dir)
    }
}

fn measure(bench: &Bench, bases: &Path) -> Result<()> {
    for image in ["busybox", "golang"] {
        let from = format!("oci:{}", bases.join(image).display());
        once(&mut bench.archipel(&["copy", &from, &format!("{}/library/{image}:latest", bench.registry)]))?;
    }
    println!("| measurement | median | min - max | peak memory |\n|---|---|---|---|");
    unchanged_push(bench)?;
    run_step(bench)?;
    large_context(bench)
}

/// The second, unchanged build of three platforms with `--push`.
fn unchanged_push(bench: &Bench) -> Result<()> {
    let hello = Path::new("examples/hello-devops");
    let name = format!("{}/hello:latest", bench.registry);
    let args = ["--platform", PLATFORMS, "-t", &name, "--push"];
    let first = once(&mut bench.build(&args, hello))?;
    report("hello-devops, 3 platforms, first build and push", &[first]);
    report("the same again, unchanged", &several(|| bench.build(&args, hello))?);
    if installed("buildah") {
        let dockerfile = format!("FROM {}/library/busybox\nRUN true\nCOPY Dockerfile /\n", bench.registry);
        let context = bench.context("peer", &dockerfile)?;
        let state = bench.dir.join("buildah");
        let runs = several(|| buildah(&state, &context))?;
        report("buildah: RUN true and a COPY on busybox, 1 platform, unchanged, no push", &runs);
        report("archipel: the same", &several(|| bench.build(&[], &context))?);
    }
    Ok(())
}

fn buildah(state: &Path, context: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.arg(format!("--root={}", state.join("root").display()));
    command.arg(format!("--runroot={}", state.join("run").display()));
    command.args(["--storage-driver=vfs", "bud", "--isolation=chroot", "--tls-verify=false", "--layers", "-t", "x"]);
    command.arg(context).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What one more `RUN true` costs: 41 of them against 1, never cached.
fn run_step(bench: &Bench) -> Result<()> {
    let of = |n: usize| -> Result<Duration> {
        let steps: String = (0..n).map(|i| format!("RUN true {i}\n")).collect();
        let context = bench.context(&format!("run{n}"), &format!("FROM busybox\n{steps}"))?;
        Ok(median(&several(|| bench.build(&["--no-cache", "-o", "type=cacheonly"], &context))?).0)
    };
    let (one, many) = (of(1)?, of(41)?);
    println!("| one more `RUN true` | {:.1} ms | | |", (many.saturating_sub(one)).as_secs_f64() * 1000.0 / 40.0);
    Ok(())
}

/// A context of 1 GiB in 2,000 files: time and memory of the first build.
fn large_context(bench: &Bench) -> Result<()> {
    let context = bench.context("large", "FROM scratch\nCOPY data /data\n")?;
    let data = context.join("data");
    fs::create_dir_all(&data)?;
    // Neither all alike nor all noise: half of each block is a counter, half is zeros.
    let mut state = 1u64;
    for file in 0..2000 {
        let mut bytes = vec![0u8; 512 * 1024];
        for chunk in bytes.chunks_exact_mut(16) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            chunk[..8].copy_from_slice(&state.to_le_bytes());
        }
        fs::write(data.join(format!("{file:04}")), bytes)?;
    }
    let out = bench.dir.join("large.tar");
    let dest = format!("type=oci,dest={}", out.display());
    report(
        "COPY of 1 GB in 2,000 files to an OCI archive, first build",
        &[once(&mut bench.build(&["-o", &dest], &context))?],
    );
    report("the same again, unchanged", &[once(&mut bench.build(&["-o", &dest], &context))?]);
    Ok(())
}

/// How long a command took, and its largest resident size in KiB.
type Run = (Duration, u64);

fn once(command: &mut Command) -> Result<Run> {
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let peak = peak_of(&mut child);
    let status = child.wait()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok((begun.elapsed(), peak))
}

/// Looks at the process while it runs: the kernel keeps the peak for us, so the last look is enough.
fn peak_of(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while matches!(child.try_wait(), Ok(None)) {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        peak = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(1));
    }
    peak
}

fn several(command: impl Fn() -> Command) -> Result<Vec<Run>> {
    once(&mut command())?;
    (0..RUNS).map(|_| once(&mut command())).collect()
}

fn median(runs: &[Run]) -> Run {
    let mut sorted: Vec<Run> = runs.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

fn report(what: &str, runs: &[Run]) {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let (middle, _) = median(runs);
    let peak = runs.iter().map(|r| r.1).max().unwrap_or(0);
    let range = match (runs.iter().min(), runs.iter().max()) {
        (Some(min), Some(max)) if runs.len() > 1 => format!("{:.0} - {:.0} ms", ms(min.0), ms(max.0)),
        _ => "one run".into(),
    };
    println!("| {what} | {:.0} ms | {range} | {} MB |", ms(middle), peak / 1000);
}

fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
