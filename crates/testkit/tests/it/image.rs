use std::net::TcpStream;
use std::process::Command;

use archipel_testkit::{DockerRegistry, ImageBuilder, OwnRegistry, elf, requires, write_layout};

/// What the builder writes is what others read: through a layout into a registry, and back.
#[test]
fn others_read_our_images() {
    requires!(skopeo, "docker-registry");
    let images = ["amd64", "arm64"].map(|architecture| {
        let program = elf::program(architecture, "hi\n", 0);
        ImageBuilder::new(&format!("linux/{architecture}"))
            .layer([("bin/", 0o755, b"".as_slice()), ("bin/hi", 0o755, &program)])
            .config(|config| config.config.cmd = Some(vec!["/bin/hi".into()]))
            .build()
    });
    let dir = tempfile::tempdir().unwrap();
    let index = write_layout(dir.path(), &images);

    let skopeo = |args: &[&str]| {
        let output = Command::new("skopeo").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let source = format!("oci:{}:latest", dir.path().display());
    let (debians, mut ours) = (DockerRegistry::start(), OwnRegistry::start());
    for address in [debians.address(), ours.address()] {
        let target = format!("docker://{address}/hi:latest");
        skopeo(&["--insecure-policy", "copy", "--all", "--dest-tls-verify=false", &source, &target]);
        assert_eq!(skopeo(&["inspect", "--raw", "--tls-verify=false", &target]), index.bytes());
    }
    ours.stop();
    assert!(TcpStream::connect(ours.address()).is_err());
}
