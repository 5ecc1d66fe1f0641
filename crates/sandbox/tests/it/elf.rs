//! Programs made by hand: static ELF files of a few instructions, which print a line and exit.

const TEXT: &[u8] = b"hello\n";
const BASE: u32 = 0x1_0000;

/// Prints "hello" and exits with 7, on `arm64`, `riscv64`, `arm` or `386`; for any other name a program that no processor runs.
pub(crate) fn program(architecture: &str) -> Vec<u8> {
    match architecture {
        "arm64" => wide(183, &arm64()),
        "riscv64" => wide(243, &riscv64()),
        "arm" => narrow(40, 0x0500_0400, &arm()),
        "386" => narrow(3, 0, &i386()),
        _ => wide(0x7777, &[]),
    }
}

fn arm64() -> Vec<u8> {
    let mov = |register: u32, value: u32| 0xd280_0000 | (value << 5) | register;
    let svc = 0xd400_0001;
    let address = 0x1000_0001 | (6 << 5); // adr x1, 24 bytes on: the end of the code
    words(&[mov(8, 64), mov(0, 1), address, mov(2, 6), svc, mov(8, 93), mov(0, 7), svc])
}

fn riscv64() -> Vec<u8> {
    let load = |register: u32, value: u32| (value << 20) | (register << 7) | 0x13;
    let (a0, a1, a2, a7, call) = (10, 11, 12, 17, 0x73);
    // auipc a1, 0; addi a1, a1, 28: the end of the code
    let address = [(a1 << 7) | 0x17, (28 << 20) | (a1 << 15) | (a1 << 7) | 0x13];
    let [high, low] = address;
    words(&[load(a7, 64), load(a0, 1), high, low, load(a2, 6), call, load(a7, 93), load(a0, 7), call])
}

fn arm() -> Vec<u8> {
    let mov = |register: u32, value: u32| 0xe3a0_0000 | (register << 12) | value;
    let svc = 0xef00_0000;
    let address = 0xe28f_1010; // add r1, pc, 16: the end of the code
    words(&[mov(7, 4), mov(0, 1), address, mov(2, 6), svc, mov(7, 1), mov(0, 7), svc])
}

fn i386() -> Vec<u8> {
    let text = BASE + 52 + 32 + 34;
    let mut code = vec![0xb8, 4, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9]; // mov eax, write; mov ebx, 1; mov ecx,
    code.extend(text.to_le_bytes());
    code.extend([0xba, 6, 0, 0, 0, 0xcd, 0x80]); // mov edx, 6; int 0x80
    code.extend([0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80]); // mov eax, exit; mov ebx, 7; int 0x80
    code
}

fn words(code: &[u32]) -> Vec<u8> {
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn ident(class: u8, machine: u16) -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0]);
    elf.extend(machine.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf
}

fn wide(machine: u16, code: &[u8]) -> Vec<u8> {
    let mut elf = ident(2, machine);
    elf.extend([u64::from(BASE) + 120, 64, 0].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 1, 0, 0, 0].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend([1u32, 5].iter().flat_map(|v| v.to_le_bytes()));
    let size = 120 + (code.len() + TEXT.len()) as u64;
    elf.extend([0, u64::from(BASE), u64::from(BASE), size, size, 0x1_0000].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend([code, TEXT].concat());
    elf
}

fn narrow(machine: u16, flags: u32, code: &[u8]) -> Vec<u8> {
    let mut elf = ident(1, machine);
    elf.extend([BASE + 84, 52, 0, flags].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend([52u16, 32, 1, 0, 0, 0].iter().flat_map(|v| v.to_le_bytes()));
    let size = 84 + (code.len() + TEXT.len()) as u32;
    elf.extend([1, 0, BASE, BASE, size, size, 5, 0x1_0000].iter().flat_map(|v| v.to_le_bytes()));
    elf.extend([code, TEXT].concat());
    elf
}
