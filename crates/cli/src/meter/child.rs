//! The command: started, its output passed on, signals handed to it, its end.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process, waitid};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the command; `hear` gets what it prints after it was passed on. Returns its exit code.
pub fn run(command: &[OsString], hear: &mut dyn FnMut(&[u8])) -> i32 {
    let [program, args @ ..] = command else { return 2 };
    // Before the command is there: a signal must not end us alone.
    let target = Arc::new(Mutex::new(None));
    pass_signals_to(target.clone());
    let mut child = match Command::new(program).args(args).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ducat: cannot run {}: {error}", program.display());
            // As shells say it.
            return if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
        }
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    *target.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    let passed = child.stdout.take().map_or(Ok(()), |output| pass_on(output, hear));
    let code = ended(&mut child, pid, &target);
    match passed {
        // Whoever reads has seen enough, and the command knows it as it would without us.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "ducat: passing on what {} printed: {error}", program.display());
            // Without us the command would have heard of it; what is lost is no success.
            code.max(1)
        }
        _ => code,
    }
}

/// Copies what comes as it comes. When it cannot be written any more the command's pipe is closed.
fn pass_on(mut output: ChildStdout, hear: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    // Not std's handle, which keeps what has no line break yet.
    let mut own = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut part = vec![0; 64 << 10];
    loop {
        match output.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                write_whole(&mut own, &part[..read])?;
                hear(&part[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits where others would be told to try again: a terminal's descriptors are one, and agents make theirs non-blocking.
fn write_whole(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(&*to, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for the end. The process is left in the table until no signal can be sent to its number any more.
fn ended(child: &mut Child, pid: Option<Pid>, target: &Mutex<Option<Pid>>) -> i32 {
    if let Some(pid) = pid {
        while matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT), Err(rustix::io::Errno::INTR)) {}
    }
    *target.lock().unwrap_or_else(PoisonError::into_inner) = None;
    match child.wait() {
        Ok(status) => status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1),
        Err(_) => 1,
    }
}

/// Hands on what is sent to us alone. What a terminal sends goes to the whole group, so the command has it already, and a second Ctrl-C
/// means something else to agents.
fn pass_signals_to(target: Arc<Mutex<Option<Pid>>>) {
    let kinds = [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ];
    let ignored = ignored_signals();
    let heard = kinds.into_iter().filter(|(kind, _)| ignored & (1 << (kind.as_raw_value() - 1)) == 0);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let streams: Vec<_> = {
        let _entered = runtime.enter();
        heard.filter_map(|(kind, number)| Some((signal(kind).ok()?, number))).collect()
    };
    let pass = move || {
        runtime.block_on(async {
            let mut tasks = Vec::new();
            for (mut stream, number) in streams {
                let target = target.clone();
                tasks.push(tokio::spawn(async move {
                    while stream.recv().await.is_some() {
                        let from_terminal = matches!(number, Signal::INT | Signal::QUIT) && is_in_foreground();
                        let target = target.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(pid) = target.filter(|_| !from_terminal) {
                            let _ = kill_process(pid, number);
                        }
                    }
                }));
            }
            for task in tasks {
                let _ = task.await;
            }
        });
    };
    let _ = thread::Builder::new().name("ducat-signals".to_owned()).spawn(pass);
}

/// Signals that whoever started us wants ignored (`nohup`, a script's background jobs), a bit each: the command is to ignore them, too, which
/// it would not had we taken them. Where the system does not tell, none.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Our group is the one that the terminal sends Ctrl-C to.
fn is_in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

/// Tells the ledger, over the same ways and within the same deadline as an agent's hooks. Only ids and numbers are told, so they may be
/// spooled as they are.
pub fn tell(agent: &str, payload: &[u8]) {
    let Ok(hook) = env::current_exe().map(|own| own.with_file_name("ducat-hook")) else { return };
    let mut command = Command::new(hook);
    command.arg(agent).env("DUCAT_SPOOL_CONTENT", "1").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return };
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(payload);
    }
    let _ = child.wait();
}
