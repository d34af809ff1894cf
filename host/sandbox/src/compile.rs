//! Compiling in a process of its own: a component that takes the compiler down, or keeps it busy, takes nothing else.
//!
//! The process is this very binary, started with [`COMPILE_ARG`]; it reads the component from standard input, writes
//! machine code to standard output and the compiler's words to standard error. Its `main` hands over to
//! [`compile_child_main`] before it does anything else.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use idsync_capability::cleaned;
use rlimit::Resource;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Engine;

use crate::cache::TrustedCode;
use crate::engine::compiling_config;
use crate::error::SandboxError;

/// The first argument of the process that compiles. It is for this program alone, and stands in no help text.
pub const COMPILE_ARG: &str = "__compile-plugin";

/// The most that is taken of the compiler's words, in bytes.
const WORDS_BYTES: u64 = 16 * 1024;
/// The most that the compiler says, in bytes: a component puts names of its own choice into what is wrong with it.
const SAID_BYTES: usize = 8 * 1024;
/// The most machine code that one component may become, in bytes.
pub(crate) const CODE_BYTES: u64 = 1 << 30;
/// Threads of the compiler. Each takes address space, of which there is a limit, however many processors there are.
const THREADS: &str = "4";
/// What the allocator sets apart at a time. It would be a quarter of the address space otherwise.
const RESERVE: &str = "64MiB";
/// What the compiler exits with when it refused a component.
const REFUSED: u8 = 3;

/// How compiling is done and what it may use.
#[derive(Debug, Clone)]
pub struct Compiling {
    /// The program that knows [`COMPILE_ARG`]: as a rule this one.
    pub program: PathBuf,
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// Time on all processors together.
    pub cpu: Duration,
    /// Time until it is ended whatever it does.
    pub wall_time: Duration,
}

impl Compiling {
    /// Compiling by this program, within 4 GiB, two minutes of processor time and five of waiting.
    pub fn by(program: PathBuf) -> Self {
        Self {
            program,
            memory_bytes: 4 << 30,
            cpu: Duration::from_mins(2),
            wall_time: Duration::from_mins(5),
        }
    }

    /// Compiles the component that was read from `path`, which serves the error texts.
    pub(crate) async fn compile(&self, path: &Path, component: &[u8]) -> Result<TrustedCode, SandboxError> {
        let run = self.run(component);
        let answer = match tokio::time::timeout(self.wall_time, run).await {
            Ok(answer) => answer.map_err(|source| SandboxError::Compiler {
                program: self.program.clone(),
                source,
            })?,
            Err(_) => {
                return Err(SandboxError::CompilerEnded {
                    path: path.to_owned(),
                    ended_by: format!("its limit of {} s", self.wall_time.as_secs()),
                });
            }
        };
        if answer.status.success() && !answer.code.is_empty() {
            return Ok(TrustedCode::just_compiled(answer.code));
        }
        Err(answer.into_error(path))
    }

    async fn run(&self, component: &[u8]) -> io::Result<Answer> {
        let mut child = Command::new(&self.program)
            .arg(COMPILE_ARG)
            .arg(self.memory_bytes.to_string())
            .arg(self.cpu.as_secs().to_string())
            .env_clear()
            .env("RAYON_NUM_THREADS", THREADS)
            .env("MIMALLOC_ARENA_RESERVE", RESERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the pipes to the compiler are missing"));
        };
        let write = async move {
            // A compiler that ends before it has read everything says why on its own pipes.
            let _ = stdin.write_all(component).await;
        };
        let read_code = async move {
            let mut code = Vec::new();
            // The pipe is closed after the last byte that is taken: a compiler that has more of them ends.
            stdout.take(CODE_BYTES).read_to_end(&mut code).await.map(|_| code)
        };
        let ((), code, words) = tokio::join!(write, read_code, words_of(stderr));
        Ok(Answer {
            code: code?,
            words: words?,
            status: child.wait().await?,
        })
    }
}

/// What the compiler says, as far as it is kept, without what terminals act on. All of it is read: a compiler whose
/// pipe is full would wait for its reader for ever.
async fn words_of(mut pipe: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut words = Vec::new();
    (&mut pipe).take(WORDS_BYTES).read_to_end(&mut words).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    let lines: Vec<String> = String::from_utf8_lossy(&words)
        .trim()
        .lines()
        .map(|line| cleaned(line, words.len()))
        .collect();
    Ok(lines.join("\n"))
}

struct Answer {
    status: ExitStatus,
    code: Vec<u8>,
    words: String,
}

impl Answer {
    fn into_error(self, path: &Path) -> SandboxError {
        use std::os::unix::process::ExitStatusExt as _;

        let path = path.to_owned();
        if self.status.code() == Some(i32::from(REFUSED)) {
            return SandboxError::Compile {
                path,
                reason: self.words,
            };
        }
        let mut ended_by = match self.status.signal() {
            Some(9 | 24) => "its limit on processor time or memory".to_owned(),
            Some(signal) => format!("signal {signal}"),
            None => self.status.to_string(),
        };
        if let Some(last) = self.words.lines().last() {
            ended_by.push_str(" (");
            ended_by.push_str(last);
            ended_by.push(')');
        }
        SandboxError::CompilerEnded { path, ended_by }
    }
}

/// The whole work of the process that compiles. `args` are those after [`COMPILE_ARG`]: bytes of address space and
/// seconds of processor time.
pub fn compile_child_main(args: impl IntoIterator<Item = String>) -> ExitCode {
    let mut numbers = args.into_iter().map(|argument| argument.parse::<u64>());
    let (Some(Ok(memory_bytes)), Some(Ok(cpu_seconds))) = (numbers.next(), numbers.next()) else {
        return end(2, "this argument is for idsync itself");
    };
    if let Err(error) = limit_this_process(memory_bytes, cpu_seconds) {
        return end(1, &format!("the compiler could not limit itself: {error}"));
    }
    let mut component = Vec::new();
    if let Err(error) = io::stdin().lock().read_to_end(&mut component) {
        return end(1, &format!("the component could not be read: {error}"));
    }
    let compiled =
        Engine::new(&compiling_config()).and_then(|engine| engine.precompile_component(&component));
    let code = match compiled {
        Ok(code) => code,
        Err(error) => return end(REFUSED, &format!("{error:#}")),
    };
    match io::stdout().lock().write_all(&code) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(1, &format!("the machine code could not be handed over: {error}")),
    }
}

fn limit_this_process(memory_bytes: u64, cpu_seconds: u64) -> io::Result<()> {
    let limits = [
        (Resource::AS, memory_bytes),
        (Resource::CPU, cpu_seconds),
        (Resource::CORE, 0),
        (Resource::FSIZE, 0),
    ];
    for (resource, limit) in limits {
        if resource.is_supported() {
            resource.set(limit, limit)?;
        }
    }
    Ok(())
}

fn end(code: u8, words: &str) -> ExitCode {
    let kept = &words[..words.floor_char_boundary(SAID_BYTES)];
    let more = if kept.len() < words.len() { "…" } else { "" };
    // Nobody is left to hear of it when this can't be written.
    let _ = writeln!(io::stderr(), "{kept}{more}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_the_compiler_says_is_read_and_little_of_it_kept() {
        let said = format!("\u{1b}[2Jwrong\nnext {}", "x".repeat(1 << 20));
        let mut pipe = said.as_bytes();
        let words = words_of(&mut pipe).await.expect("bytes in memory");
        assert!(pipe.is_empty(), "{} bytes would keep it waiting", pipe.len());
        assert!(words.len() as u64 <= WORDS_BYTES + 8, "{}", words.len());
        assert!(
            words.starts_with("\u{fffd}[2Jwrong\nnext xxx"),
            "{}",
            &words[..40]
        );
    }
}
