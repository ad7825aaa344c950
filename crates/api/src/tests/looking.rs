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

#[tokio::test]
async fn the_lake_describes_itself() {
    let server = Server::start().await;
    let tables = server.get("/v1/tables").await.expect(StatusCode::OK).json();
    let names: Vec<&str> = tables.as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["assignments", "clicks", "contacts", "deliveries", "feedback", "messages", "opens", "orders"]);
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
