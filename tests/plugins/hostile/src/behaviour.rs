//! The ways in which the plugin misbehaves.

use std::hint::black_box;

use crate::bindings::exports::idsync::plugin::directory_sync::SyncSummary;
use crate::bindings::idsync::plugin::identity_store::{self, Group, PagePart, User};
use crate::bindings::idsync::plugin::log::{self, Level};
use crate::bindings::idsync::plugin::timer;
use crate::bindings::idsync::plugin::types::{ErrorKind, Failure, Setting};
use crate::bindings::idsync::plugin::vault;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{Fields, OutgoingRequest, Scheme};

const MIB: usize = 1024 * 1024;
const SECOND_NS: u64 = 1_000_000_000;

/// Does what the setting `behaviour` says.
pub fn show(settings: &[Setting]) -> Result<SyncSummary, Failure> {
    match value(settings, "behaviour") {
        "none" => {
            read_little();
            Ok(summary(Vec::new()))
        }
        "spin" => loop {
            black_box(0);
        },
        "spin-with-host-calls" => loop {
            black_box(monotonic_clock::now());
        },
        "spin-with-growth" => loop {
            black_box(core::arch::wasm32::memory_grow(0, 0));
        },
        "memory" => {
            let mut taken: Vec<Vec<u8>> = Vec::new();
            loop {
                taken.push(vec![1; MIB]);
                black_box(&taken);
            }
        }
        "trap" => core::arch::wasm32::unreachable(),
        "panic" => panic!("the sky is falling"),
        "flood-log" => loop {
            log::write(Level::Info, "again", &[]);
        },
        #[expect(clippy::disallowed_macros, reason = "a plugin's standard error is its log")]
        "flood-stderr" => loop {
            eprintln!("and again");
        },
        "flood-store" => {
            let mut number = 0_u64;
            loop {
                let page: Vec<User> = (0..1_000)
                    .map(|row| user(&format!("u{}", number + row)))
                    .collect();
                identity_store::put_users(&page);
                number += 1_000;
            }
        }
        "other-host" => ask("elsewhere.example"),
        "own-host" => ask(value(settings, "host")),
        "handles" => loop {
            std::mem::forget(monotonic_clock::subscribe_duration(SECOND_NS));
        },
        "deep-recursion" => failed(&dig(black_box(1)).to_string()),
        "deep-frames" => failed(&fill(black_box(1)).to_string()),
        "big-call" => {
            log::write(Level::Info, &"x".repeat(8 * MIB), &[]);
            failed("a call of 8 MiB went through")
        }
        "many-values" => {
            // Little text in very many values.
            let members = vec![String::new(); MIB];
            let page = PagePart::FIRST | PagePart::LAST;
            identity_store::put_members("g1", &members, 0, page);
            failed("a call of a million values went through")
        }
        "big-answer" => Ok(summary(vec!["x".repeat(8 * MIB)])),
        #[expect(clippy::disallowed_methods, reason = "it is what the behaviour is about")]
        "exit" => std::process::exit(3),
        "remember" => {
            vault::remember("cursor", b"0oa1");
            read_little();
            Ok(summary(Vec::new()))
        }
        "store-anywhere" => {
            identity_store::stored();
            failed("the store was reached")
        }
        "no-close" => {
            identity_store::put_groups(&[group("g1")]);
            identity_store::put_members("g1", &["u1".to_owned()], 0, PagePart::FIRST);
            Ok(summary(Vec::new()))
        }
        "wait-until-cancelled" => {
            while !timer::cancelled() {
                monotonic_clock::subscribe_duration(SECOND_NS / 100).block();
            }
            timer::wake_at(1_700_000_000, "it was asked to end");
            Err(failure(ErrorKind::Cancelled, "it was asked to end"))
        }
        "wait-for-ever" => loop {
            monotonic_clock::subscribe_duration(3_600 * SECOND_NS).block();
        },
        "compute-a-second" => {
            let start = monotonic_clock::now();
            let mut turns = 0_u64;
            while monotonic_clock::now() - start < SECOND_NS {
                for turn in 0..100_000_u64 {
                    turns = black_box(turns.wrapping_add(turn));
                }
            }
            Ok(summary(Vec::new()))
        }
        "sleep-a-second" => {
            monotonic_clock::subscribe_duration(SECOND_NS).block();
            Ok(summary(Vec::new()))
        }
        "escape-codes" => failed("\u{1b}[2Jcleared your screen"),
        other => failed(&format!("there is no behaviour `{other}`")),
    }
}

/// Reads one user, one group and its one member.
fn read_little() {
    identity_store::put_users(&[user("u1")]);
    identity_store::put_groups(&[group("g1")]);
    identity_store::put_members("g1", &["u1".to_owned()], 0, PagePart::FIRST | PagePart::LAST);
}

fn ask(host: &str) -> Result<SyncSummary, Failure> {
    let request = OutgoingRequest::new(Fields::new());
    let is_set = request
        .set_scheme(Some(&Scheme::Https))
        .and_then(|()| request.set_authority(Some(host)))
        .and_then(|()| request.set_path_with_query(Some("/")));
    if is_set.is_err() {
        return failed("the request was refused before it was sent");
    }
    let answer = match outgoing_handler::handle(request, None) {
        Ok(answer) => answer,
        Err(code) => return Err(failure(ErrorKind::Protocol, &format!("{code:?}"))),
    };
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => failed(&format!("{host} answered {}", response.status())),
        Some(Ok(Err(code))) => Err(failure(ErrorKind::Protocol, &format!("{code:?}"))),
        _ => failed("no answer"),
    }
}

/// Recursion that takes room on the stack of calls alone.
fn dig(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 1;
    }
    dig(depth + 1).wrapping_mul(31) ^ depth
}

/// Recursion that takes room in linear memory.
fn fill(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 1;
    }
    let mut room = [0_u8; 4_096];
    room[usize::try_from(depth % 4_096).unwrap_or(0)] = 1;
    let room = black_box(room);
    fill(depth + 1) + u64::from(room[0])
}

fn value<'a>(settings: &'a [Setting], name: &str) -> &'a str {
    settings
        .iter()
        .find(|setting| setting.name == name)
        .map_or("", |setting| setting.value.as_str())
}

fn user(id: &str) -> User {
    User {
        external_id: id.to_owned(),
        email: format!("{id}@example.com"),
        username: id.to_owned(),
        display_name: None,
        given_name: None,
        family_name: None,
        active: true,
        provider_status: "ACTIVE".to_owned(),
    }
}

fn group(id: &str) -> Group {
    Group {
        external_id: id.to_owned(),
        name: id.to_owned(),
        description: None,
        provider_kind: None,
        members_version: None,
    }
}

fn summary(notes: Vec<String>) -> SyncSummary {
    SyncSummary {
        requests: 0,
        retries: 0,
        waited_ms: 0,
        notes,
    }
}

fn failed(summary: &str) -> Result<SyncSummary, Failure> {
    Err(failure(ErrorKind::Unavailable, summary))
}

fn failure(kind: ErrorKind, summary: &str) -> Failure {
    Failure {
        kind,
        summary: summary.to_owned(),
        hint: String::new(),
        stage: "hostile".to_owned(),
        provider_code: None,
        request_id: None,
        retry_at: None,
    }
}
