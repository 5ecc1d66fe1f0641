//! Programs made by hand: static ELF files of a few instructions that print a text and exit. They need no compiler and no
//! base image, and run for three architectures.

/// A program for `amd64`, `arm64` or `arm` that prints `text` and exits with `status`.
///
/// # Panics
/// For another architecture, or a text of more than 4000 bytes.
#[must_use]
pub fn program(architecture: &str, text: &str, status: u8) -> Vec<u8> {
    let len = u16::try_from(text.len()).ok().filter(|len| *len <= 4000).expect("a short text");
    match architecture {
        "amd64" => wide(62, &amd64(len, status), text),
        "arm64" => wide(183, &arm64(len, status), text),
        "arm" => narrow(40, &arm(len, status), text),
        other => panic!("no program for {other}"),
    }
}

const BASE: u32 = 0x1_0000;

fn amd64(len: u16, status: u8) -> Vec<u8> {
    let mut code = vec![0xb8, 1, 0, 0, 0]; // mov eax, SYS_write
    code.extend([0xbf, 1, 0, 0, 0]); // mov edi, 1
    code.extend([0x48, 0x8d, 0x35, 19, 0, 0, 0]); // lea rsi, [rip + 19]: the end of the code
    code.push(0xba); // mov edx, len
    code.extend(u32::from(len).to_le_bytes());
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0xb8, 60, 0, 0, 0]); // mov eax, SYS_exit
    code.extend([0xbf, status, 0, 0, 0]); // mov edi, status
    code.extend([0x0f, 0x05]); // syscall
    code
}

fn arm64(len: u16, status: u8) -> Vec<u8> {
    let mov = |register: u32, value: u16| 0xd280_0000 | (u32::from(value) << 5) | register;
    let svc = 0xd400_0001;
    // adr x1, +24: from the third instruction to the end of the eight.
    let adr = 0x1000_0001 | (6 << 5);
    words(&[mov(8, 64), mov(0, 1), adr, mov(2, len), svc, mov(8, 93), mov(0, u16::from(status)), svc])
}

fn arm(len: u16, status: u8) -> Vec<u8> {
    let movw = |register: u32, value: u16| {
        let value = u32::from(value);
        0xe300_0000 | ((value >> 12) << 16) | (register << 12) | (value & 0xfff)
    };
    let svc = 0xef00_0000;
    // add r1, pc, #16: pc is two instructions ahead.
    let adr = 0xe28f_1010;
    words(&[movw(7, 4), movw(0, 1), adr, movw(2, len), svc, movw(7, 1), movw(0, u16::from(status)), svc])
}

fn words(code: &[u32]) -> Vec<u8> {
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An ELF file of 64 bits: header, one program header, code, text.
fn wide(machine: u16, code: &[u8], text: &str) -> Vec<u8> {
    let size = 64 + 56 + code.len() as u64 + text.len() as u64;
    let mut elf = ident(2, machine);
    let header: [u64; 3] = [u64::from(BASE) + 64 + 56, 64, 0]; // entry, program headers, no sections
    elf.extend(header.iter().flat_map(|v| v.to_le_bytes()));
    elf.extend(0u32.to_le_bytes()); // flags
    elf.extend([64u16, 56, 1, 0, 0, 0].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend([1u32, 5].iter().flat_map(|v| v.to_le_bytes())); // PT_LOAD, readable and executable
    let segment = [0, u64::from(BASE), u64::from(BASE), size, size, 0x1_0000];
    elf.extend(segment.iter().flat_map(|v| v.to_le_bytes()));
    elf.extend(code);
    elf.extend(text.as_bytes());
    elf
}

/// The same of 32 bits, for ARM.
fn narrow(machine: u16, code: &[u8], text: &str) -> Vec<u8> {
    let size = u32::try_from(52 + 32 + code.len() + text.len()).unwrap_or(u32::MAX);
    let mut elf = ident(1, machine);
    let header = [BASE + 52 + 32, 52, 0, 0x0500_0400]; // entry, program headers, no sections, EABI 5 with hard float
    elf.extend(header.iter().flat_map(|v| v.to_le_bytes()));
    elf.extend([52u16, 32, 1, 0, 0, 0].iter().flat_map(|v| v.to_le_bytes()));
    let segment = [1, 0, BASE, BASE, size, size, 5, 0x1_0000];
    elf.extend(segment.iter().flat_map(|v| v.to_le_bytes()));
    elf.extend(code);
    elf.extend(text.as_bytes());
    elf
}

/// Magic, class, little endian, then type (executable), machine, version.
fn ident(class: u8, machine: u16) -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend(2u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn run(architecture: &str, emulator: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, super::program(architecture, "hello\n", 7)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = emulator.map_or_else(|| Command::new(&path), Command::new);
        if emulator.is_some() {
            command.arg(&path);
        }
        let output = command.output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(7), b"hello\n".as_slice()),
            "{architecture}"
        );
    }

    #[test]
    fn needs_qemu_the_programs_run() {
        crate::requires!(qemu);
        #[cfg(target_arch = "x86_64")]
        run("amd64", None);
        run("arm64", Some("qemu-aarch64-static"));
        run("arm", Some("qemu-arm-static"));
    }
}
