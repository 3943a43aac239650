//! draft-ietf-httpapi-idempotency-key-header-07, sections 2.1 and 2.2: what is a key. A test is named after the number of its
//! statement in `docs/compliance.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use axum::body::Body;
use common::{Answer, Entries, layer, send};
use http::{HeaderValue, Request, Response, StatusCode};
use tower_idempotency::store::MemoryStore;
use tower_idempotency::{IDEMPOTENCY_KEY, Idempotency, IdempotencyLayer, KeySyntax, RequestBody};

const BOTH: [KeySyntax; 2] = [KeySyntax::Strict, KeySyntax::Lenient];

/// Answers with the key as the layer understood it.
#[allow(clippy::needless_pass_by_value, reason = "a handler takes its request")]
fn understood(_: usize, request: Request<RequestBody<Body>>) -> Response<Body> {
    let idempotency = request.extensions().get::<Idempotency>().expect("a key");
    Response::new(Body::from(idempotency.key().as_str().to_owned()))
}

async fn send_lines(layer: &IdempotencyLayer<MemoryStore>, entries: &Entries, lines: &[&[u8]]) -> Answer {
    let mut request = Request::post("/pay").body(Body::from("{}")).unwrap();
    for line in lines {
        request.headers_mut().append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(line).unwrap());
    }
    send(layer, entries, understood, request).await
}

/// What a fresh layer makes of these field lines: the key that its handler sees, or nothing, because it was refused.
async fn key(syntax: KeySyntax, lines: &[&[u8]]) -> Option<String> {
    let entries = Entries::default();
    let answer = send_lines(&layer().key_syntax(syntax).required(), &entries, lines).await;
    if answer.status == StatusCode::OK {
        assert_eq!(entries.count(), 1);
        return Some(String::from_utf8(answer.body.into()).unwrap());
    }
    assert_eq!((answer.status, answer.problem()), (StatusCode::BAD_REQUEST, "key-malformed".to_owned()));
    assert_eq!(entries.count(), 0);
    None
}

#[tokio::test]
async fn draft_i01_a_structured_string_is_a_key() {
    for syntax in BOTH {
        for (field, meant) in [
            (&b"\"abc\""[..], "abc"),
            (b"\"a\"", "a"),
            (b"\"with space\"", "with space"),
            (b"\"comma,semicolon;=()?@*:%\"", "comma,semicolon;=()?@*:%"),
            (b"\"~}|{ !#\"", "~}|{ !#"),
            (b"  \"abc\"  ", "abc"),
        ] {
            assert_eq!(key(syntax, &[field]).await.as_deref(), Some(meant), "{field:?}");
        }
    }
}

#[tokio::test]
async fn draft_i02_strict_refuses_everything_else() {
    let others: [&[u8]; 24] = [
        b"abc",
        b"ABC*/:",
        b"123",
        b"-1",
        b"1.5",
        b":YWJj:",
        b"?1",
        b"@1659578233",
        b"%\"abc\"",
        b"(\"a\")",
        b"(\"a\" \"b\");v=1",
        b"\"a\", \"b\"",
        b"\"a\",",
        b"\"a\" \"b\"",
        b"\"a\"b",
        b"a=\"b\"",
        b"\"abc",
        b"abc\"",
        b"\"",
        b"'abc'",
        b"\"a\tb\"",
        b"\"schl\xc3\xbcssel\"",
        b"\"\xff\"",
        b"8e03978e-40d5-43e8-bc93-6894a57f9324",
    ];
    for other in others {
        assert_eq!(key(KeySyntax::Strict, &[other]).await, None, "{:?}", String::from_utf8_lossy(other));
    }
}

/// A field that looks like a string must be one; what does not is taken as it stands, if it is one visible word.
#[tokio::test]
async fn draft_i02_lenient_takes_a_visible_word_and_nothing_more() {
    for word in ["abc", "123", ":YWJj:", "?1", "(a)", "'abc'", "8e03978e-40d5-43e8-bc93-6894a57f9324", "a=\"b\"", "a\""]
    {
        assert_eq!(key(KeySyntax::Lenient, &[word.as_bytes()]).await.as_deref(), Some(word));
    }
    for refused in
        [&b"\"a\", \"b\""[..], b"\"a\" \"b\"", b"\"abc", b"\"", b"a b", b"a,b", b"\xc3\xbc", b"a\tb", b"\"a\"b"]
    {
        assert_eq!(key(KeySyntax::Lenient, &[refused]).await, None, "{:?}", String::from_utf8_lossy(refused));
    }
}

#[tokio::test]
async fn draft_i03_two_escapes_are_decoded_and_no_other() {
    for syntax in BOTH {
        for (field, meant) in [
            (&br#""a\"b""#[..], r#"a"b"#),
            (br#""a\\b""#, r"a\b"),
            (br#""\"""#, r#"""#),
            (br#""\\""#, r"\"),
            (br#""\\\"""#, r#"\""#),
        ] {
            assert_eq!(key(syntax, &[field]).await.as_deref(), Some(meant), "{:?}", String::from_utf8_lossy(field));
        }
        for refused in [&br#""a\nb""#[..], br#""\a""#, br#""\x41""#, br#""\u0041""#, br#""a\""#, br#""\"#] {
            assert_eq!(key(syntax, &[refused]).await, None, "{:?}", String::from_utf8_lossy(refused));
        }
    }
}

#[tokio::test]
async fn draft_i04_parameters_are_parsed_and_change_nothing() {
    for syntax in BOTH {
        let (layer, entries) = (layer().key_syntax(syntax), Entries::default());
        send_lines(&layer, &entries, &[b"\"abc\""]).await;
        for field in
            [&b"\"abc\";v=1"[..], b"\"abc\";a", b"\"abc\"; a;b=?0;c=\"x\";d=:YQ==:;e=1.5;f=tok", b"\"abc\";v=1;v=2"]
        {
            let answer = send_lines(&layer, &entries, &[field]).await;
            assert_eq!((&answer.body[..], answer.is_replay()), (&b"abc"[..], true), "{field:?}");
        }
        assert_eq!(entries.count(), 1);
        for refused in
            [&b"\"abc\";"[..], b"\"abc\";V=1", b"\"abc\";v=", b"\"abc\" ;v=1", b"\"abc\";v=(1)", b"\"abc\";v=\"x"]
        {
            assert_eq!(key(syntax, &[refused]).await, None, "{:?}", String::from_utf8_lossy(refused));
        }
    }
}

#[tokio::test]
async fn draft_i05_two_field_lines_are_no_item() {
    for syntax in BOTH {
        for lines in [[&b"\"a\""[..], b"\"b\""], [b"\"a\"", b"\"a\""], [b"\"a\"", b""], [b"", b"\"a\""]] {
            assert_eq!(key(syntax, &lines).await, None, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn draft_i06_the_uuid_of_the_draft_is_a_key() {
    let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    for syntax in BOTH {
        assert_eq!(key(syntax, &[format!("\"{uuid}\"").as_bytes()]).await.as_deref(), Some(uuid));
    }
}

#[tokio::test]
async fn draft_i07_the_letters_of_the_draft_are_a_key() {
    let letters = "clkyoesmbgybucifusbbtdsbohtyuuwz";
    for syntax in BOTH {
        assert_eq!(key(syntax, &[format!("\"{letters}\"").as_bytes()]).await.as_deref(), Some(letters));
    }
}

/// The syntax allows an empty string; nobody can call it unique.
#[tokio::test]
async fn draft_i08_an_empty_string_is_refused() {
    for syntax in BOTH {
        for field in [&b"\"\""[..], b"\"\";v=1", b""] {
            assert_eq!(key(syntax, &[field]).await, None, "{field:?}");
        }
    }
}

#[tokio::test]
async fn stripe_s02_a_key_of_more_than_255_characters_is_an_error() {
    let longest = "k".repeat(255);
    for syntax in BOTH {
        assert_eq!(key(syntax, &[format!("\"{longest}\"").as_bytes()]).await.as_ref(), Some(&longest));
        assert_eq!(key(syntax, &[format!("\"{longest}k\"").as_bytes()]).await, None);
    }
    assert_eq!(key(KeySyntax::Lenient, &[longest.as_bytes()]).await.as_ref(), Some(&longest));
    assert_eq!(key(KeySyntax::Lenient, &[format!("{longest}k").as_bytes()]).await, None);
}

#[tokio::test]
async fn stripe_s01_any_post_takes_a_key_and_none_needs_one() {
    let (layer, entries) = (layer(), Entries::default());
    for path in ["/v1/charges", "/v1/refunds", "/"] {
        let before = entries.count();
        let post = || Request::post(path).body(Body::from("{}")).unwrap();
        for runs in 1..=2 {
            let answer = send(&layer, &entries, common::counted, post()).await;
            assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false));
            assert_eq!(entries.count(), before + runs, "without a key every request runs");
        }
        let mut keyed = [post(), post()];
        for request in &mut keyed {
            request.headers_mut().insert(IDEMPOTENCY_KEY, HeaderValue::from_str(&format!("key{path}")).unwrap());
        }
        for request in keyed {
            assert_eq!(send(&layer, &entries, common::counted, request).await.status, StatusCode::CREATED);
        }
        assert_eq!(entries.count(), before + 3);
    }
}
