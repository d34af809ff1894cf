//! The reader against `serde_json`: what is taken, what is refused, what is found in it.

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Flaw, is_cut, mended, read};
use crate::model::{AppUser, Row, Text};

/// Whether what is looked at is read like `serde_json` reads it, taken or refused, with the same in it; and whether what is
/// skipped is taken where it is JSON, whole. A field whose name has half of a character is not known, and does no harm.
fn is_read_alike(text: &[u8]) -> bool {
    let (ours, theirs) = (read::<Value>(text), serde_json::from_slice::<Value>(text));
    let is_alike = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Ok(_), Err(refused)) => refused.to_string().contains("hex escape"),
        (Err(_), theirs) => theirs.is_err(),
    };
    let is_json = serde_json::from_slice::<IgnoredAny>(text).is_ok();
    is_alike && (!is_json || is_skipped_whole(text))
}

/// Whether a text is skipped, and none of it is when any of its end is missing. Only of a number is the rest one, too.
fn is_skipped_whole(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let is_number = text.last().is_some_and(u8::is_ascii_digit);
    let is_taken = |end: usize| read::<IgnoredAny>(&text[..end]).is_ok();
    is_taken(text.len()) && (is_number || !(0..text.len()).any(is_taken))
}

fn ids(text: &[u8]) -> Option<Vec<String>> {
    let rows: Vec<Row<'_>> = read(text).ok()?;
    Some(rows.into_iter().map(|row| row.id.0.into_owned()).collect())
}

fn their_ids(text: &[u8]) -> Option<Vec<String>> {
    let rows: Vec<Row<'_>> = serde_json::from_slice(text).ok()?;
    Some(rows.into_iter().map(|row| row.id.0.into_owned()).collect())
}

/// What `serde_json` takes for a row although it is a list.
fn has_row_in_a_list(text: &[u8]) -> bool {
    let rows: Result<Vec<Value>, _> = serde_json::from_slice(text);
    rows.is_ok_and(|rows| rows.iter().any(Value::is_array))
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \n\t\r]{0,3}"]
}

/// A string as it may be written, with or without what is wrong in it.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-z0-9 :,{}\\[\\]/.]{0,40}",
        2 => "[äß\u{4e00}\u{1f600}\u{7f}]{1,3}",
        2 => prop::sample::select(vec![
            "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u00e4", "\\uD83D\\uDE00", "\\u0069",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["\\", "\\u12", "\\x", "\\ud83d", "\u{1}", "\n", "\\u00e", "\\U0041"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        "[-+0-9.eE]{1,6}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "\"id\"",
        "\"\\u0069d\"",
        "\"_embedded\"",
        "\"user\"",
        "\"profile\"",
        "\"email\"",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        string()
    ]
}

/// JSON, or nearly.
fn json() -> impl Strategy<Value = String> {
    let words = ["null", "true", "false", "nul", "True", "", "{}", "[]", "[{}]"];
    let leaf = prop_oneof![
        3 => string(),
        1 => number(),
        1 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(a, item, b)| format!("{a}{item}{b}"));
        let field = (space(), key(), space(), space(), inner, space())
            .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(field, 0..6).prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

/// One byte of it is another, is missing, or is one too many; or its end is missing.
fn damaged(text: String) -> impl Strategy<Value = Vec<u8>> {
    let bytes = b"{}[]\",:\\u019-+.eEntfalsr \n\x00\x1f\x7f\x80\xc3\xff";
    (
        any::<prop::sample::Index>(),
        prop::sample::select(bytes.to_vec()),
        0..4,
    )
        .prop_map(move |(at, byte, how)| {
            let mut text = text.clone().into_bytes();
            let at = at.index(text.len() + 1);
            match how {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => {
                    text.remove(at);
                }
                2 => text.truncate(at),
                _ => text.insert(at, byte),
            }
            text
        })
}

fn row() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        5 => "\"[a-zA-Z0-9]{1,20}\"",
        1 => string(),
        1 => (250..260_usize).prop_map(|length| format!("\"{}\"", "x".repeat(length))),
        1 => prop::sample::select(vec!["null", "7", "\"\"", "[]", "{\"id\":\"00u1\"}"]).prop_map(str::to_owned),
    ];
    let id = id.prop_map(|id| format!("\"id\":{id}"));
    let other = ("\"[a-hj-z]{0,9}\"", json()).prop_map(|(key, value)| format!("{key}:{value}"));
    let nested = id
        .clone()
        .prop_map(|id| format!("\"type\":{{{id},\"list\":[{{{id}}}]}}"));
    let fields = prop::collection::vec(prop_oneof![2 => id, 3 => other, 2 => nested], 0..5);
    prop_oneof![
        9 => fields.prop_map(|fields| format!("{{{}}}", fields.join(","))),
        1 => json(),
    ]
}

fn page() -> impl Strategy<Value = String> {
    prop::collection::vec(row(), 0..4).prop_map(|rows| format!("[{}]", rows.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_1_3_what_is_read_is_json_and_nothing_else(text in json(), more in prop_oneof![Just(""), Just(" \n"), Just(",")]) {
        let text = text + more;
        prop_assert!(is_read_alike(text.as_bytes()), "{}", text);
    }

    #[test]
    fn runs_1_3_what_is_damaged_is_refused(text in json().prop_flat_map(damaged)) {
        prop_assert!(is_read_alike(&text), "{}", text.escape_ascii());
    }

    #[test]
    fn runs_1_8_what_needs_no_mending_is_mended_to_itself(text in string()) {
        if let Ok(theirs) = serde_json::from_str::<String>(&text) {
            prop_assert_eq!(mended(&text[1..text.len() - 1]), theirs);
        }
    }

    #[test]
    fn runs_1_3_bytes_of_any_kind_are_judged_alike(text in "[{}\\[\\]\",:\\\\u0-9a-fntrlsE+. \n-]{0,24}") {
        prop_assert!(is_read_alike(text.as_bytes()), "{}", text);
    }

    #[test]
    fn runs_1_3_the_ids_of_a_page_are_those_of_its_rows(text in page()) {
        match their_ids(text.as_bytes()) {
            Some(_) if has_row_in_a_list(text.as_bytes()) => prop_assert_eq!(ids(text.as_bytes()), None),
            Some(theirs) => prop_assert_eq!(ids(text.as_bytes()), Some(theirs)),
            // What is wrong may stand where nobody looks.
            None => {}
        }
    }

    #[test]
    fn runs_1_3_a_page_that_is_cut_is_refused(text in page(), at in any::<prop::sample::Index>()) {
        let text = text.as_bytes();
        if their_ids(text).is_some() {
            prop_assert_eq!(ids(&text[..at.index(text.len())]), None);
        }
    }

    #[test]
    fn runs_1_3_a_quote_too_few_and_one_too_many_hide_no_row(
        // A comma or colon within a text can look like one behind it.
        rows in prop::collection::vec(prop::collection::vec("[a-z0-9][a-z0-9 {}\\[/]{0,40}", 1..6), 1..8),
        is_spaced in any::<bool>(),
        removed in any::<prop::sample::Index>(),
        inserted in any::<prop::sample::Index>(),
    ) {
        let (colon, comma) = if is_spaced { (" : ", "\n , ") } else { (":", ",") };
        let row = |texts: &Vec<String>| {
            let fields = texts.iter().map(|text| format!("{comma}\"x{text}\"{colon}\"{text}\""));
            format!("{{\"id\"{colon}\"00u1\"{}}}", fields.collect::<String>())
        };
        let mut page = format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(comma));
        prop_assert_eq!(ids(page.as_bytes()).map(|ids| ids.len()), Some(rows.len()));
        let quotes: Vec<usize> = page.match_indices('"').map(|(at, _)| at).collect();
        page.remove(*removed.get(&quotes));
        page.insert(inserted.index(page.len()), '"');
        let read = ids(page.as_bytes());
        prop_assert!(read.is_none_or(|ids| ids.len() == rows.len()), "{}", page);
    }

    #[test]
    fn runs_1_3_a_row_of_a_user_is_read_alike(text in json()) {
        let text = format!("{{\"id\":\"00u1\",\"_embedded\":{{\"user\":{{\"id\":\"00u1\",\"profile\":{text}}}}}}}");
        if let Ok(theirs) = serde_json::from_str::<AppUser<'_>>(&text) {
            let ours = read::<AppUser<'_>>(text.as_bytes()).unwrap();
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        }
    }
}

#[test]
fn strings_end_where_they_end_however_long_they_are() {
    for length in 0..70 {
        for special in ["", "\\\"", "\\u00e4", "\u{e4}", "\u{1}", "\\"] {
            for at in 0..=length {
                let (before, after) = ("x".repeat(at), "x".repeat(length - at));
                let text = format!("{{\"a\":\"{before}{special}{after}\",\"{before}{special}{after}\":[]}}");
                assert!(is_read_alike(text.as_bytes()), "{text}");
                assert!(is_read_alike(&text.as_bytes()[..text.len() - 4]), "{text}");
            }
        }
    }
}

#[test]
fn half_of_a_character_in_a_value_is_no_text_and_in_a_name_no_harm() {
    assert!(read::<Value>(br#"{"a":"\ud83d"}"#).is_err());
    assert_eq!(
        ids(br#"[{"\ud83d":"a","id":"00u1","\ud83d":"b"}]"#).unwrap(),
        ["00u1"]
    );
}

#[test]
fn what_is_skipped_may_be_deeper_than_any_stack() {
    for depth in [1, 62, 63, 64, 65, 127, 128, 129, 1_000_000] {
        let of = |open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for text in [of("[", "]"), of("{\"a\":", "}"), of("[{\"a\":", "}]")] {
            assert!(read::<IgnoredAny>(text.as_bytes()).is_ok(), "{depth}");
            let without_end = &text.as_bytes()[..text.len() - 1];
            assert!(read::<IgnoredAny>(without_end).is_err(), "{depth}");
            assert!(
                read::<IgnoredAny>(format!("{text}]").as_bytes()).is_err(),
                "{depth}"
            );
        }
        let crossed = format!("{}1}}", &of("[", "]")[..depth * 2]);
        assert!(read::<IgnoredAny>(crossed.as_bytes()).is_err(), "{depth}");
    }
}

#[test]
fn runs_1_3_a_list_of_an_objects_fields_is_no_object() {
    assert!(read::<Vec<Row<'_>>>(br#"[["00u1"]]"#).is_err());
    assert!(read::<AppUser<'_>>(br#"["00u1",[["00u1"]]]"#).is_err());
    assert_eq!(ids(br#"[{"id":"00u1"}]"#).unwrap(), ["00u1"]);
}

#[test]
fn runs_1_3_a_field_that_is_there_twice_is_refused_or_counts_once() {
    assert_eq!(ids(br#"[{"id":"00u1","id":"00u2"}]"#).unwrap(), ["00u1"]);
    assert_eq!(
        ids(br#"[{"\u0069d":"00u1","x":{"id":"00u2"},"id":"00u2"}]"#).unwrap(),
        ["00u1"]
    );
    let user = r#"{"id":"00u1","id":"00u2","_embedded":{"user":{"id":"00u1"}}}"#;
    assert!(read::<AppUser<'_>>(user.as_bytes()).is_err());
}

#[test]
fn runs_1_3_a_row_goes_on_with_another_field_or_is_at_its_end() {
    for text in [
        r#"[{"id":"00u1"{"id":"00u2"}}]"#,
        r#"[{"id":"00u1" "},{"id":"00u2"" }]"#,
        // A quote too few, and one too many behind it.
        r#"[{"id":"00u1","x":"p},{"id":"00u2","y":q"}]"#,
    ] {
        assert_eq!(ids(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn what_is_skipped_ends_where_it_ends_wherever_it_lies() {
    let inside = [
        r#""}""#,
        r#""\"}""#,
        r#""\\""#,
        r#""\\\"]""#,
        r#"{"a":"[{"}"#,
        r#"["{",{"b":"\\"}]"#,
        r#"["a" , "]"]"#,
        "{\"a\"\n:\"}\"\t\r\n }",
    ];
    for (inside, before) in inside
        .iter()
        .flat_map(|inside| (0..200).map(move |before| (inside, before)))
    {
        let text = format!(
            r#"[{{"id":"00u1","x":"{}","y":{inside}}},{{"id":"00u2"}}]"#,
            "x".repeat(before)
        );
        assert_eq!(ids(text.as_bytes()).unwrap(), ["00u1", "00u2"], "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said = |text: &str| read::<Vec<Row<'_>>>(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        said(r#"[{"a":"b""#),
        "neither comma nor end after a field, at byte 9"
    );
    assert_eq!(
        said(r#"[{"id":"00u1","#),
        "a string, a list or an object without an end, at byte 13"
    );
    assert_eq!(said(r#"[{"a":"b"}]"#), "missing field `id`, at byte 10");
    assert_eq!(said("{}"), "no list where one must be, at byte 0");
}

#[test]
fn what_is_cut_is_told_from_what_is_no_json_and_from_what_is_another_shape() {
    let flaw = |text: &str| read::<Vec<Row<'_>>>(text.as_bytes()).unwrap_err().flaw;
    for text in [
        "",
        " [ ",
        "[{\"id\":\"00u1\"",
        "[{\"id\":\"00u1\"},",
        "[{\"a\":[1]",
    ] {
        assert_eq!(flaw(text), Flaw::Cut, "{text}");
        assert!(is_cut(text.as_bytes()), "{text}");
    }
    for text in [
        "x",
        "[]x",
        "[]]",
        "[] [",
        "[{\"id\":\"00u1\"},]",
        "[{\"id\":\"00u1\"]",
    ] {
        assert_eq!(flaw(text), Flaw::NoJson, "{text}");
    }
    for text in ["7", "{}", "[7]", "[{}]", "[{\"a\":[1]}]", "[{\"id\":[1]}]"] {
        assert_eq!(flaw(text), Flaw::OtherShape, "{text}");
        assert!(!is_cut(text.as_bytes()), "{text}");
    }
}

#[test]
fn runs_1_8_halves_of_characters_are_mended_and_all_else_stays() {
    for (written, expected) in [
        (r"\ud800", "\u{fffd}"),
        (r"\udc00", "\u{fffd}"),
        (r"a\uD83Db", "a\u{fffd}b"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\ud83d\\ude00", "\u{fffd}\\ude00"),
        (r"\ud83d\u0041", "\u{fffd}A"),
        (
            r#"\"\\\/\b\f\n\r\tä漢😀\u00e4\udfff"#,
            "\"\\/\u{8}\u{c}\n\r\tä漢😀ä\u{fffd}",
        ),
    ] {
        let text = format!("\"{written}\"");
        let read: Text<'_> = read(text.as_bytes()).unwrap();
        assert_eq!(read, Text::Mended(expected.to_owned()), "{text}");
    }
    let pair: Text<'_> = read(br#""\ud83d\ude00""#).unwrap();
    assert_eq!(pair, Text::Whole("\u{1f600}".into()));
}

#[test]
fn numbers_and_words_are_told_apart_from_texts() {
    #[derive(Deserialize)]
    struct Odd<'a> {
        #[serde(borrow)]
        a: Text<'a>,
        b: Option<u64>,
        c: bool,
    }
    let odd: Odd<'_> = read(br#" { "a" : -7 , "b" : null , "c" : true } "#).unwrap();
    assert_eq!((odd.a.trimmed(), odd.b, odd.c), (Some("-7"), None, true));
    let odd: Odd<'_> = read(br#"{"a":1.5,"b":18446744073709551615,"c":false}"#).unwrap();
    assert_eq!((odd.a.trimmed(), odd.b, odd.c), (None, Some(u64::MAX), false));
    assert!(read::<Odd<'_>>(br#"{"a":1e999,"b":1,"c":true}"#).is_err());
}
