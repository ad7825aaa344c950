//! SQL, tables, the document and the console over HTTP.

use super::*;

impl Server {
    async fn sql(&self, query: &str, sql: &str) -> Answer {
        let body = json!({ "sql": sql }).to_string();
        self.call(Scope::Read, Method::POST, &format!("/v1/sql{query}"), &[("content-type", "application/json")], body).await
    }
}

#[tokio::test]
async fn answers_come_in_four_formats() {
    let server = Server::start().await;
    let check = |query: &'static str, media_type: &'static str, part: &'static [u8]| {
        let server = &server;
        async move {
            let answer = server.sql(query, "SELECT 1 AS one, 'x' AS two").await.expect(StatusCode::OK);
            assert!(
                answer.header(header::CONTENT_TYPE).starts_with(media_type),
                "{query}: {}",
                answer.header(header::CONTENT_TYPE)
            );
            assert!(answer.body.windows(part.len()).any(|window| window == part), "{query}: {}", answer.text());
        }
    };
    check("", "application/json", br#""two":"x""#).await;
    check("?format=csv", "text/csv", b"one,two\n1,x").await;
    check("?format=table", "text/plain", b"| two |").await;
    check("?format=arrow", "application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff").await;
}

#[tokio::test]
async fn only_queries_are_answered() {
    let server = Server::start().await;
    let check = |sql: &'static str, kind: &'static str| {
        let server = &server;
        async move {
            let answer = server.sql("", sql).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
            assert_eq!(answer["error"]["kind"], kind, "{sql}: {answer}");
        }
    };
    check("DROP TABLE orders", "not_a_query").await;
    check("EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/sendlab-must-not-exist.csv'", "not_a_query").await;
    check("SELECT ordr_id FROM orders", "bad_query").await;
    check("SELEC 1", "bad_query").await;
    assert!(!std::path::Path::new("/tmp/sendlab-must-not-exist.csv").exists());
    server.sql("?format=xml", "SELECT 1").await.expect(StatusCode::UNPROCESSABLE_ENTITY);
}

/// What was read can be asked for again, and the past is refused in words.
#[tokio::test]
async fn an_answer_tells_its_versions_and_the_past_can_be_asked() {
    let server = Server::start().await;
    let ask = |body: Value| {
        let server = &server;
        async move {
            let headers = [("content-type", "application/json")];
            server.call(Scope::Read, Method::POST, "/v1/sql", &headers, body.to_string()).await
        }
    };
    let sql = "SELECT count(*) AS n FROM human_opens JOIN orders USING (contact_key)";
    let answer = ask(json!({ "sql": sql })).await.expect(StatusCode::OK);
    assert_eq!(answer.headers["sendlab-versions"], "opens=0,orders=0");
    let timing = answer.headers["server-timing"].to_str().unwrap();
    let ms = timing.strip_prefix("wait;dur=").and_then(|rest| rest.split_once(", query;dur=")).unwrap();
    assert!(ms.0.parse::<f64>().unwrap() >= 0.0 && ms.1.parse::<f64>().unwrap() > 0.0, "{timing}");

    let again = ask(json!({ "sql": sql, "versions": { "opens": 0, "orders": 0 } })).await.expect(StatusCode::OK);
    assert_eq!(again.json(), json!([{ "n": 0 }]));
    ask(json!({ "sql": sql, "as_of": "2100-01-01T00:00:00+08:00" })).await.expect(StatusCode::OK);
    let refused = async |body: Value, kind: &str, part: &str| {
        let answer = ask(body.clone()).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
        assert_eq!(answer["error"]["kind"], kind, "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{body}: {answer}");
    };
    refused(json!({ "sql": sql, "as_of": "1969-01-01T00:00:00Z" }), "no_version", "no version as old as 1969-01-01").await;
    refused(json!({ "sql": sql, "versions": { "orders": 12 } }), "no_version", "the table orders has no version 12").await;
    refused(json!({ "sql": sql, "versions": { "clicks ": 1 } }), "no_version", "there is no table `clicks `").await;
    refused(json!({ "sql": sql, "as_of": "2100-01-01T00:00:00Z", "versions": {} }), "two_pasts", "both").await;
    refused(json!({ "sql": sql, "as_of": "yesterday" }), "bad_body", "cannot be read").await;
}

#[tokio::test]
async fn the_lake_describes_itself() {
    let server = Server::start().await;
    let tables = server.get("/v1/tables").await.expect(StatusCode::OK).json();
    let of_kind = |kind: &str| {
        let of_kind = tables.as_array().unwrap().iter().filter(|table| table["kind"] == kind);
        of_kind.map(|table| table["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    let expect =
        ["activities", "assignments", "clicks", "contacts", "deliveries", "feedback", "messages", "opens", "orders", "rates"];
    assert_eq!(of_kind("table"), expect);
    let expect = [
        "columns",
        "contact_facts",
        "funnel",
        "graded_clicks",
        "graded_opens",
        "human_clicks",
        "human_opens",
        "link_clicks",
        "message_outcomes",
        "slow_queries",
    ];
    assert_eq!(of_kind("view"), expect);
    assert_eq!((&tables[0]["version"], &tables[0]["rows"], &tables[10]["version"]), (&json!(0), &json!(0), &Value::Null));
    assert!(tables[0]["columns"].as_array().unwrap().iter().all(|column| !column["comment"].as_str().unwrap().is_empty()));
    assert_eq!(server.get("/v1/lake").await.expect(StatusCode::OK).json(), json!({"unlanded": 0, "base_currency": "EUR"}));
}

#[tokio::test]
async fn the_document_is_served_as_committed() {
    let server = Server::start().await;
    let answer = server.get("/openapi.json").await.expect(StatusCode::OK);
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(answer.text(), openapi_json());
}

/// Holds whether or not the console was built.
#[tokio::test]
async fn the_console_answers_without_a_key() {
    let server = Server::start().await;
    for path in ["/", "/experiments/spring"] {
        let answer = server.send(Request::get(path).body(Body::empty()).unwrap()).await.expect(StatusCode::OK);
        assert!(answer.header(header::CONTENT_TYPE).starts_with("text/html"));
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).contains("script-src 'self'"));
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-cache");
    }
    server.send(Request::get("/assets/none.js").body(Body::empty()).unwrap()).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn health_is_open() {
    let server = Server::start().await;
    let answer = server.send(Request::get("/healthz").body(Body::empty()).unwrap()).await.expect(StatusCode::OK);
    assert_eq!(answer.json(), json!({"status": "ok"}));
}

#[tokio::test]
async fn statistics_are_computed_by_name() {
    let server = Server::start().await;
    let listed = server.get("/v1/stats").await.expect(StatusCode::OK).json();
    let fieller = listed.as_array().unwrap().iter().find(|method| method["name"] == "fieller").unwrap().clone();
    let ask = |body: String, media_type: &'static str| {
        let server = &server;
        async move { server.call(Scope::Read, Method::POST, "/v1/stats", &[("content-type", media_type)], body).await }
    };
    let question = json!({"id": 7, "method": "fieller", "input": fieller["example"]}).to_string();
    let answer = ask(question.clone(), "application/json").await.expect(StatusCode::OK).json();
    assert_eq!(answer["id"], 7);
    assert!((answer["actual"]["relative_effect"].as_f64().unwrap() - 0.2).abs() < 1e-12, "{answer}");

    let wrong =
        ask(question.replace("fieller", "fueller"), "application/json").await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
    assert!(wrong["error"]["message"].as_str().unwrap().contains("`fieller`"), "{wrong}");

    let many = ask(format!("{question}\nnonsense\n{question}\n"), "application/x-ndjson").await.expect(StatusCode::OK).text();
    let many: Vec<Value> = many.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((many[0]["actual"].clone(), many[2]["id"].clone()), (answer["actual"].clone(), json!(7)));
    assert!(many[1]["error"]["message"].as_str().unwrap().contains("expected"), "{}", many[1]);
}
