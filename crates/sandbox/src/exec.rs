//! The last step: finding the program, and becoming it. Not by the standard library, which would hand a file that the kernel does
//! not know to a shell.

use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::request::Request;
use crate::stage::Report;
use crate::user::User;

/// What is searched where the environment has no `PATH` (runc's default).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the command. Returns only why it could not.
pub(crate) fn execute(request: &Request, user: &User) -> Report {
    let Some(program) = request.argv.first() else {
        return Report::NotExecuted(127, "no command was given, and the image has none".into());
    };
    let mut env = request.env.clone();
    let mut add = |name: &str, value: &str| {
        if !env.iter().any(|(have, _)| have == name) {
            env.push((name.into(), value.into()));
        }
    };
    add("PATH", DEFAULT_PATH);
    add("HOME", &user.home);
    let path = match find(program, &env) {
        Ok(path) => path,
        Err((code, why)) => return Report::NotExecuted(code, format!("exec {program}: {why}")),
    };
    // Of a variable that is set twice the last value counts; C programs look for the first.
    let last = |n: usize| !env.iter().skip(n + 1).any(|(name, _)| *name == env[n].0);
    let env = env.iter().enumerate().filter(|(n, _)| last(*n)).map(|(_, (name, value))| format!("{name}={value}"));
    let strings = |list: &mut dyn Iterator<Item = String>| list.map(CString::new).collect::<Result<Vec<_>, _>>();
    let texts = (
        CString::new(path.as_os_str().as_encoded_bytes()),
        strings(&mut request.argv.iter().cloned()),
        strings(&mut env.into_iter()),
    );
    let (Ok(file), Ok(argv), Ok(env)) = texts else {
        return Report::NotExecuted(126, format!("exec {program}: a zero byte in its arguments or environment"));
    };
    let error = replace_process(&file, &argv, &env);
    let (code, why) = explain(&path, &error);
    Report::NotExecuted(code, format!("exec {program}: {why}"))
}

fn replace_process(file: &CString, argv: &[CString], env: &[CString]) -> std::io::Error {
    let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: the arrays end in null, and they and the strings live until the call returns or this program is no more. Signals get
    // their defaults back: what we, or who called us, ignore must not be ignored by the command.
    #[expect(unsafe_code, reason = "execve(2) and signal(2) have no safe wrappers")]
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL); // the two that cannot be changed say so
        }
        libc::execve(file.as_ptr(), argv.as_ptr(), env.as_ptr());
    }
    std::io::Error::last_os_error()
}

/// The file of a command: as it is if it names a folder, else from the first folder of `PATH` that has such a program.
fn find(program: &str, env: &[(String, String)]) -> Result<PathBuf, (i32, String)> {
    if program.contains('/') {
        return check(Path::new(program)).map(|()| program.into());
    }
    let path = env.iter().rev().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
    // An entry that is not absolute would run what happens to lie in the working folder.
    let folders = path.split(':').filter(|folder| folder.starts_with('/'));
    let mut found = Err((127, "executable file not found in $PATH".to_owned()));
    for file in folders.map(|folder| Path::new(folder).join(program)) {
        match check(&file) {
            Ok(()) => return Ok(file),
            Err((127, _)) => {}
            Err(other) => found = Err(other),
        }
    }
    if program.is_empty() { Err((127, "the command is an empty text".into())) } else { found }
}

fn check(file: &Path) -> Result<(), (i32, String)> {
    let meta = file.metadata().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            (127, "no such file or directory".to_owned())
        }
        _ => (126, e.to_string()),
    })?;
    if meta.is_dir() {
        return Err((126, "is a directory".into()));
    }
    if !meta.is_file() || access(file, Access::EXEC_OK).is_err() {
        return Err((126, "permission denied".into()));
    }
    // A link of the kernel's to our own binary, which nobody in there has any business with (CVE-2019-5736).
    let ours = Path::new("/proc/self/exe").metadata();
    if ours.is_ok_and(|ours| (ours.dev(), ours.ino()) == (meta.dev(), meta.ino())) {
        return Err((126, "permission denied".into()));
    }
    Ok(())
}

fn explain(file: &Path, error: &std::io::Error) -> (i32, String) {
    let mut head = Vec::new();
    if let Ok(file) = File::open(file) {
        let _ = file.take(256).read_to_end(&mut head); // what cannot be read is not explained
    }
    match error.raw_os_error() {
        Some(libc::ENOENT) => (127, format!("its interpreter{} is not in the image", interpreter(&head))),
        Some(libc::ENOEXEC) => (126, format!("exec format error: {}", foreign(&head))),
        Some(libc::E2BIG) => (126, "argument list too long".into()),
        _ => (126, error.to_string()),
    }
}

/// Of a script; that of an ELF file stands somewhere else in it.
fn interpreter(head: &[u8]) -> String {
    let Some(line) = head.strip_prefix(b"#!") else { return String::new() };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let name = text.split_whitespace().next().unwrap_or_default();
    let carriage = if text.ends_with('\r') { " (its line ends in a carriage return)" } else { "" };
    format!(" {name:?}{carriage}")
}

fn foreign(head: &[u8]) -> String {
    if !head.starts_with(b"\x7fELF") {
        return "it is neither a program nor a script with an interpreter line (#!)".into();
    }
    let machine = match (head.get(5), head.get(18..20)) {
        (Some(2), Some([high, low])) => u16::from_be_bytes([*high, *low]),
        (_, Some([low, high])) => u16::from_le_bytes([*low, *high]),
        _ => 0,
    };
    match crate::emulation::name_of(machine) {
        Some(name) => format!("it is a program for {name}, and this machine has no emulator for it"),
        None => "it is a program for a processor that this machine neither has nor emulates".into(),
    }
}
