//! The change feed: a reader that follows it has what an export shows.

use serde_json::Value;

use crate::harness::{Copy, Host, Org};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is a JSON object"))
        .collect()
}

#[test]
fn runs_8_5_the_feed_from_its_start_gives_the_export() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let mut follower = host.follow(&["--directory", acme.id()]);
    let mut copy = Copy::default();
    acme.sync();
    copy.take_all(&follower.block());
    assert_eq!(copy.rows(), acme.export().rows());

    org.rename_group(&org.group(0), "Renamed");
    org.suspend_users(3);
    org.add_user("new.hire@acme.example");
    org.add_member(&org.group(1), &org.outsider_of(1));
    acme.sync();
    copy.take_all(&follower.block());
    assert_eq!(copy.rows(), acme.export().rows());

    let mut replayed = Copy::default();
    let all = lines(&host.text(&["changes"]));
    replayed.take_all(&all);
    assert_eq!(replayed.rows(), acme.export().rows());
    let numbers: Vec<u64> = all.iter().filter_map(|change| change["seq"].as_u64()).collect();
    let gapless: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, gapless);
    assert_eq!(follower.interrupt(), Some(130));
}

#[test]
fn runs_8_3_an_export_and_the_changes_after_it_are_a_full_copy() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let text = host.text(&["export", acme.id()]);
    let end = lines(&text).pop().expect("an export has a last line");
    let mut copy = Copy::of(acme.export().rows());
    org.suspend_users(3);
    org.add_user("new.hire@acme.example");
    acme.sync();

    let since = end["cursor"].as_str().expect("the end has a cursor");
    let changes = lines(&host.text(&["changes", "--since", since]));

    assert!(!changes.is_empty());
    copy.take_all(&changes);
    assert_eq!(copy.rows(), acme.export().rows());
    assert_eq!(changes[0]["seq"].as_u64(), end["seq"].as_u64().map(|seq| seq + 1));
}

#[test]
fn runs_8_4_a_number_that_is_not_of_the_feed_is_an_error_that_says_to_export_again() {
    let org = Org::of(30, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let last = acme.export().seq();
    assert_eq!(host.text(&["changes", "--since", &last.to_string()]), "");
    let elsewhere = format!("{last}@{}", "0".repeat(32));
    for since in [(last + 1).to_string(), elsewhere] {
        for follow in [&[][..], &["--follow"][..]] {
            let mut arguments = vec!["changes", "--since", &since];
            arguments.extend(follow);
            let failure = host.failure(&arguments);
            assert_eq!(
                (failure.exit_code, failure.kind.as_str()),
                (1, "feed-position"),
                "{failure:?}"
            );
            assert!(failure.text().contains("export"), "{failure:?}");
        }
    }
    let output = host.output(&["changes", "--since", "yesterday"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn following_ends_when_its_reader_is_gone_although_nothing_comes() {
    let host = Host::new();
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let mut following = host
        .command(&["changes", "--follow"])
        .stdout(writer)
        .spawn()
        .expect("the binary starts: run `cargo xtask build` first");
    drop(reader);
    let status = following.wait().expect("it was not waited for before");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn runs_3_4_a_removal_is_one_block_of_deletions() {
    let org = Org::of(30, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let mut copy = Copy::of(acme.export().rows());
    let since = acme.export().seq().to_string();
    host.json(&["directory", "remove", acme.id(), "--yes"]);
    let changes = lines(&host.text(&["changes", "--since", &since]));
    copy.take_all(&changes);
    assert!(copy.rows().is_empty());
    assert_eq!(changes.last().expect("there are changes")["type"], "applied");
}
