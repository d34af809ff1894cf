//! Answers: listings, links, errors, limits, and the org as it changes.

use okta_sim::{Change, DropsExpand, LinkHeaders, Refusal, UserStatus};
use serde_json::{Value, json};

use crate::{app_path, signed_in};

#[tokio::test]
async fn listings_are_walked_by_their_links_and_equal_what_is_expected() {
    let (sim, client) = signed_in().await;
    sim.set(|settings| settings.drops_expand = DropsExpand::Never);
    let users = client.walk(&app_path(&sim, "/users?expand=user&limit=50")).await;
    let groups = client.walk(&app_path(&sim, "/groups?expand=group&limit=4")).await;
    let synced: Vec<&Value> = users
        .iter()
        .map(|row| &row["_embedded"]["user"])
        .filter(|user| !matches!(user["status"].as_str(), Some("SUSPENDED" | "DEPROVISIONED")))
        .filter(|user| {
            user["profile"]["email"]
                .as_str()
                .is_some_and(|email| !email.trim().is_empty())
        })
        .collect();
    let expected: Vec<Value> = sim
        .expected()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| {
        expected
            .iter()
            .filter(|row| row["type"] == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("user").len(), synced.len());
    for (row, user) in of("user").iter().zip(&synced) {
        assert_eq!(row["external_id"], user["id"]);
        assert_eq!(
            row["email"],
            user["profile"]["email"].as_str().unwrap().trim().to_lowercase()
        );
    }
    assert_eq!(of("group").len(), groups.len());
    let mut memberships = 0;
    for group in &groups {
        let members = client
            .walk(&format!(
                "/api/v1/groups/{}/users?limit=7",
                group["id"].as_str().unwrap()
            ))
            .await;
        memberships += members
            .iter()
            .filter(|member| synced.iter().any(|user| user["id"] == member["id"]))
            .count();
    }
    assert_eq!(of("membership").len(), memberships);
    let words: std::collections::HashSet<_> = synced
        .iter()
        .map(|user| user["status"].as_str().unwrap())
        .collect();
    assert_eq!(words.len(), 6, "{words:?}");
}

#[tokio::test]
async fn page_sizes_are_oktas_and_a_strange_cursor_is_refused() {
    let (sim, client) = signed_in().await;
    let too_many = client.get(&app_path(&sim, "/users?limit=501")).await;
    assert_eq!(
        (too_many.status, too_many.json()["errorCode"].as_str()),
        (400, Some("E0000001"))
    );
    let strange = client.get(&app_path(&sim, "/groups?limit=1&after=nowhere")).await;
    assert_eq!(
        (strange.status, strange.json()["errorCode"].as_str()),
        (400, Some("E0000031"))
    );
}

#[tokio::test]
async fn links_come_in_one_header_or_several_and_drop_expand() {
    let (sim, client) = signed_in().await;
    let path = app_path(&sim, "/users?expand=user&limit=10");
    sim.set(|settings| settings.drops_expand = DropsExpand::Always);
    let several = client.get(&path).await;
    assert_eq!(several.headers.get_all("link").iter().count(), 2);
    assert!(!several.next().unwrap().contains("expand"));
    sim.set(|settings| settings.link_headers = LinkHeaders::One);
    let one = client.get(&path).await;
    assert_eq!(one.headers.get_all("link").iter().count(), 1);
    assert_eq!(one.next(), several.next());
}

#[tokio::test]
async fn what_is_not_there_is_told_in_oktas_words() {
    let (_sim, client) = signed_in().await;
    for path in [
        "/api/v1/groups/00gnone",
        "/api/v1/groups/00gnone/users",
        "/api/v1/apps/0oanone",
        "/api/v1/users/who",
    ] {
        let reply = client.get(path).await;
        assert_eq!(
            (reply.status, reply.json()["errorCode"].as_str()),
            (404, Some("E0000007")),
            "{path}"
        );
    }
    let org = client
        .send("GET", "/.well-known/okta-organization", &[], "")
        .await;
    assert!(org.json()["id"].as_str().unwrap().starts_with("00o"));
}

#[tokio::test]
async fn a_person_is_found_by_login() {
    let (_sim, client) = signed_in().await;
    let search = "/api/v1/users?search=profile.login+eq+%22svc-22%22";
    let found = client.get(search).await.json();
    let id = found[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.get("/api/v1/users/svc-22").await.json()["id"], id.as_str());
    let groups = client.walk(&format!("/api/v1/users/{id}/groups")).await;
    assert!(groups.iter().any(|group| group["profile"]["name"] == "Everyone"));
}

#[tokio::test]
async fn without_role_permission_or_resource_lists_are_refused_or_empty() {
    let (sim, client) = signed_in().await;
    sim.set(|settings| settings.role = None);
    assert_eq!(client.get("/api/v1/apps").await.json()["errorCode"], "E0000006");

    sim.set(|settings| {
        settings.role = Some(okta_sim::Role {
            users: false,
            ..okta_sim::Role::default()
        });
    });
    assert_eq!(client.get("/api/v1/users?limit=1").await.status, 403);
    assert_eq!(client.get("/api/v1/groups?limit=1").await.status, 200);
    sim.set(|settings| settings.without_permission = Refusal::Empty);
    assert_eq!(client.get("/api/v1/users?limit=1").await.json(), json!([]));

    sim.set(|settings| {
        settings.role = Some(okta_sim::Role::default());
        settings.resource_set.apps = Some(Vec::new());
        settings.resource_set.groups = false;
    });
    assert_eq!(client.get("/api/v1/apps").await.json(), json!([]));
    assert_eq!(client.get("/api/v1/groups").await.json(), json!([]));
    assert_eq!(client.get(&app_path(&sim, "")).await.status, 403);
    sim.set(|settings| settings.outside_resource_set = Refusal::Forbidden);
    assert_eq!(client.get("/api/v1/groups").await.status, 403);
}

#[tokio::test]
async fn a_bucket_that_is_empty_answers_429_until_its_window_ends() {
    let (sim, client) = signed_in().await;
    sim.freeze_clock(sim.now());
    sim.set(|settings| {
        settings.limits.insert("users".to_owned(), 2);
    });
    let first = client.get("/api/v1/users?limit=1").await;
    assert_eq!(
        (
            first.header("x-rate-limit-limit"),
            first.header("x-rate-limit-remaining")
        ),
        ("2".into(), "1".into())
    );
    client.get("/api/v1/users?limit=1").await;
    let refused = client.get("/api/v1/users?limit=1").await;
    assert_eq!(
        (refused.status, refused.json()["errorCode"].as_str()),
        (429, Some("E0000047"))
    );
    let wait = refused.header("x-rate-limit-reset").parse::<i64>().unwrap() - sim.now();
    assert!((1..=61).contains(&wait), "{wait}");
    sim.advance_clock(wait);
    assert_eq!(client.get("/api/v1/users?limit=1").await.status, 200);
}

#[tokio::test]
async fn changes_of_the_org_show_in_its_answers_and_in_what_is_expected() {
    let (sim, mut client) = signed_in().await;
    sim.freeze_clock(1_800_000_000);
    client.sign_in().await;
    client.get(&app_path(&sim, "/groups?expand=group")).await;
    let add = Change::AddUser {
        login: "Late@Acme.example".to_owned(),
        email: Some("Late@Acme.example".to_owned()),
        first_name: None,
        last_name: None,
        status: None,
        unassigned: false,
    };
    let id = sim.change(&add).unwrap();
    let groups = client
        .walk(&app_path(&sim, "/groups?expand=group&limit=200"))
        .await;
    let group = groups[0]["id"].as_str().unwrap().to_owned();
    sim.change(&Change::AddMember {
        group: group.clone(),
        user: id.clone(),
    })
    .unwrap();
    let changed = client
        .walk(&app_path(&sim, "/groups?expand=group&limit=200"))
        .await;
    assert_eq!(
        changed[0]["_embedded"]["group"]["lastMembershipUpdated"],
        "2027-01-15T08:00:00.000Z"
    );
    let line = format!(
        "{{\"display_name\":\"late@acme.example\",\"email\":\"late@acme.example\",\"external_id\":\"{id}\""
    );
    let expected = sim.expected();
    assert!(expected.lines().any(|row| row.starts_with(&line)), "{line}");
    assert!(expected.contains(&format!(
        "{{\"group\":\"{group}\",\"type\":\"membership\",\"user\":\"{id}\"}}"
    )));
    sim.change(&Change::SetStatus {
        user: id.clone(),
        status: UserStatus::Suspended,
    })
    .unwrap();
    assert!(!sim.expected().contains(&id));
    assert!(
        sim.change(&Change::DeleteUser {
            user: "nobody".to_owned()
        })
        .is_err()
    );
    let before = sim.expected();
    assert!(sim.mutate(9, 40).len() > 30);
    assert_ne!(sim.expected(), before);
}

#[tokio::test]
async fn a_deleted_group_is_gone_or_still_named_by_its_app() {
    let (sim, client) = signed_in().await;
    let groups = client.walk(&app_path(&sim, "/groups?limit=200")).await;
    let id = |n: usize| groups[n]["id"].as_str().unwrap().to_owned();
    sim.change(&Change::DeleteGroup {
        group: id(0),
        still_assigned: false,
    })
    .unwrap();
    sim.change(&Change::DeleteGroup {
        group: id(1),
        still_assigned: true,
    })
    .unwrap();
    for n in 0..2 {
        assert_eq!(
            client
                .get(&format!("/api/v1/groups/{}/users", id(n)))
                .await
                .status,
            404
        );
    }
    assert_eq!(
        client
            .get(&app_path(&sim, &format!("/groups/{}", id(0))))
            .await
            .status,
        404
    );
    assert_eq!(
        client
            .get(&app_path(&sim, &format!("/groups/{}", id(1))))
            .await
            .status,
        200
    );
}
