//! Keys, sealing and signing, as a directory meets them.

mod key_file;

use idsync_model::{Description, DirectoryId, KeyAlgorithm, Settings, SystemClock, UnixMillis};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::wit::{self, Host as _, HostSigningKey as _, JwtOptions, KeyError};
use super::*;
use crate::CapabilityError;

const SOME_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn sealer_of(master: &str, directory: &DirectoryId) -> DirectorySealer {
    MasterKey::from_text(master)
        .unwrap()
        .directory_sealer(directory.clone())
}

fn some_sealer() -> DirectorySealer {
    sealer_of(SOME_KEY, &DirectoryId::generate())
}

/// May reach `acme.okta.com`.
fn grant() -> EgressGrant {
    let description = Description {
        id: "okta".to_owned(),
        name: "Okta".to_owned(),
        version: "1.0.0".to_owned(),
        settings: Vec::new(),
        key: Some(KeyAlgorithm::Rs256),
        hosts: vec!["acme.okta.com".to_owned()],
        permissions: Vec::new(),
        guide: Vec::new(),
        docs_url: None,
    };
    EgressGrant::new(
        &description,
        &Settings::default(),
        &crate::egress::PrivateEgress::default(),
    )
    .unwrap()
}

fn plain() -> JwtOptions {
    JwtOptions {
        typ: None,
        include_kid: false,
        include_jwk: false,
    }
}

/// The host's time in these tests: 1970-01-01, 00:16:40 (UTC).
const NOW: UnixMillis = UnixMillis(1_000_000);

/// Signs with a P-256 key of the directory, or with an ephemeral one.
fn sign(is_the_directorys: bool, claims: &Value, options: &JwtOptions) -> Result<String, KeyError> {
    let key = SigningKey {
        pair: Arc::new(KeyPair::ephemeral().unwrap()),
        is_the_directorys,
    };
    jwt::sign(&key, &claims.to_string(), options, &grant(), NOW)
}

fn refusal(is_the_directorys: bool, claims: &Value) -> String {
    match sign(is_the_directorys, claims, &plain()) {
        Err(KeyError::NotAllowed(why)) => why,
        other => panic!("{claims}: {other:?}"),
    }
}

#[test]
fn a_value_opens_for_its_own_directory_purpose_and_name_only() {
    let directory = DirectoryId::generate();
    let sealer = sealer_of(SOME_KEY, &directory);
    let hidden = sealer.seal(Purpose::Secret, "token", b"s3cret");
    assert_eq!(hidden.len(), b"s3cret".len() + DirectorySealer::OVERHEAD_BYTES);
    assert!(!hidden.windows(6).any(|w| w == b"s3cret"));
    assert_eq!(
        sealer.open(Purpose::Secret, "token", &hidden).unwrap().as_slice(),
        b"s3cret"
    );

    assert!(sealer.open(Purpose::Memory, "token", &hidden).is_err());
    assert!(sealer.open(Purpose::Secret, "other", &hidden).is_err());
    let elsewhere = sealer_of(SOME_KEY, &DirectoryId::generate());
    assert!(elsewhere.open(Purpose::Secret, "token", &hidden).is_err());
    let other_master = sealer_of(OTHER_KEY, &directory);
    assert!(other_master.open(Purpose::Secret, "token", &hidden).is_err());
}

#[test]
fn a_damaged_value_does_not_open() {
    let sealer = some_sealer();
    let hidden = sealer.seal(Purpose::Memory, "n", b"value");
    for at in 0..hidden.len() {
        let mut damaged = hidden.clone();
        damaged[at] ^= 1;
        assert!(sealer.open(Purpose::Memory, "n", &damaged).is_err(), "byte {at}");
    }
    assert!(sealer.open(Purpose::Memory, "n", &hidden[..20]).is_err());
    assert!(sealer.open(Purpose::Memory, "n", &[]).is_err());
}

#[test]
fn a_master_key_is_read_from_hexadecimal_and_base64() {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..32).collect();
    let cache_tag = |text: &str| {
        MasterKey::from_text(text)
            .unwrap()
            .component_cache_key()
            .tag(&[b"x"])
    };
    let expected = cache_tag(SOME_KEY);
    assert_eq!(cache_tag(&SOME_KEY.to_uppercase()), expected);
    assert_eq!(
        cache_tag(&format!(" {}\n", base64::prelude::BASE64_STANDARD.encode(&bytes))),
        expected
    );
    assert_eq!(
        cache_tag(&base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&bytes)),
        expected
    );
    for bad in ["", "short", &SOME_KEY[1..], &"g".repeat(64), &"A".repeat(40)] {
        assert!(
            matches!(MasterKey::from_text(bad), Err(MasterKeyError::NotAKey)),
            "{bad}"
        );
    }
}

#[test]
fn codes_of_the_cache_fit_their_message_alone() {
    let key = MasterKey::from_text(SOME_KEY).unwrap().component_cache_key();
    let tag = key.tag(&[b"ab", b"c"]);
    assert!(key.verify(&[b"ab", b"c"], &tag));
    assert!(!key.verify(&[b"a", b"bc"], &tag));
    assert!(!key.verify(&[b"ab", b"c"], &tag[..16]));
    let other = MasterKey::from_text(OTHER_KEY).unwrap().component_cache_key();
    assert!(!other.verify(&[b"ab", b"c"], &tag));
}

#[test]
fn an_rsa_key_is_made_sealed_opened_and_signs() {
    let sealer = some_sealer();
    let new = NewKeyPair::generate(KeyAlgorithm::Rs256, &sealer).unwrap();
    let jwk: Value = serde_json::from_str(&new.public_jwk).unwrap();
    assert_eq!(jwk["kty"], "RSA");
    assert_eq!(jwk["alg"], "RS256");
    assert_eq!(jwk["use"], "sig");
    assert_eq!(jwk["kid"], new.kid);
    assert_eq!(jwk["e"], "AQAB");
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        assert!(jwk.get(private).is_none(), "{private}");
    }
    let pem = public_pem(&new.public_jwk).unwrap();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("-----END PUBLIC KEY-----\n"));

    let pair = KeyPair::unseal(KeyAlgorithm::Rs256, &new.kid, &new.sealed_private, &sealer).unwrap();
    assert_eq!(pair.kid(), new.kid);
    let key = SigningKey {
        pair: Arc::new(pair),
        is_the_directorys: true,
    };
    let claims = json!({"iss": "c", "sub": "c", "aud": "https://acme.okta.com/oauth2/v1/token",
        "iat": 1_000, "exp": 1_300, "jti": "1"});
    let options = JwtOptions {
        include_kid: true,
        ..plain()
    };
    let token = jwt::sign(&key, &claims.to_string(), &options, &grant(), NOW).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(header.kid.as_deref(), Some(new.kid.as_str()));
    assert_eq!(header.typ, None);
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    for verifier in [
        DecodingKey::from_jwk(&serde_json::from_str(&new.public_jwk).unwrap()).unwrap(),
        DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
    ] {
        let read = jsonwebtoken::decode::<Value>(&token, &verifier, &validation).unwrap();
        assert_eq!(read.claims, claims);
    }
    assert!(KeyPair::unseal(KeyAlgorithm::Rs256, &new.kid, &new.sealed_private, &some_sealer()).is_err());
}

#[test]
fn a_p256_key_is_shown_as_jwk_and_pem() {
    let sealer = some_sealer();
    let new = NewKeyPair::generate(KeyAlgorithm::Es256, &sealer).unwrap();
    let pem = public_pem(&new.public_jwk).unwrap();
    let pair = KeyPair::unseal(KeyAlgorithm::Es256, &new.kid, &new.sealed_private, &sealer).unwrap();
    let key = SigningKey {
        pair: Arc::new(pair),
        is_the_directorys: false,
    };
    let token = jwt::sign(&key, r#"{"a":1}"#, &plain(), &grant(), NOW).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let verifier = DecodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::decode::<Value>(&token, &verifier, &validation).unwrap();
}

#[test]
fn a_proof_carries_its_public_key_and_no_more() {
    let options = JwtOptions {
        typ: Some("dpop+jwt".to_owned()),
        include_kid: false,
        include_jwk: true,
    };
    let claims = json!({"htm": "GET", "htu": "https://acme.okta.com/api/v1/apps", "iat": 1, "jti": "x"});
    let token = sign(false, &claims, &options).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("dpop+jwt"));
    assert_eq!(header.kid, None);
    let jwk: Jwk = header.jwk.unwrap();
    let members = serde_json::to_value(&jwk).unwrap();
    let names: Vec<&str> = members.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["crv", "kty", "x", "y"]);
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
}

#[test]
fn claims_must_be_an_object() {
    for claims in [json!([]), json!("text"), json!(1), Value::Null] {
        assert!(refusal(false, &claims).contains("no JSON object"));
    }
    let key = SigningKey {
        pair: Arc::new(KeyPair::ephemeral().unwrap()),
        is_the_directorys: false,
    };
    let error = jwt::sign(&key, "{\"a\":1} tail", &plain(), &grant(), NOW).unwrap_err();
    assert!(matches!(error, KeyError::NotAllowed(_)));
}

#[test]
fn claims_for_someone_end_within_the_hour() {
    let token_url = "https://acme.okta.com/oauth2/v1/token";
    for (iat, exp) in [
        (json!(5), Value::Null),
        (Value::Null, json!(5)),
        (json!("5"), json!(6)),
        (json!(5.5), json!(6.5)),
        (json!(1e300), json!(1e300)),
        (json!(u64::MAX), json!(u64::MAX)),
    ] {
        let mut claims = json!({"aud": token_url});
        claims["iat"] = iat;
        claims["exp"] = exp;
        assert!(refusal(false, &claims).contains("`iat` and `exp`"), "{claims}");
    }
    let lasting = |seconds: u64| json!({"aud": token_url, "iat": 9_000, "exp": 9_000 + seconds});
    assert!(sign(true, &lasting(3_600), &plain()).is_ok());
    assert!(refusal(true, &lasting(3_601)).contains("more than an hour"));
    let between = |iat: i64, exp: i64| json!({"aud": token_url, "iat": iat, "exp": exp});
    assert!(refusal(true, &between(0, 300)).contains("end before they begin"));
    assert!(refusal(true, &between(-5, 300)).contains("end before they begin"));
    assert!(refusal(true, &between(1_001, 1_000)).contains("end before they begin"));
    assert!(refusal(true, &between(i64::MIN, i64::MAX)).contains("end before they begin"));
    assert!(refusal(true, &between(1, i64::MAX)).contains("more than an hour"));
}

#[test]
fn claims_for_a_far_future_are_refused() {
    let ending = |exp: i64| json!({"aud": "https://acme.okta.com/", "iat": exp - 300, "exp": exp});
    let a_day_ahead = NOW.0 / 1_000 + 24 * 3_600;
    assert!(sign(true, &ending(a_day_ahead), &plain()).is_ok());
    for exp in [a_day_ahead + 1, 4_102_444_800, i64::MAX] {
        assert!(
            refusal(true, &ending(exp)).contains("ahead of the host's clock"),
            "{exp}"
        );
    }
}

#[test]
fn claims_are_no_longer_than_a_server_takes() {
    let claims = |length: usize| json!({ "a": "x".repeat(length) });
    assert!(sign(false, &claims(16_000), &plain()).is_ok());
    assert!(refusal(false, &claims(17_000)).contains("longer than 16384 bytes"));
}

#[test]
fn claims_are_meant_for_hosts_of_the_description_only() {
    let meant_for = |aud: Value| json!({"aud": aud, "iat": 1, "exp": 300});
    for aud in [
        json!("https://evil.example/token"),
        json!("https://acme.okta.com.evil.example/"),
        json!("https://acme.okta.com@evil.example/"),
        json!("http://acme.okta.com/token"),
        json!("https://acme.okta.com:8443/token"),
        json!(["https://acme.okta.com/token", "https://evil.example/"]),
        json!("//victim.okta.com/x"),
        json!("victim.okta.com/oauth2/v1/token"),
        json!("victim.okta.com"),
        json!("victim:443"),
        json!("https://victim.okta.com:99999/x"),
        json!("blob:https://victim.okta.com/t"),
        json!("urn://victim.okta.com/x"),
        json!("data:,victim"),
        json!("https://user@acme.okta.com/"),
        json!("https://acme.okta.com\\@evil.example/"),
        json!("\\\\victim"),
        json!("https://acme.okta.com/\n"),
        json!("victim\u{3002}okta\u{3002}com"),
        json!(""),
    ] {
        assert!(
            refusal(true, &meant_for(aud.clone())).contains("neither an https URL"),
            "{aud}"
        );
    }
    for aud in [json!(5), json!([]), json!([1]), json!({}), Value::Null] {
        assert!(
            refusal(true, &meant_for(aud.clone())).contains("neither a string"),
            "{aud}"
        );
    }
    for aud in [
        json!("https://ACME.okta.com/token"),
        json!(["https://acme.okta.com/"]),
        json!("urn:a:name"),
        json!("a name"),
        json!("https://acme.okta.com:443/"),
    ] {
        assert!(sign(true, &meant_for(aud.clone()), &plain()).is_ok(), "{aud}");
    }
}

#[test]
fn the_directorys_key_signs_nothing_that_is_meant_for_nobody() {
    assert!(refusal(true, &json!({"iat": 0, "exp": 1})).contains("without an `aud`"));
    assert!(sign(false, &json!({"iat": 0}), &plain()).is_ok());
}

#[test]
fn other_types_of_token_are_not_signed() {
    let options = JwtOptions {
        typ: Some("at+jwt".to_owned()),
        ..plain()
    };
    assert!(matches!(
        sign(false, &json!({}), &options),
        Err(KeyError::NotAllowed(_))
    ));
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

#[test]
fn a_call_has_a_number_of_signatures() {
    let mut ctx = KeysCtx::new(CallKind::Sync, None, grant(), clock()).with_signature_limit(3);
    let mut table = ResourceTable::new();
    let mut keys = KeysCtxView {
        ctx: &mut ctx,
        table: &mut table,
    };
    let key = keys.ephemeral_key(wit::Algorithm::Es256).unwrap().unwrap();
    let mut sign = |claims: &str| keys.sign_jwt(Resource::new_borrow(key.rep()), claims.to_owned(), plain());
    sign("{}").unwrap().unwrap();
    sign("what is refused costs as much").unwrap().unwrap_err();
    let error = sign("{}").unwrap_err();
    let failure = crate::error::failure_in(&error, "sync");
    assert_eq!(failure.kind, idsync_model::ErrorKind::Plugin);
    assert!(failure.summary.contains("signatures"), "{}", failure.summary);
}

#[test]
fn a_plugin_holds_keys_by_handles() {
    let pair = Arc::new(KeyPair::ephemeral().unwrap());
    let mut ctx = KeysCtx::new(CallKind::Sync, Some(pair.clone()), grant(), clock());
    let mut table = ResourceTable::new();
    let mut keys = KeysCtxView {
        ctx: &mut ctx,
        table: &mut table,
    };
    let own = keys.directory_key().unwrap().unwrap();
    let jwk = keys.public_jwk(Resource::new_borrow(own.rep())).unwrap();
    assert_eq!(jwk, pair.public_jwk());
    let passing = keys.ephemeral_key(wit::Algorithm::Es256).unwrap().unwrap();
    let bare = keys.public_jwk(Resource::new_borrow(passing.rep())).unwrap();
    assert!(!bare.contains("kid") && !bare.contains("alg"), "{bare}");
    assert!(matches!(
        keys.ephemeral_key(wit::Algorithm::Rs256).unwrap(),
        Err(KeyError::NotAllowed(_))
    ));
    wit::HostSigningKey::drop(&mut keys, passing).unwrap();
}

#[test]
fn a_directory_without_a_key_and_calls_without_keys_say_so() {
    let mut table = ResourceTable::new();
    let mut none = KeysCtx::new(CallKind::Verify, None, grant(), clock());
    let mut keys = KeysCtxView {
        ctx: &mut none,
        table: &mut table,
    };
    assert!(matches!(
        keys.directory_key().unwrap(),
        Err(KeyError::Unavailable(_))
    ));
    for call in [CallKind::Describe, CallKind::Normalize] {
        let mut ctx = KeysCtx::new(call, None, grant(), clock());
        let mut keys = KeysCtxView {
            ctx: &mut ctx,
            table: &mut table,
        };
        let error = keys.ephemeral_key(wit::Algorithm::Es256).unwrap_err();
        assert!(error.is::<CapabilityError>());
    }
}
