//! The simulated org as a client sees it, over TLS: token and DPoP rules, listings, errors, faults, control.
#![expect(clippy::unwrap_used, reason = "a test ends at what it can't unwrap")]

mod client;

use std::sync::Arc;

use client::{Client, Reply, Signer};
use okta_sim::{
    Change, DropsExpand, Fault, FaultKind, LinkHeaders, NextTo, RateHeaders, Refusal, Sim, SimOptions,
    UserStatus,
};
use serde_json::{Value, json};

async fn sim() -> Arc<Sim> {
    let options = SimOptions {
        users: 120,
        groups: 9,
        per_group: 30,
        ..SimOptions::default()
    };
    Arc::new(Sim::start(options).await.unwrap())
}

/// An org whose service app has the client's key, and a client with a token.
async fn signed_in() -> (Arc<Sim>, Client) {
    let sim = sim().await;
    let mut client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    client.sign_in().await;
    (sim, client)
}

fn app_path(sim: &Sim, rest: &str) -> String {
    format!("/api/v1/apps/{}{rest}", sim.info().app_id)
}

#[tokio::test]
async fn a_token_takes_an_assertion_a_nonce_and_two_proofs() {
    let sim = sim().await;
    let client = Client::new(&sim);

    let refused = client.token(client.assertion(), None, None).await;
    assert_eq!(refused.oauth(), (401, "The client_assertion JWT kid is invalid."));

    sim.register_jwk(&client.jwk()).unwrap();
    let refused = client.token(client.assertion(), None, None).await;
    assert_eq!(refused.oauth(), (400, "The DPoP proof JWT header is missing."));

    let first = client
        .token(client.assertion(), Some(client.token_proof(None)), None)
        .await;
    assert_eq!(
        first.oauth(),
        (400, "Authorization server requires nonce in DPoP proof.")
    );
    let nonce = first.header("dpop-nonce");

    let proof = client.token_proof(Some(&nonce));
    let granted = client.token(client.assertion(), Some(proof.clone()), None).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(granted.json()["token_type"], "DPoP");
    assert_eq!(
        granted.json()["scope"],
        "okta.apps.read okta.groups.read okta.users.read"
    );

    let replayed = client.token(client.assertion(), Some(proof), None).await;
    assert_eq!(
        replayed.oauth(),
        (400, "The DPoP proof JWT has already been used.")
    );
}

#[tokio::test]
async fn an_assertion_is_used_once_even_when_a_nonce_is_asked_for() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    let assertion = client.assertion();
    let first = client
        .token(assertion.clone(), Some(client.token_proof(None)), None)
        .await;
    let nonce = first.header("dpop-nonce");
    let again = client
        .token(assertion, Some(client.token_proof(Some(&nonce))), None)
        .await;
    assert_eq!(
        again.oauth(),
        (401, "The client_assertion token has already been used.")
    );
}

#[tokio::test]
async fn each_wrong_assertion_has_its_own_error() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    let now = sim.now();
    let other = Signer::new("other");
    let cases = [
        (
            client.key.assertion(&sim, &json!({"exp": now - 1})),
            "The client_assertion token is expired.",
        ),
        (
            client.key.assertion(&sim, &json!({"exp": now + 4_000})),
            "The client_assertion token has an expiration too far into the future.",
        ),
        (
            client.key.assertion(&sim, &json!({"iat": now + 900})),
            "The client_assertion token was issued in the future.",
        ),
        (
            client
                .key
                .assertion(&sim, &json!({"aud": "https://elsewhere.example"})),
            "The audience claim for client_assertion must be the endpoint invoked for the request.",
        ),
        (
            client
                .key
                .assertion(&sim, &json!({"sub": "0oaWrong", "iss": "0oaWrong"})),
            "Invalid value for 'client_id' parameter.",
        ),
        (
            other.with_kid("mine").assertion(&sim, &json!({})),
            "The client_assertion signature is invalid.",
        ),
    ];
    for (assertion, text) in cases {
        assert_eq!(client.token(assertion, None, None).await.oauth(), (401, text));
    }
}

#[tokio::test]
async fn scopes_that_are_not_granted_are_dropped_without_a_word() {
    let (sim, mut client) = signed_in().await;
    sim.set(|settings| settings.granted_scopes = vec!["okta.apps.read".to_owned()]);
    client.sign_in().await;
    assert_eq!(client.scope, "okta.apps.read");
    let refused = client.get("/api/v1/users?limit=1").await;
    assert_eq!((refused.status, refused.body.len()), (403, 0));
    assert!(
        refused
            .header("www-authenticate")
            .contains("error=\"insufficient_scope\"")
    );

    sim.set(|settings| settings.granted_scopes.clear());
    let nonce = client.nonce.clone();
    let refused = client
        .token(
            client.assertion(),
            Some(client.token_proof(nonce.as_deref())),
            None,
        )
        .await;
    assert_eq!(
        refused.oauth(),
        (400, "You are not allowed any of the requested scopes.")
    );
    let refused = client
        .token(
            client.assertion(),
            Some(client.token_proof(nonce.as_deref())),
            Some("email"),
        )
        .await;
    assert_eq!(refused.json()["error"], "invalid_scope");
}

#[tokio::test]
async fn dpop_optional_gives_a_bearer_token_when_no_proof_is_sent() {
    let options = SimOptions {
        dpop: okta_sim::Dpop::Optional,
        ..SimOptions::default()
    };
    let sim = Arc::new(Sim::start(options).await.unwrap());
    let client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    let granted = client.token(client.assertion(), None, None).await.json();
    assert_eq!(granted["token_type"], "Bearer");
    let authorization = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let reply = client
        .send(
            "GET",
            "/api/v1/users?limit=1",
            &[("authorization", &authorization)],
            "",
        )
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_resource_request_needs_a_proof_of_its_own() {
    let (sim, client) = signed_in().await;
    let path = "/api/v1/users?limit=1";
    let ask = async |authorization: &str, proof: Option<String>| -> Reply {
        let mut headers = vec![("authorization", authorization)];
        headers.extend(proof.as_deref().map(|proof| ("dpop", proof)));
        client.send("GET", path, &headers, "").await
    };
    let dpop = format!("DPoP {}", client.access_token);
    let good = client.proof("GET", path, &json!({}));
    assert_eq!(ask(&dpop, Some(good.clone())).await.status, 200);
    let replayed = ask(&dpop, Some(good)).await;
    assert_eq!((replayed.status, replayed.body.len()), (400, 0));
    assert!(
        replayed
            .header("www-authenticate")
            .contains("The DPoP proof JWT has already been used.")
    );

    assert_eq!(ask(&dpop, None).await.status, 400);
    for wrong in [
        json!({"ath": "x"}),
        json!({"htm": "POST"}),
        json!({"htu": format!("{}{path}", sim.info().base)}),
        json!({"iat": sim.now() - 900}),
    ] {
        let refused = ask(&dpop, Some(client.proof("GET", path, &wrong))).await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert!(
            refused.header("www-authenticate").contains("invalid_dpop_proof"),
            "{wrong}"
        );
    }
    let bearer = format!("Bearer {}", client.access_token);
    assert_eq!(ask(&bearer, None).await.status, 401);
    assert_eq!(
        ask("DPoP nonsense", Some(client.proof("GET", path, &json!({}))))
            .await
            .status,
        401
    );
    assert_eq!(
        client.send("GET", path, &[], "").await.json()["errorCode"],
        "E0000005"
    );

    sim.expire_tokens();
    assert_eq!(client.get(path).await.status, 401);
}

#[tokio::test]
async fn a_nonce_is_asked_for_late_and_answered() {
    let (sim, mut client) = signed_in().await;
    sim.set(|settings| settings.resource_nonce = true);
    sim.rotate_nonce(true);
    let asked = client.get("/api/v1/users?limit=1").await;
    assert_eq!(asked.status, 401);
    assert!(asked.header("www-authenticate").contains("use_dpop_nonce"));
    client.nonce = Some(asked.header("dpop-nonce"));
    let answered = client.get("/api/v1/users?limit=1").await;
    assert_eq!(answered.status, 200);
    sim.rotate_nonce(false);
    let rotated = client.get("/api/v1/users?limit=1").await;
    assert_eq!(rotated.status, 200, "the nonce before is still good");
    assert_ne!(rotated.header("dpop-nonce"), answered.header("dpop-nonce"));
}

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
async fn faults_of_an_answer_strike_as_they_are_set() {
    let (sim, client) = signed_in().await;
    let path = app_path(&sim, "/users?expand=user&limit=10");
    let with = async |kind: FaultKind| -> Reply {
        sim.clear_faults();
        sim.fault(Fault::new(kind).on("/api/v1/apps/*/users"));
        client.get(&path).await
    };
    let reply = with(FaultKind::Status {
        status: 503,
        rate: RateHeaders::Missing,
        retry_after: Some(2),
    })
    .await;
    assert_eq!(
        (
            reply.status,
            reply.header("retry-after"),
            reply.header("x-rate-limit-limit")
        ),
        (503, "2".into(), String::new())
    );
    let reply = with(FaultKind::Status {
        status: 429,
        rate: RateHeaders::Concurrency,
        retry_after: None,
    })
    .await;
    assert_eq!(
        (
            reply.header("x-rate-limit-limit"),
            reply.header("x-rate-limit-remaining")
        ),
        ("0".into(), "0".into())
    );
    assert_eq!(with(FaultKind::Unauthorized).await.status, 401);
    assert!(
        with(FaultKind::AskNonce { status: 401 })
            .await
            .header("www-authenticate")
            .contains("use_dpop_nonce")
    );
    assert_eq!(with(FaultKind::ExpireTokens).await.status, 401);
    let mut client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    client.sign_in().await;
    let with = async |kind: FaultKind| -> Reply {
        sim.clear_faults();
        sim.fault(Fault::new(kind).on("/api/v1/apps/*/users"));
        client.get(&path).await
    };
    assert_eq!(with(FaultKind::Redirect { location: None }).await.status, 302);
    assert!(
        with(FaultKind::Html)
            .await
            .header("content-type")
            .starts_with("text/html")
    );
    let empty = with(FaultKind::EmptyList).await;
    assert_eq!((empty.json(), empty.next()), (json!([]), None));
    assert!(with(FaultKind::EmptyPage).await.next().is_some());
    assert_eq!(
        with(FaultKind::HugeHeader { bytes: 20_000 })
            .await
            .header("x-okta-padding")
            .len(),
        20_000
    );
    assert!(
        with(FaultKind::Next {
            to: NextTo::OtherHost
        })
        .await
        .next()
        .unwrap()
        .starts_with("https://evil.example/")
    );
    let itself = with(FaultKind::Next { to: NextTo::Itself }).await;
    assert!(!itself.next().unwrap().contains("after="));
    let dropped = with(FaultKind::DropParameters {
        names: vec!["limit".to_owned()],
    })
    .await;
    assert!(!dropped.next().unwrap().contains("limit="));
    assert!(
        with(FaultKind::WithoutId { row: 3 }).await.json()[3]
            .get("id")
            .is_none()
    );
    assert!(
        with(FaultKind::WithoutEmbedded { row: 2 }).await.json()[2]
            .get("_embedded")
            .is_none()
    );
    assert!(
        with(FaultKind::ExtraFields { count: 600 }).await.json()[0]
            .as_object()
            .unwrap()
            .len()
            > 600
    );
    let long = with(FaultKind::LongName { bytes: 100 * 1_024 }).await.json();
    assert!(
        long[0]["_embedded"]["user"]["profile"]["firstName"]
            .as_str()
            .unwrap()
            .len()
            > 100 * 1_024
    );
    assert_eq!(
        with(FaultKind::TooLarge { over: 9, status: 504 }).await.status,
        504
    );
    assert_eq!(
        with(FaultKind::TooLarge {
            over: 10,
            status: 504
        })
        .await
        .status,
        200
    );
}

#[tokio::test]
async fn faults_of_the_connection_break_it() {
    let (sim, client) = signed_in().await;
    let path = app_path(&sim, "/users?expand=user&limit=10");
    for kind in [
        FaultKind::Reset,
        FaultKind::Cut {
            after_bytes: 0,
            connection: true,
        },
        FaultKind::Cut {
            after_bytes: 500,
            connection: true,
        },
        FaultKind::Cut {
            after_bytes: 500,
            connection: false,
        },
    ] {
        for is_http2 in [false, true] {
            sim.clear_faults();
            sim.fault(Fault::new(kind.clone()).on("/api/v1/apps/*/users"));
            assert!(
                client.try_get(&path, is_http2).await.is_err(),
                "{kind:?} over HTTP/2: {is_http2}"
            );
            assert!(client.try_get(&path, is_http2).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_stall_lasts_until_the_faults_are_cleared() {
    let (sim, client) = signed_in().await;
    for after_bytes in [None, Some(100)] {
        sim.fault(Fault::new(FaultKind::Stall { after_bytes }).on("/api/v1/users"));
        let asked = client.try_get("/api/v1/users?limit=1", true);
        let struck = async {
            while sim.faults().first().is_none_or(|fault| fault.struck == 0) {
                tokio::task::yield_now().await;
            }
            // The answer subscribes to the release before the fault strikes.
            sim.clear_faults();
        };
        let (reply, ()) = tokio::join!(asked, struck);
        assert!(reply.is_err());
    }
}

#[tokio::test]
async fn a_big_body_has_the_size_that_was_asked_for() {
    let (sim, client) = signed_in().await;
    sim.fault(Fault::new(FaultKind::BigBody { mib: 3, gzip: false }).on("/api/v1/users"));
    assert_eq!(client.get("/api/v1/users").await.body.len(), 3 * 1_048_576 + 2);
    sim.fault(Fault::new(FaultKind::BigBody { mib: 600, gzip: true }).on("/api/v1/users"));
    let bomb = client.get("/api/v1/users").await;
    assert!(
        bomb.body.len() < 4 * 1_048_576,
        "{} bytes on the way",
        bomb.body.len()
    );
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

#[tokio::test]
async fn what_was_asked_is_told() {
    let (sim, client) = signed_in().await;
    sim.forget_requests();
    client.get("/api/v1/users?limit=1").await;
    client.get("/api/v1/users/nobody").await;
    let requests = sim.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].query.as_str(), requests[0].status), ("limit=1", 200));
    assert_eq!(
        requests[0].dpop_thumbprint.as_deref(),
        Some(client.dpop.thumbprint().as_str())
    );
    assert!(!requests[0].headers.contains_key("authorization"));
    assert_eq!(sim.counters().endpoints["/api/v1/users/{id}"].statuses[&404], 1);
}

#[tokio::test]
async fn the_control_api_does_the_same_over_plain_http() {
    let sim = sim().await;
    let mut client = Client::new(&sim);
    let control = async |method: &str, path: &str, body: &str| client.control(method, path, body).await;
    assert_eq!(control("PUT", "/jwk", &client.jwk()).await.status, 200);
    assert_eq!(
        control("PATCH", "/settings", r#"{"org_id": "00oOther"}"#)
            .await
            .json()["org_id"],
        "00oOther"
    );
    let users = control("GET", "/users?limit=3", "").await.json();
    let id = users[0]["id"].as_str().unwrap();
    let change =
        json!([{"do": "set-status", "user": id, "status": "SUSPENDED"}, {"do": "unassign-all-groups"}]);
    assert_eq!(
        control("POST", "/changes", &change.to_string()).await.json()["ids"][0],
        id
    );
    assert!(
        !control("GET", "/expected", "")
            .await
            .text()
            .contains("\"type\":\"group\"")
    );
    let fault = r#"{"fault": "status", "status": 500, "path": "/api/v1/apps", "count": null}"#;
    assert_eq!(control("POST", "/faults", fault).await.json()["ids"], json!([1]));
    assert_eq!(
        control("POST", "/faults", r#"{"fault": "no-such"}"#).await.status,
        400
    );
    client.sign_in().await;
    assert_eq!(client.get("/api/v1/apps").await.status, 500);
    assert_eq!(client.control("GET", "/faults", "").await.json()[0]["struck"], 1);
    assert_eq!(client.control("DELETE", "/faults", "").await.status, 200);
    assert_eq!(client.get("/api/v1/apps").await.status, 200);
    assert_eq!(
        client
            .control("PUT", "/clock", r#"{"freeze_at": 5, "advance_secs": 2}"#)
            .await
            .json()["now"],
        7
    );
    assert_eq!(
        client.control("GET", "/counters", "").await.json()["endpoints"]["/api/v1/apps"]["requests"],
        2
    );
    assert_eq!(
        client.control("GET", "/info", "").await.json()["domain"],
        sim.info().domain.as_str()
    );
    assert_eq!(client.control("GET", "/nothing", "").await.status, 404);
}

#[test]
fn an_org_can_bring_its_own_threads_and_many_run_side_by_side() {
    let orgs: Vec<Sim> = (0..3)
        .map(|seed| {
            Sim::launch(SimOptions {
                seed,
                ..SimOptions::default()
            })
            .unwrap()
        })
        .collect();
    let domains: std::collections::HashSet<_> = orgs.iter().map(|org| org.info().domain.clone()).collect();
    assert_eq!(domains.len(), 3);
    let ca = orgs[0].info().ca.clone();
    assert!(
        std::fs::read_to_string(&ca)
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    drop(orgs);
    assert!(!std::path::Path::new(&ca).exists());
}
