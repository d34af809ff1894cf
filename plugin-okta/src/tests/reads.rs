//! What a run reads, believes and refuses.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_complete, failed, fails_on, rides_out, run, run_with};
use crate::failure::ErrorKind;
use crate::fake::{APP, FakeHost, Org, Reply, full, group_row, user_row};
use crate::settings::Settings;
use crate::sync::sync;

#[test]
fn everything_that_is_assigned_is_read_over_all_pages() {
    let (host, result) = run_with(|_| {});
    let summary = result.unwrap();
    assert_complete(&host);
    assert_eq!(host.staged().users["00u1"].email, "user1@acme.test");
    assert_eq!(summary.requests, host.org.borrow().asked.len() as u64);
    assert_eq!(summary.retries, 0);
}

#[test]
fn runs_1_2_a_next_link_without_expand_gets_it_back() {
    let (host, result) = run_with(|org| org.drop_expand = true);
    result.unwrap();
    assert_complete(&host);
}

#[test]
fn runs_1_2_a_next_link_that_leads_elsewhere_or_in_a_circle_ends_the_run() {
    for (url, words) in [
        (
            "https://evil.example/api/v1/apps/0oaapp1/users?after=2",
            "another host",
        ),
        ("http://acme.okta.com/api/v1/apps/0oaapp1/users?after=2", "scheme"),
        (
            "https://acme.okta.com:8443/api/v1/apps/0oaapp1/users?after=2",
            "another host",
        ),
        (
            "https://acme.okta.com/api/v1/apps/0oaapp1/users?limit=500&expand=user",
            "followed before",
        ),
        ("::::", "no absolute URL"),
    ] {
        let (host, failure) = fails_on("0oaapp1/users", 9, move || {
            Reply::json(200, &json!([user_row(1)])).header("link", format!("<{url}>; rel=\"next\""))
        });
        assert_eq!(failure.kind, ErrorKind::Protocol, "{url}");
        assert!(failure.summary.contains(words), "{url}: {}", failure.summary);
        assert!(
            host.org
                .borrow()
                .asked
                .iter()
                .all(|request| request.authority == "acme.okta.com")
        );
    }
}

#[test]
fn runs_1_2_a_short_or_empty_page_with_a_next_link_is_followed() {
    let (_, summary) = rides_out("0oaapp1/users?limit=500&expand=user", 1, || {
        Reply::json(200, &json!([])).header(
            "link",
            "<https://acme.okta.com/api/v1/apps/0oaapp1/users?after=0>; rel=\"next\"",
        )
    });
    assert_eq!(summary.retries, 0);
}

#[test]
fn runs_1_3_answers_of_another_shape_are_never_no_rows() {
    for (body, words) in [
        ("{}", "another shape"),
        ("null", "another shape"),
        ("[{\"id\":\"00u1\"}]", "_embedded"),
        ("[{\"id\":\"00u1\",\"_embedded\":{}}]", "user"),
        ("[17]", "another shape"),
        ("so it is", "not JSON"),
        ("[]garbage", "not JSON"),
        ("[]\n<!-- 7 ms -->", "not JSON"),
        ("[]]", "not JSON"),
        ("[]\n[", "not JSON"),
        ("[,]", "not JSON"),
        ("", "empty body"),
        ("<html>Sign in</html>", "HTML"),
    ] {
        let (host, failure) = fails_on("0oaapp1/users", 9, move || Reply::new(200, body));
        assert_eq!(failure.kind, ErrorKind::Protocol, "{body}");
        assert!(failure.summary.contains(words), "{body}: {}", failure.summary);
        assert_eq!(host.org.borrow().asked_for("0oaapp1/users"), 1, "{body}");
        assert!(host.memory.borrow().is_empty());
    }
}

#[test]
fn runs_1_3_white_space_around_an_answer_is_none_of_it() {
    rides_out("/groups/00g1/users", 1, || {
        let members: Vec<Value> = (0..5).map(|user| json!({"id": format!("00u{user}")})).collect();
        Reply::new(200, format!("\r\n {} \t\r\n", json!(members)))
    });
}

#[test]
fn runs_9_5_redirects_are_not_followed() {
    let (host, failure) = fails_on("/api/v1/apps?", 9, || {
        Reply::new(302, "").header("location", "https://evil.example/login?secret=1")
    });
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert!(failure.summary.contains("redirect"), "{}", failure.summary);
    assert!(failure.summary.contains("evil.example/login") && !failure.summary.contains("secret"));
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps"), 1);
}

#[test]
fn runs_1_4_an_empty_list_is_believed_only_when_the_probe_answers() {
    let (host, result) = run_with(|org| {
        org.app_users.insert(APP.to_owned(), Vec::new());
        org.app_groups.insert(APP.to_owned(), Vec::new());
    });
    result.unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/users?limit=1"), 1);
    assert_eq!(host.org.borrow().asked_for("/api/v1/groups?limit=1"), 1);
}

#[test]
fn runs_1_4_an_empty_list_whose_probe_is_empty_or_refused_is_forbidden() {
    let empty_users = |org: &mut Org| {
        org.app_users.insert(APP.to_owned(), Vec::new());
    };
    let (_, result) = run_with(|org| {
        empty_users(org);
        org.all_users_visible = false;
    });
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (ErrorKind::Forbidden, "users"));
    assert!(failure.hint.contains("All users"), "{}", failure.hint);

    let (_, result) = run_with(|org| {
        empty_users(org);
        org.fault("/api/v1/users?limit=1", 9, || Reply::error(403, "E0000006"));
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Forbidden);
    assert!(failure.hint.contains("View users"), "{}", failure.hint);
    assert_eq!(failure.provider_code.as_deref(), Some("E0000006"));
    assert_eq!(failure.request_id.as_deref(), Some("req-1"));

    let (_, result) = run_with(|org| {
        org.app_groups.insert(APP.to_owned(), Vec::new());
        org.all_groups_visible = false;
    });
    assert!(result.unwrap_err().hint.contains("All groups"));
}

#[test]
fn runs_1_4_a_probe_is_made_once_for_all_apps() {
    let (host, result) = run_with(|org| {
        for number in 2..9 {
            let app = format!("0oaapp{number}");
            org.apps.insert(app.clone(), "ACTIVE".to_owned());
            org.app_users.insert(app.clone(), Vec::new());
            org.app_groups.insert(app, Vec::new());
        }
    });
    result.unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/users?limit=1"), 1);
}

#[test]
fn runs_1_4_no_app_at_all_is_forbidden_on_a_first_run() {
    let (_, result) = run_with(|org| org.apps.clear());
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (ErrorKind::Forbidden, "apps"));
    assert!(failure.hint.contains("sign-in app"));
}

#[test]
fn runs_1_4_a_list_that_the_host_doubts_is_read_once_more() {
    let mut org = Org::new(5, 3);
    org.members.insert("00g1".to_owned(), Vec::new());
    let host = FakeHost::new(org);
    host.doubted_groups.borrow_mut().insert("00g1".to_owned());
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/groups/00g1/users"), 2);
    assert_eq!(host.org.borrow().asked_for("/groups/00g2/users"), 3);
}

#[test]
fn runs_1_5_an_app_that_is_no_longer_listed_is_asked_for() {
    let mut org = Org::new(5, 3);
    org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
    org.app_users.insert("0oaapp2".to_owned(), vec![user_row(9)]);
    org.app_groups.insert("0oaapp2".to_owned(), vec![group_row(0)]);
    let host = FakeHost::new(org);
    run(&host).unwrap();

    // Refused: the role lost sight of it.
    host.org.borrow_mut().apps.remove("0oaapp2");
    host.org
        .borrow_mut()
        .fault("GET /api/v1/apps/0oaapp2", 1, || Reply::error(403, "E0000006"));
    let failure = failed(&host);
    assert_eq!((failure.kind, failure.stage), (ErrorKind::Forbidden, "apps"));
    assert!(failure.hint.contains("0oaapp2"));
    assert!(failure.hint.contains("`idsync directory verify ID`"));

    // Gone is true, and is asked again: whether the run was applied is not known here.
    for _ in 0..2 {
        run(&host).unwrap();
    }
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps/0oaapp2"), 2 + 2 + 1);

    // Until it has been gone for as long as rows are kept.
    host.now.set(host.now.get() + Duration::from_hours(31 * 24));
    host.ends_at.set(host.now.get() + Duration::from_hours(1));
    run(&host).unwrap();
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps/0oaapp2"), 2 + 2 + 1 + 1);
}

#[test]
fn runs_1_5_all_apps_gone_for_true_is_an_empty_read_and_not_a_failure() {
    let host = FakeHost::new(Org::new(5, 3));
    run(&host).unwrap();
    host.org.borrow_mut().apps.clear();
    let summary = run(&host).unwrap();
    assert!(
        summary.notes.iter().any(|note| note.contains(APP)),
        "{:?}",
        summary.notes
    );
}

#[test]
fn runs_1_5_an_app_that_answers_404_ends_the_run() {
    let (_, failure) = fails_on("0oaapp1/users", 9, || Reply::error(404, "E0000007"));
    assert_eq!(failure.kind, ErrorKind::NotFound);
}

#[test]
fn runs_1_5_a_group_is_gone_only_when_its_app_no_longer_names_it() {
    let (host, result) = run_with(|org| {
        org.members.remove("00g1");
        org.fault("GET /api/v1/apps/0oaapp1/groups/00g1", 9, || {
            Reply::error(404, "E0000007")
        });
    });
    let summary = result.unwrap();
    assert_eq!(*host.dropped.borrow(), ["00g1"]);
    assert!(
        summary.notes.iter().any(|note| note.ends_with("read: 1.")),
        "{:?}",
        summary.notes
    );

    let (host, result) = run_with(|org| {
        org.members.remove("00g1");
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Forbidden);
    assert!(host.dropped.borrow().is_empty());
}

#[test]
fn runs_1_5_a_group_that_a_second_app_still_names_is_not_gone() {
    let (_, result) = run_with(|org| {
        org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
        org.app_users.insert("0oaapp2".to_owned(), vec![user_row(1)]);
        org.app_groups.insert("0oaapp2".to_owned(), vec![group_row(1)]);
        org.members.remove("00g1");
        org.fault("GET /api/v1/apps/0oaapp1/groups/00g1", 9, || {
            Reply::error(404, "E0000007")
        });
        // The second app's groups are known before the members are missed.
        org.fault("GET /api/v1/groups/00g1/users", 1, || {
            Reply::error(404, "E0000007").after(Duration::from_secs(5))
        });
    });
    assert_eq!(result.unwrap_err().kind, ErrorKind::Forbidden);
}

#[test]
fn runs_1_6_what_two_apps_show_is_one_and_is_read_once() {
    let (host, result) = run_with(|org| {
        org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
        org.apps.insert("0oaapp3".to_owned(), "INACTIVE".to_owned());
        org.app_users
            .insert("0oaapp2".to_owned(), (0..5).map(user_row).collect());
        org.app_groups
            .insert("0oaapp2".to_owned(), (0..3).map(group_row).collect());
    });
    result.unwrap();
    assert_complete(&host);
    assert_eq!(host.org.borrow().asked_for("/groups/00g0/users?limit"), 1);
    assert_eq!(
        host.org.borrow().asked_for("0oaapp3"),
        0,
        "an inactive app is not read"
    );
}

/// A page of such rows in which each `?` is half of a character.
fn broken_page(rows: &[Value]) -> Reply {
    Reply::new(200, json!(rows).to_string().replace('?', "\\ud800"))
}

#[test]
fn runs_1_8_a_user_whose_name_is_no_text_is_mended_and_told_and_harms_nobody() {
    let mut rows: Vec<Value> = (0..5).map(user_row).collect();
    let user = &mut rows[3]["_embedded"]["user"];
    user["profile"]["lastName"] = json!("Ki?ng");
    user["profile"]["displayName"] = json!("?");
    user["profile"]["nickName?"] = json!("?");
    user["profile"]["note"] = json!(["?"]);
    rows[4]["_embedded"]["user"]["profile"] = json!("?");
    let again = rows.clone();
    let (host, result) = run_with(|org| {
        org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
        org.app_groups.insert("0oaapp2".to_owned(), Vec::new());
        org.fault("0oaapp1/users", 1, move || broken_page(&rows));
        org.fault("0oaapp2/users", 1, move || broken_page(&again));
    });
    result.unwrap();
    let staged = host.staged();
    assert_eq!(staged.users.len(), 4);
    let user = &staged.users["00u3"];
    assert_eq!(user.family_name.as_deref(), Some("Ki\u{fffd}ng"));
    assert_eq!(user.display_name.as_deref(), Some("\u{fffd}"));
    let [mended, without_email] = &staged.skips[..] else {
        panic!("{:?}", staged.skips);
    };
    assert_eq!(mended.0, "00u3");
    assert!(mended.1.contains("display name, family name"), "{}", mended.1);
    assert_eq!(without_email.0, "00u4");
}

#[test]
fn runs_1_8_a_user_whose_email_or_login_is_no_text_is_skipped_since_mended_it_could_be_anothers() {
    let mut rows: Vec<Value> = (0..5).map(user_row).collect();
    rows[1]["_embedded"]["user"]["profile"]["email"] = json!("a?@acme.test");
    rows[2]["_embedded"]["user"]["profile"]["login"] = json!("a?");
    rows[3]["_embedded"]["user"]["profile"]["email"] = json!("a?@acme.test");
    rows[3]["_embedded"]["user"]["status"] = json!("SUSPENDED");
    let (host, result) = run_with(|org| org.fault("0oaapp1/users", 1, move || broken_page(&rows)));
    result.unwrap();
    let staged = host.staged();
    let put: Vec<&str> = staged.users.keys().map(String::as_str).collect();
    assert_eq!(put, ["00u0", "00u3", "00u4"], "readers don't see 00u3");
    let told = |id: &str| {
        let mut skips = staged.skips.iter();
        skips.find(|skip| skip.0 == id).map_or("", |skip| skip.1.as_str())
    };
    assert!(told("00u1").contains("Correct the primary email"));
    assert!(told("00u2").contains("Correct the username"));
    assert!(told("00u3").contains("in its e-mail"));
    assert_eq!(staged.skips.len(), 3);
}

#[test]
fn runs_1_8_a_group_whose_texts_are_none_is_mended_and_told() {
    let mut rows: Vec<Value> = (0..3).map(group_row).collect();
    rows[1]["_embedded"]["group"]["profile"] = json!({"name": "?taff", "description": "so?"});
    rows[2]["_embedded"]["group"]["lastMembershipUpdated"] = json!("?");
    let (host, result) = run_with(|org| org.fault("0oaapp1/groups", 1, move || broken_page(&rows)));
    result.unwrap();
    assert_complete(&host);
    let staged = host.staged();
    assert_eq!(staged.groups["00g1"].group.name, "\u{fffd}taff");
    let [(id, how)] = &staged.skips[..] else {
        panic!("{:?}", staged.skips);
    };
    assert_eq!(id, "00g1");
    assert!(how.ends_with("in its name, description"), "{how}");
}

#[test]
fn runs_1_3_an_id_that_is_no_text_is_none() {
    let rows = [json!({"id": "00u?"})];
    let (_, failure) = fails_on("/groups/00g1/users", 1, move || broken_page(&rows));
    assert_eq!(failure.kind, ErrorKind::Protocol);
    let words = "an id that has half of a character";
    assert!(failure.summary.contains(words), "{}", failure.summary);
}

#[test]
fn runs_1_8_a_user_without_email_is_skipped_once_with_the_reason() {
    let (host, result) = run_with(|org| {
        let mut row = user_row(7);
        row["_embedded"]["user"]["profile"]["email"] = json!(null);
        let rows = org.app_users.get_mut(APP).unwrap();
        rows.push(row.clone());
        rows.push(row);
    });
    result.unwrap();
    assert_complete(&host);
    let skips = &host.staged().skips;
    assert_eq!(skips.len(), 1);
    assert_eq!(skips[0].0, "00u7");
    assert!(skips[0].1.contains("no e-mail"));
}

#[test]
fn users_who_are_not_active_are_put_as_such() {
    let (host, result) = run_with(|org| {
        org.app_users.get_mut(APP).unwrap()[0]["_embedded"]["user"]["status"] = json!("SUSPENDED");
    });
    result.unwrap();
    let staged = host.staged();
    assert!(!staged.users["00u0"].active && staged.users["00u1"].active);
    assert_eq!(staged.users["00u0"].provider_status, "SUSPENDED");
}

#[test]
fn runs_2_1_only_the_groups_that_the_host_asks_for_are_fetched_with_their_time() {
    let host = FakeHost::new(Org::new(5, 3));
    host.unchanged_groups
        .borrow_mut()
        .extend(["00g0".to_owned(), "00g2".to_owned()]);
    run(&host).unwrap();
    assert_eq!(host.staged().closed(), ["00g1"]);
    let version = host.staged().groups["00g1"].group.members_changed_at;
    assert_eq!(
        version,
        crate::clock::parse_timestamp_ms("2026-01-02T03:04:05.000Z")
    );
    let read_at = host.staged().groups["00g1"].read_at / 1000;
    assert!(read_at.abs_diff(host.okta_seconds()) < 5, "by Okta's clock");
}

#[test]
fn runs_4_5_another_org_or_none_that_can_be_read_is_refused_before_the_first_listing() {
    let replies: [fn() -> Reply; 3] = [
        || Reply::json(200, &json!({"id": "00oother"})),
        || Reply::error(404, "E0000007"),
        || Reply::new(200, "<html>"),
    ];
    for (reply, kind) in replies.into_iter().zip([
        ErrorKind::InvalidSettings,
        ErrorKind::InvalidSettings,
        ErrorKind::Protocol,
    ]) {
        let (host, failure) = fails_on("okta-organization", 9, reply);
        assert_eq!(failure.kind, kind, "{}", failure.summary);
        assert_eq!(host.org.borrow().asked_for("/api/"), 0);
    }
}

#[test]
fn a_403_says_what_to_check() {
    let (_, failure) = fails_on("0oaapp1/groups?", 99, || Reply::error(403, "E0000006"));
    assert_eq!(failure.kind, ErrorKind::Forbidden);
    assert!(failure.hint.contains("View groups"));
    assert!(failure.summary.contains("So it is.") && failure.summary.contains("E0000006"));
}

#[test]
fn the_app_that_the_settings_name_is_the_only_one_read() {
    let named = |app: &str| {
        Settings::read([
            ("okta_domain", "acme.okta.com"),
            ("client_id", "0oaclient"),
            ("app_id", app),
        ])
        .unwrap()
    };
    let mut org = Org::new(5, 3);
    org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
    let host = FakeHost::new(org);
    host.run(sync(&host, named(APP), full())).unwrap();
    assert_complete(&host);
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps?"), 0);
    let failure = host.run(sync(&host, named("0oanone"), full())).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::NotFound);
}

/// An org of so many users, whose profiles are as they are made here, and its pages' largest size.
fn org_of(users: usize, page: usize, profile: impl Fn(&mut Value)) -> impl FnOnce(&mut Org) {
    let row = |number| {
        let mut row = user_row(number);
        profile(&mut row["_embedded"]["user"]["profile"]);
        row
    };
    let rows = (0..users).map(row).collect();
    move |org| {
        org.page = page;
        org.app_users.insert(APP.to_owned(), rows);
    }
}

#[test]
fn hundreds_of_fields_in_each_profile_cost_no_request_and_change_no_row() {
    let (plain, result) = run_with(org_of(200, 100, |_| {}));
    result.unwrap();
    let (full, result) = run_with(org_of(200, 100, |profile| {
        for number in 0..600 {
            profile[format!("a_field_{number}")] = json!(["text", {"email": "x", "id": number}, null, 1.5]);
        }
    }));
    result.unwrap();
    assert_eq!(full.staged().users.len(), 200);
    assert_eq!(full.staged().users, plain.staged().users);
    assert_eq!(full.org.borrow().asked.len(), plain.org.borrow().asked.len());
}

#[test]
fn runs_1_8_names_of_100_kib_are_read_in_pages_as_large_as_the_host_takes() {
    let (host, result) = run_with(org_of(300, 500, |profile| {
        profile["displayName"] = json!("n".repeat(100 << 10));
    }));
    result.unwrap();
    assert_eq!(host.staged().users.len(), 300);
    // All 300 and then 250 are more than 16 MiB; 125 are not.
    assert_eq!(host.org.borrow().asked_for("0oaapp1/users"), 2 + 3);
}
