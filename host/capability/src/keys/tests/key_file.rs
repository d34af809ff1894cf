//! The files of the master key: who may have them, and what is no key file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::{MasterKey, MasterKeyError, master};
use super::{OTHER_KEY, SOME_KEY};

/// All that a person reads of it.
fn told(error: &MasterKeyError) -> String {
    format!("{error}: {}", error.hint())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_a_key_that_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let first = MasterKey::open(dir.path(), None).unwrap();
    assert_eq!(mode(&dir.path().join("master.key")), 0o600);
    assert_eq!(mode(&dir.path().join("master.check")), 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    let again = MasterKey::open(dir.path(), None).unwrap();
    let tag = |key: &MasterKey| key.component_cache_key().tag(&[b"x"]);
    assert_eq!(tag(&first), tag(&again));
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    MasterKey::open(dir.path(), None).unwrap();
    let file = dir.path().join("master.key");
    for open_to_others in [0o640, 0o604, 0o660, 0o644] {
        fs::set_permissions(&file, fs::Permissions::from_mode(open_to_others)).unwrap();
        let error = told(&MasterKey::open(dir.path(), None).err().unwrap());
        assert!(
            error.contains(&format!("chmod 600 {}", file.display())),
            "{error}"
        );
    }
}

#[test]
fn a_key_file_of_another_user_is_refused_with_what_to_do() {
    let path = Path::new("data/master.key");
    assert!(master::check_access(path, 0o100_600, 1_000, 1_000).is_ok());
    for (owner, user) in [(1_001, 1_000), (1_000, 0), (0, 1_000)] {
        let error = told(&master::check_access(path, 0o100_600, owner, user).unwrap_err());
        assert!(
            error.contains(&format!("chown {user} data/master.key")),
            "{error}"
        );
        assert!(error.contains(&format!("the id {owner} ")), "{error}");
    }
}

#[test]
fn a_key_file_that_is_a_link_or_a_folder_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    MasterKey::open(elsewhere.path(), None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master.key");
    std::os::unix::fs::symlink(elsewhere.path().join("master.key"), &file).unwrap();
    let refused = || MasterKey::open(dir.path(), None).err().unwrap();
    assert!(
        matches!(refused(), MasterKeyError::NotAFile { .. }),
        "{}",
        refused()
    );
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(
        matches!(refused(), MasterKeyError::NotAFile { .. }),
        "{}",
        refused()
    );
    assert!(told(&refused()).contains("IDSYNC_MASTER_KEY"));
}

#[test]
fn a_master_key_that_does_not_fit_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    MasterKey::open(dir.path(), Some(SOME_KEY)).unwrap();
    assert!(!dir.path().join("master.key").exists());
    MasterKey::open(dir.path(), Some(SOME_KEY)).unwrap();
    let other = MasterKey::open(dir.path(), Some(OTHER_KEY)).err().unwrap();
    assert!(matches!(other, MasterKeyError::DoesNotFit { .. }));
    assert!(!other.to_string().contains(&OTHER_KEY[..8]));
    let none = MasterKey::open(dir.path(), None).err().unwrap();
    assert!(matches!(none, MasterKeyError::Missing { .. }), "{none}");
    assert!(!dir.path().join("master.key").exists());
}

#[test]
fn a_key_file_without_a_key_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("master.key");
    fs::write(&file, "not a key").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let error = MasterKey::open(dir.path(), None).err().unwrap();
    assert!(matches!(error, MasterKeyError::FileWithoutKey { .. }), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a key");
}
