//! What nobody else may read: nothing secret is in the data directory in the clear, and no file there is open to others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Host, Org, WebServer};

/// Every file and folder below a folder, itself included.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("the host made it").flatten() {
        if entry.path().is_dir() {
            found.extend(all_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn base64url_decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for c in text.bytes() {
        bits = bits << 6 | value(c);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("it is masked"));
        }
    }
    bytes
}

#[test]
fn no_file_of_the_data_directory_can_be_read_by_others() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    host.connected("acme", &org).sync();
    for path in all_below(&host.data_dir()) {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {:o}", path.display(), mode & 0o7777);
    }
}

#[test]
fn no_private_key_is_in_the_clear() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    // A PKCS#8 or PKCS#1 private key holds its modulus next to its secret parts, after the DER of `INTEGER 65537`. The
    // modulus itself is public; what must not follow it is the private exponent's header.
    let modulus = base64url_decoded(acme.public_jwk()["n"].as_str().expect("an RSA key has a modulus"));
    let with_private_part = [&modulus[..], &[0x02, 0x03, 0x01, 0x00, 0x01, 0x02, 0x82][..]].concat();
    for path in all_below(&host.data_dir()).iter().filter(|path| path.is_file()) {
        let bytes = fs::read(path).expect("it can be read");
        for marker in [&b"PRIVATE KEY"[..], b"\"d\":", b"\"qi\":", &with_private_part] {
            assert!(!holds(&bytes, marker), "{} holds a private key", path.display());
        }
    }
}

#[test]
fn no_command_shows_a_private_key() {
    let host = Host::new();
    let acme = host.added("acme", "okta", &[]);
    let mut shown = format!("{}{}", acme.added(), acme.show());
    for format in ["jwk", "pem"] {
        shown += &host.text(&["directory", "key", "acme", "--format", format]);
    }
    for marker in ["PRIVATE", "\"d\"", "\"p\"", "\"q\"", "\"dp\"", "\"dq\"", "\"qi\""] {
        assert!(!shown.contains(marker), "{marker}");
    }
    assert!(shown.contains("BEGIN PUBLIC KEY"));
}

#[test]
fn the_public_key_is_one_jwk_that_can_be_pasted() {
    let host = Host::new();
    let acme = host.added("acme", "okta", &[]);
    let printed = host.text(&["directory", "key", "acme"]);
    let jwk: Value = serde_json::from_str(&printed).expect("what is pasted is one JSON document");
    assert_eq!(jwk["kty"], "RSA");
    assert_eq!(jwk["kid"], acme.public_jwk()["kid"]);
    assert_eq!(jwk["n"], acme.public_jwk()["n"]);
    assert!(
        base64url_decoded(jwk["n"].as_str().expect("it has a modulus")).len() >= 256,
        "2048 bits or more"
    );
}

#[test]
fn a_master_key_that_does_not_fit_is_refused_and_the_right_one_still_works() {
    let org = Org::of(20, 3, 4).start();
    let mut host = Host::beside(&org).with_variable("IDSYNC_MASTER_KEY", &master_key(1));
    host.connected("acme", &org);

    host.set_variable("IDSYNC_MASTER_KEY", &master_key(2));
    let failure = host.failure(&["sync", "acme"]);
    assert!(
        failure.text().to_lowercase().contains("master key"),
        "{failure:?}"
    );

    host.set_variable("IDSYNC_MASTER_KEY", &master_key(1));
    host.json(&["sync", "acme"]);
}

#[test]
fn a_master_key_that_is_none_is_refused_without_showing_it() {
    let host = Host::new().with_variable("IDSYNC_MASTER_KEY", "hunter2");
    let failure = host.failure(&["directory", "add", "--provider", "okta", "--name", "acme"]);
    assert!(failure.text().contains("IDSYNC_MASTER_KEY"), "{failure:?}");
    assert!(!failure.text().contains("hunter2"), "{failure:?}");
}

#[test]
fn a_secret_setting_is_given_to_the_plugin_and_shown_nowhere() {
    let server = WebServer::named("people.localhost");
    server.put("/directory.json", r#"{"users": [], "groups": []}"#);
    let host = Host::new()
        .with_test_plugins()
        .trusting(&server.ca())
        .reaching(server.authority());
    let refused = host.failure(&[
        "directory",
        "add",
        "--provider",
        "static",
        "--name",
        "people",
        "--set",
        "token=correct-horse-battery-staple",
    ]);
    assert_eq!(refused.kind, "usage", "{refused:?}");
    assert!(refused.text().contains("token=@FILE"), "{refused:?}");
    assert!(!refused.text().contains("correct-horse"), "{refused:?}");

    let file = host.scratch().join("token");
    fs::write(&file, "correct-horse-battery-staple\n").expect("the folder of the test can be written");
    let people = host.added(
        "people",
        "static",
        &[
            &format!("host={}", server.authority()),
            &format!("token=@{}", file.display()),
        ],
    );

    assert!(people.verify().is_verified());

    let sent = server.asked().concat();
    assert!(sent.contains("Bearer correct-horse-battery-staple"), "{sent}");
    let shown = format!(
        "{}{}{}",
        people.added(),
        people.show(),
        host.json(&["directory", "list"])
    );
    assert!(!shown.contains("correct-horse"), "{shown}");
    for path in all_below(&host.data_dir()).iter().filter(|path| path.is_file()) {
        let bytes = fs::read(path).expect("it can be read");
        assert!(
            !holds(&bytes, b"correct-horse"),
            "{} holds the secret",
            path.display()
        );
    }
}

/// A master key: 32 bytes in base64url without padding.
fn master_key(number: u8) -> String {
    let digit = char::from(b'a' + number);
    // 43 digits of 6 bits are 258 bits; the last digit's two spare bits must be 0, as those of `A` are.
    format!("{}A", digit.to_string().repeat(42))
}
