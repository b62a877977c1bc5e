//! The description of the interface says what there is, all of it, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use common::stored::Stored;
use common::{Answer, Server};
use gateway::{Access, GatewayOptions, ReloadOutcome, ReloadRequest, Rights, Token};
use pipeline::BufferOptions;
use serde_json::Value as Json;
use tokio::sync::mpsc;

const METHODS: [&str; 3] = ["get", "post", "delete"];

async fn description() -> Json {
    let server = Server::start().await;
    let description = server.get("/api/openapi.json").await.json();
    server.stop().await;
    description
}

/// Each operation as its method and path.
fn operations(description: &Json) -> BTreeSet<(String, String)> {
    let paths = description["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (method.clone(), path.clone()))
    });
    operations.collect()
}

/// What the source of the router says: there is no asking a router for its routes.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../src/server.rs");
    let routes = source.split(".route(").skip(1).map(|rest| {
        let mut parts = rest.split('"');
        let path = parts.nth(1).unwrap();
        let method = parts.next().unwrap();
        let method = method.trim_start_matches([',', ' ', '\n']);
        let method = METHODS.into_iter().find(|known| {
            let rest = method.strip_prefix(known);
            rest.is_some_and(|rest| rest.starts_with('('))
        });
        (method.unwrap().to_owned(), path.to_owned())
    });
    routes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_everything_described_is_a_route() {
    let described = operations(&description().await);
    assert_eq!(described, routes());
    let server = Server::start().await;
    for (method, path) in described {
        let path = path.replace(['{', '}'], "");
        let method = method.to_uppercase();
        let answer = server.send(&method, &path, "", &[]).await;
        let nothing = format!("there is nothing at {path:?}");
        assert!(
            answer.status != 405 && !answer.text.contains(&nothing),
            "{answer:?}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_paths_with_their_parameters_and_answers() {
    let description = description().await;
    let names = |list: &Json, name: &str| -> Vec<Json> {
        let list = list.as_array().into_iter().flatten();
        list.map(|entry| entry[name].clone()).collect()
    };
    let shown: Vec<String> = operations(&description)
        .iter()
        .map(|(method, path)| {
            let operation = &description["paths"][path][method];
            let parameters = names(&operation["parameters"], "name");
            let statuses: Vec<&String> =
                operation["responses"].as_object().unwrap().keys().collect();
            let parameters: Vec<&str> = parameters
                .iter()
                .map(|name| name.as_str().unwrap())
                .collect();
            let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
            format!(
                "{method} {path}({}) -> {}",
                parameters.join(", "),
                statuses.join(", ")
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    let schemas = description["components"]["schemas"].as_object().unwrap();
    let named: Vec<&str> = schemas.keys().map(String::as_str).collect();
    insta::assert_snapshot!(named.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_of_the_description_leads_somewhere() {
    let description = description().await;
    let text = description.to_string();
    let references = text.split("\"$ref\":\"#").skip(1);
    let references: BTreeSet<&str> = references
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(references.len() > 4, "{references:?}");
    for reference in references {
        assert!(description.pointer(reference).is_some(), "{reference}");
    }
}

/// Asks, and notes which documented answer came.
struct Asked(BTreeSet<(String, String, String)>);

impl Asked {
    async fn ask(
        &mut self,
        server: &Server,
        (method, path): (&str, &str),
        at: &str,
        (body, headers): (&str, &[(&str, &str)]),
        status: u16,
    ) -> Answer {
        let bearer = format!("Bearer {}", server.admin.as_str());
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            headers.push(("authorization", &bearer));
        }
        let answer = server
            .send(&method.to_uppercase(), at, body, &headers)
            .await;
        assert_eq!(answer.status, status, "{method} {at}: {answer:?}");
        let noted = (method.to_owned(), path.to_owned(), status.to_string());
        self.0.insert(noted);
        answer
    }
}

const LINE: &str = r#"{"source":"s","tag":"t","value":1}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const HISTORY: &str = "/api/history/{source}/{tag}";
const EXPORT: &str = "/api/export/{source}/{tag}";

/// What a gateway answers while all is well.
async fn ask_plainly(asked: &mut Asked) {
    let server = Server::start().await;
    server.put("D1", 1.0, 1);
    for path in [
        "/",
        "/metrics",
        "/api/audit",
        "/api/connections",
        "/api/buffer/status",
        "/api/docs",
        "/api/health",
        "/api/keys",
        "/api/live",
        "/api/metrics",
        "/api/openapi.json",
        "/api/ready",
    ] {
        asked
            .ask(&server, ("get", path), path, ("", &[]), 200)
            .await;
    }
    for (path, at, status) in [
        ("/assets/{name}", "/assets/app.js", 200),
        ("/assets/{name}", "/assets/none", 404),
        ("/ws", "/ws", 400),
        ("/ws/admin", "/ws/admin", 400),
        ("/api/keys", "/api/keys?match=%5B", 400),
        (HISTORY, "/api/history/PLC01/D1", 200),
        (HISTORY, "/api/history/PLC01/D1?count=0", 400),
        (HISTORY, "/api/history/PLC01/none", 404),
        (EXPORT, "/api/export/PLC01/D1", 200),
        (EXPORT, "/api/export/PLC01/D1?limit=0", 400),
        (EXPORT, "/api/export/PLC01/none", 404),
        ("/api/export", "/api/export?match=*", 200),
        ("/api/export", "/api/export", 400),
    ] {
        asked
            .ask(&server, ("get", path), at, ("", &[]), status)
            .await;
    }
    let old = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "12"),
    ];
    for path in ["/ws", "/ws/admin"] {
        asked
            .ask(&server, ("get", path), path, ("", &old), 426)
            .await;
    }
    let told = r#"{"level": "info", "message": "a word"}"#;
    let lane = r#"{"lane": "low"}"#;
    let keyed: &[(&str, &str)] = &[("idempotency-key", "1")];
    let new_keys: String = (0..60)
        .map(|number| format!("{{\"source\":\"n\",\"tag\":\"t{number}\",\"value\":1}}\n"))
        .collect();
    let large = "1\n".repeat(20_000);
    for (path, body, headers, status) in [
        ("/api/ingest", LINE, keyed, 200),
        ("/api/ingest", "rubbish", &[], 400),
        ("/api/ingest", large.as_str(), &[], 413),
        ("/api/ingest", new_keys.as_str(), &[], 422),
        ("/api/flush", "", &[], 200),
        ("/api/purge", lane, &[JSON], 200),
        ("/api/purge", "{}", &[JSON], 400),
        ("/api/purge", lane, &[], 415),
        ("/api/breaker/reset", "", &[], 200),
        ("/api/reload", "", &[], 501),
        ("/api/notify", told, &[JSON], 200),
        ("/api/notify", "{}", &[JSON], 400),
        ("/api/notify", told, &[], 415),
    ] {
        asked
            .ask(&server, ("post", path), path, (body, headers), status)
            .await;
    }
    let path = "/api/connections/{id}";
    for (id, status) in [("none", 400), ("77", 404)] {
        let at = format!("/api/connections/{id}");
        asked
            .ask(&server, ("delete", path), &at, ("", &[]), status)
            .await;
    }
    server.stop().await;
}

/// What it answers when it cannot do what is asked for.
async fn ask_in_vain(asked: &mut Asked) {
    let server = Server::start().await;
    server.pipeline.shutdown(None).await;
    for path in ["/api/health", "/api/ready"] {
        asked
            .ask(&server, ("get", path), path, ("", &[]), 503)
            .await;
    }
    for path in ["/api/ingest", "/api/flush"] {
        asked
            .ask(&server, ("post", path), path, (LINE, &[]), 503)
            .await;
    }
    server.stop().await;

    let buffer = BufferOptions {
        max_size: 10,
        ..BufferOptions::default()
    };
    let server = Server::with(buffer, GatewayOptions::default()).await;
    server.sink.go_down();
    let ten = format!("{LINE}\n").repeat(10);
    let ingest = ("post", "/api/ingest");
    asked
        .ask(&server, ingest, "/api/ingest", (&ten, &[]), 200)
        .await;
    asked
        .ask(&server, ingest, "/api/ingest", (LINE, &[]), 429)
        .await;
    server.sink.recover();
    server.stop().await;

    let stored = Stored::start().await;
    stored.put("D1", 1..=1000);
    stored.flush().await;
    stored.lose_the_file();
    for (path, at) in [
        (HISTORY, "/api/history/PLC01/D1?from=0&until=5"),
        (EXPORT, "/api/export/PLC01/D1"),
        ("/api/export", "/api/export?match=*"),
    ] {
        asked
            .ask(&stored.server, ("get", path), at, ("", &[]), 503)
            .await;
    }
    stored.server.stop().await;
}

/// What it answers to whom may not, and to whom asks for a reload.
async fn ask_as_others(asked: &mut Asked) {
    let reader = Token::generate().unwrap();
    let rights = Rights::none().read(["public/*"]).unwrap();
    let access = Access::open().token("reader", reader.hash(), rights);
    let (reload, mut requests) = mpsc::channel::<ReloadRequest>(1);
    let options = GatewayOptions {
        access: access.unwrap(),
        reload: Some(reload),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    server.put("D1", 1.0, 1);
    let bearer = format!("Bearer {}", reader.as_str());
    let headers: &[(&str, &str)] = &[("authorization", &bearer)];
    for (path, at) in [
        (HISTORY, "/api/history/PLC01/D1"),
        (EXPORT, "/api/export/PLC01/D1"),
    ] {
        let answer = asked
            .ask(&server, ("get", path), at, ("", headers), 403)
            .await;
        assert!(!answer.text.contains("\"value\""), "{answer:?}");
    }
    let keys = server.send("GET", "/api/keys", "", headers).await.json();
    assert_eq!(keys["count"], 0, "keys that may not be read are not named");
    let all = server.send("GET", "/api/export?match=*", "", headers).await;
    assert_eq!(all.text, "timestamp,source,tag,value,quality\r\n");
    let program = tokio::spawn(async move {
        let changes = Vec::new();
        let applied = ReloadOutcome::Applied { changes };
        requests.recv().await.unwrap().answer(applied);
        let mistakes = vec!["one".to_owned()];
        let refused = ReloadOutcome::Refused { mistakes };
        requests.recv().await.unwrap().answer(refused);
    });
    for status in [200, 422, 503] {
        let reload = ("post", "/api/reload");
        asked
            .ask(&server, reload, "/api/reload", ("", &[]), status)
            .await;
    }
    program.await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_that_is_described_is_one_that_comes() {
    let mut asked = Asked(BTreeSet::new());
    ask_plainly(&mut asked).await;
    ask_in_vain(&mut asked).await;
    ask_as_others(&mut asked).await;
    let description = description().await;
    let mut described = BTreeSet::new();
    for (method, path) in operations(&description) {
        let responses = description["paths"][&path][&method]["responses"].as_object();
        for status in responses
            .unwrap()
            .keys()
            .filter(|status| *status != "default")
        {
            described.insert((method.clone(), path.clone(), status.clone()));
        }
    }
    // Tests of the sockets, of administration and of posts under way produce these.
    for (method, path, status) in [
        ("get", "/ws", "101"),
        ("get", "/ws/admin", "101"),
        ("delete", "/api/connections/{id}", "200"),
        ("post", "/api/ingest", "409"),
    ] {
        asked
            .0
            .insert((method.to_owned(), path.to_owned(), status.to_owned()));
    }
    assert_eq!(described, asked.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_interface_loads_its_own_files_alone_and_has_no_inline_script() {
    let server = Server::start().await;
    let page = server.get("/api/docs").await;
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    for script in page.text.split("<script").skip(1) {
        let (attributes, rest) = script.split_once('>').unwrap();
        assert!(attributes.contains("src=\"/assets/"), "{attributes}");
        assert!(rest.starts_with("</script>"), "a script is inline: {rest}");
    }
    assert!(
        !page.text.contains("<style") && !page.text.contains("http"),
        "{}",
        page.text
    );
    let names = page.text.split("\"/assets/").skip(1);
    for name in names.map(|rest| rest.split('"').next().unwrap()) {
        let file = server.get(&format!("/assets/{name}")).await;
        assert_eq!(file.status, 200, "{name}");
        assert!(!file.text.contains("innerHTML"), "{name}");
    }
    server.stop().await;
}
