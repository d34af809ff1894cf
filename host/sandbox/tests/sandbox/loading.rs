//! What is loaded and what is refused; what the cache of compiled components is believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use idsync_model::{Clock, ErrorKind, SystemClock, UnixMillis};
use idsync_sandbox::{Compiling, Limits, Pool, Sandbox, SandboxError};

use crate::support::{Place, master_key, no_grants, setup, sync, test_plugin};

fn cached(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("cache"))
        .expect("the cache's folder")
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn the_cached(folder: &Path) -> PathBuf {
    let mut all = cached(folder);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// A sandbox that has a cache and nothing to compile with.
fn without_compiler(folder: &Path) -> Arc<Sandbox> {
    let mut setup = setup(folder, Limits::default());
    setup.compiling = Compiling::by(PathBuf::from("/nowhere/compiler"));
    Sandbox::new(setup).expect("a sandbox")
}

async fn load(sandbox: &Arc<Sandbox>) -> Result<(), SandboxError> {
    sandbox.load(&test_plugin("test-plugin-hostile")).await.map(drop)
}

#[tokio::test]
async fn inspect_shows_what_a_plugin_is() {
    let place = Place::new(Limits::default());
    let plugin = place.plugin().await;
    assert_eq!(plugin.contract(), "idsync:plugin@0.1.0");
    let shown = plugin.inspect();
    let json = serde_json::to_value(&shown).expect("it is plain");
    assert_eq!(json["id"], "hostile");
    assert_eq!(json["version"], "1.0.0");
    assert_eq!(json["hosts"][0], "{host}");
    assert_eq!(json["settings"][0]["name"], "behaviour");
    let imports = json["imports"].as_array().expect("a list");
    assert!(
        imports
            .iter()
            .any(|name| name == "idsync:plugin/identity-store@0.1.0")
    );
    let file = fs::metadata(test_plugin("test-plugin-hostile")).expect("it was loaded");
    assert_eq!(json["size_bytes"], file.len());
}

#[tokio::test]
async fn the_file_system_is_named_when_it_is_refused() {
    let place = Place::new(Limits::default());
    let error = place
        .sandbox
        .load(&test_plugin("test-plugin-filesystem"))
        .await
        .expect_err("it reads files");
    let SandboxError::ForbiddenImport { imports, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        imports.iter().all(|name| name.starts_with("wasi:filesystem/")),
        "{imports:?}"
    );
    assert!(
        error.to_string().contains("wasi:filesystem/types@0.2."),
        "{error}"
    );
}

#[tokio::test]
async fn sockets_and_unknown_interfaces_are_refused_by_name() {
    let place = Place::new(Limits::default());
    let error = place
        .refused(
            r#"(component
                (import "wasi:sockets/tcp@0.2.0" (instance))
                (import "wasi:io/poll@0.3.0" (instance))
                (import "wasi:clocks/wall-clock@0.2.9" (instance))
                (import "mine" (func)))"#,
        )
        .await;
    let SandboxError::ForbiddenImport { imports, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(imports, &["wasi:sockets/tcp@0.2.0", "wasi:io/poll@0.3.0", "mine"]);
}

#[tokio::test]
async fn another_world_is_named() {
    let place = Place::new(Limits::default());
    let error = place
        .sandbox
        .load(&test_plugin("test-plugin-other-world"))
        .await
        .expect_err("it is of another version");
    assert!(matches!(error, SandboxError::OtherWorld { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("it exports idsync:plugin/directory-sync@0.9.0"),
        "{error}"
    );

    let nothing = place.refused("(component)").await;
    assert!(nothing.to_string().contains("it exports nothing"), "{nothing}");
}

#[tokio::test]
async fn an_export_of_other_types_is_refused() {
    let place = Place::new(Limits::default());
    let error = place
        .refused(
            r#"(component
                (instance $empty)
                (export "idsync:plugin/directory-sync@0.1.0" (instance $empty)))"#,
        )
        .await;
    assert!(matches!(error, SandboxError::Contract { .. }), "{error}");
    assert!(error.to_string().contains("describe"), "{error}");
}

#[tokio::test]
async fn functions_of_other_types_are_the_plugins_fault() {
    let place = Place::new(Limits::default());
    let error = place
        .refused(
            r#"(component
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                (instance $all
                    (export "describe" (func $f))
                    (export "normalize" (func $f))
                    (export "verify" (func $f))
                    (export "sync" (func $f))
                    (export "explain" (func $f)))
                (export "idsync:plugin/directory-sync@0.1.0" (instance $all)))"#,
        )
        .await;
    let failure = error.to_failure();
    assert_eq!(failure.kind, ErrorKind::Plugin, "{failure:?}");
    assert!(failure.summary.contains("other types"), "{failure:?}");
}

#[tokio::test]
async fn garbage_behind_the_first_bytes_is_refused_by_the_compiler() {
    let place = Place::new(Limits::default());
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend((0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()));
    let error = place.refused_file(&bytes).await;
    assert!(matches!(error, SandboxError::Compile { .. }), "{error}");
    assert!(cached(place.folder.path()).is_empty());
}

#[tokio::test]
async fn a_name_that_fills_the_pipe_does_not_keep_the_compiler_waiting() {
    let place = Place::with(Limits::default(), |setup| {
        setup.compiling.wall_time = Duration::from_mins(1);
    });
    let name = "!".repeat(99_000);
    let error = place
        .refused(&format!(r#"(component (import "{name}" (func)))"#))
        .await;
    let SandboxError::Compile { reason, .. } = &error else {
        panic!("{}", error.to_string().chars().take(500).collect::<String>());
    };
    assert!(reason.contains("!!!"), "{reason}");
    assert!(reason.len() < 9_000, "{} bytes", reason.len());
}

/// A component whose one function is so long that the compiler can't be done within tight limits.
fn bomb() -> Vec<u8> {
    /// `local 1 = rotl(local 1, local 0); local 0 = (local 0 + 7) * local 1`
    const STEP: &[u8] = &[
        0x20, 1, 0x20, 0, 0x77, 0x21, 1, 0x20, 0, 0x41, 7, 0x6a, 0x20, 1, 0x6c, 0x21, 0,
    ];
    let body = [&[0][..], &STEP.repeat(300_000), &[0x20, 0, 0x0b]].concat();
    let function = [leb128(body.len()), body].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        // One type, two numbers to one; one function of that type.
        vec![1, 7, 1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f],
        vec![3, 2, 1, 0],
        section(10, &[vec![1], function].concat()),
    ]
    .concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb128(content.len()), content.to_vec()].concat()
}

/// An unsigned number as WebAssembly writes it (core specification, section 5.2.2).
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[tokio::test]
async fn a_component_that_is_too_much_for_the_compiler_ends_the_compiler_alone() {
    let place = Place::with(Limits::default(), |setup| {
        setup.compiling.cpu = Duration::from_secs(1);
    });
    let error = place.refused_file(&bomb()).await;
    assert!(matches!(error, SandboxError::CompilerEnded { .. }), "{error}");
    assert!(error.to_string().contains("limit on processor time"), "{error}");

    let place = Place::with(Limits::default(), |setup| {
        setup.compiling.memory_bytes = 256 << 20;
    });
    let error = place.refused_file(&bomb()).await;
    assert!(matches!(error, SandboxError::CompilerEnded { .. }), "{error}");
}

#[tokio::test]
async fn a_plugin_that_compiles_for_long_holds_up_no_other() {
    let place = Place::new(Limits::default());
    let bomb_file = place.folder.path().join("bomb.wasm");
    fs::write(&bomb_file, bomb()).expect("a temporary folder");
    let compiling = place.sandbox.load(&bomb_file);
    tokio::select! {
        biased;
        _ = compiling => panic!("the long one was first"),
        other = load(&place.sandbox) => other.expect("it is loaded beside"),
    }
}

#[tokio::test]
async fn more_instances_or_memory_than_one_plugin_is_given_are_refused() {
    let place = Place::with(Limits::default(), |setup| {
        setup.limits.core_instances = 2;
        setup.pool = Pool::new(4, &setup.limits);
    });
    let error = place
        .refused(
            "(component (core module $m)
                (core instance (instantiate $m)) (core instance (instantiate $m)) (core instance (instantiate $m)))",
        )
        .await;
    assert!(matches!(error, SandboxError::TooDemanding { .. }), "{error}");

    let error = place
        .refused("(component (core module $m (memory 4096)) (core instance (instantiate $m)))")
        .await;
    assert!(matches!(error, SandboxError::TooDemanding { .. }), "{error}");
    assert!(error.to_string().contains("memory"), "{error}");
}

#[tokio::test]
async fn a_missing_compiler_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = load(&without_compiler(folder.path()))
        .await
        .expect_err("nothing compiles");
    assert!(matches!(error, SandboxError::Compiler { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/compiler"), "{error}");
}

#[tokio::test]
async fn a_compiled_plugin_is_not_compiled_again() {
    let place = Place::new(Limits::default());
    load(&place.sandbox).await.expect("it compiles");
    let other = without_compiler(place.folder.path());
    load(&other).await.expect("it lies in the cache");
}

#[tokio::test]
async fn a_forged_file_is_rebuilt_and_not_run() {
    let place = Place::new(Limits::default());
    load(&place.sandbox).await.expect("it compiles");
    let path = the_cached(place.folder.path());
    let right = fs::read(&path).expect("our own file");
    let mut forged = right.clone();
    let middle = forged.len() / 2;
    forged[middle] ^= 0x55;
    fs::write(&path, &forged).expect("our own file");

    let error = load(&without_compiler(place.folder.path()))
        .await
        .expect_err("the forged file is no use");
    assert!(matches!(error, SandboxError::Compiler { .. }), "{error}");

    let fresh = Sandbox::new(setup(place.folder.path(), Limits::default())).expect("a sandbox");
    load(&fresh).await.expect("it is compiled anew");
    assert_ne!(fs::read(&path).expect("our own file"), forged);
    load(&without_compiler(place.folder.path()))
        .await
        .expect("the file is right again");
}

#[tokio::test]
async fn a_file_of_another_key_is_rebuilt() {
    let place = Place::new(Limits::default());
    load(&place.sandbox).await.expect("it compiles");
    let before = fs::read(the_cached(place.folder.path())).expect("our own file");

    let mut other = setup(place.folder.path(), Limits::default());
    other.cache_key = master_key(2).component_cache_key();
    load(&Sandbox::new(other).expect("a sandbox"))
        .await
        .expect("it is compiled anew");
    assert_ne!(
        fs::read(the_cached(place.folder.path())).expect("our own file"),
        before
    );
}

#[tokio::test]
async fn two_sandboxes_may_compile_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [first, second] =
        [(); 2].map(|()| Sandbox::new(setup(folder.path(), Limits::default())).expect("a sandbox"));
    let (one, two) = tokio::join!(load(&first), load(&second));
    one.expect("it compiles");
    two.expect("it compiles as well");
    the_cached(folder.path());
}

/// A clock by which every file was left alone for a long time.
struct NextYear;

impl Clock for NextYear {
    fn now(&self) -> UnixMillis {
        SystemClock::new().now().plus(Duration::from_hours(24 * 365))
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn runs_7_4_a_plugin_that_was_not_touched_is_not_loaded_again_between_runs() {
    let place = Place::with(Limits::default(), |setup| setup.clock = Arc::new(NextYear));
    let path = place.folder.path().join("provider.wasm");
    fs::copy(test_plugin("test-plugin-hostile"), &path).expect("a temporary folder");
    let digest = place.sandbox.load(&path).await.expect("it is a plugin").digest();
    // Whatever is compiled or taken from the cache is in the cache again afterwards.
    fs::remove_file(the_cached(place.folder.path())).expect("it was kept");
    for _ in 0..2 {
        let again = place.sandbox.load(&path).await.expect("it is a plugin");
        assert_eq!(again.digest(), digest);
    }
    assert!(cached(place.folder.path()).is_empty());

    // Another file of the same name, however much it is like the first.
    let other = place.folder.path().join("other");
    let bytes = fs::read(&path).expect("our own file");
    fs::write(&other, vec![b'x'; bytes.len()]).expect("our own folder");
    fs::rename(&other, &path).expect("our own folder");
    place.sandbox.load(&path).await.expect_err("it was replaced");
    fs::write(&other, &bytes).expect("our own folder");
    fs::rename(&other, &path).expect("our own folder");
    place.sandbox.load(&path).await.expect("the first one again");
    assert_eq!(
        cached(place.folder.path()).len(),
        1,
        "nothing had kept it meanwhile"
    );
}

#[tokio::test]
async fn runs_7_4_a_plugin_that_is_replaced_is_loaded_next_and_the_old_one_goes_on() {
    let place = Place::new(Limits::default());
    let path = place.folder.path().join("provider.wasm");
    fs::copy(test_plugin("test-plugin-hostile"), &path).expect("a temporary folder");
    let old = place.sandbox.load(&path).await.expect("it is a plugin");
    let again = place.sandbox.load(&path).await.expect("it is a plugin");
    assert!(Arc::ptr_eq(&old, &again), "the same file is the same plugin");

    fs::write(&path, "no plugin any more").expect("our own file");
    let error = place.sandbox.load(&path).await.expect_err("it was replaced");
    assert!(error.to_string().contains("it is text"), "{error}");
    sync(&old.bind(no_grants()), "none")
        .await
        .result
        .expect("what was loaded goes on");
}
