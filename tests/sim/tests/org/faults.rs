//! Faults strike as they are set.

use okta_sim::{Fault, FaultKind, NextTo, RateHeaders};
use serde_json::json;

use crate::client::{Client, Reply};
use crate::{app_path, signed_in};

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
        with(FaultKind::ExtraFields { fields: 600 }).await.json()[0]
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
