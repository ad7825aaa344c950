//! Who may do what, derived from the OpenAPI document so that no route is forgotten.

use super::*;

/// A route of the document: method, path with its variables filled in, and the scopes that open it.
fn operations() -> Vec<(Method, String, Vec<String>)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().expect("every operation says who may use it");
            let scopes =
                security.iter().flat_map(|way| way["bearer"].as_array().unwrap()).map(|scope| scope.as_str().unwrap().to_owned());
            let filled = path.replace(['{', '}'], "");
            found.push((method.to_uppercase().parse().unwrap(), filled, scopes.collect()));
        }
    }
    found
}

#[tokio::test]
async fn only_health_forms_links_in_mails_and_receipts_are_open() {
    let open: Vec<String> = operations()
        .into_iter()
        .filter(|(.., scopes)| scopes.is_empty())
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let forms = ["GET /f/confirm/token", "POST /f/confirm/token", "GET /f/form", "POST /f/form"];
    let links = ["GET /t/c/token", "GET /t/o/token", "GET /t/p/token", "POST /t/p/token", "GET /t/u/token", "POST /t/u/token"];
    assert_eq!(open, [&forms[..], &["GET /healthz"], &links[..], &["POST /v1/receipts/gateway"]].concat());
}

#[tokio::test]
async fn everything_else_needs_a_key_of_its_scope() {
    let server = Server::start().await;
    // Streams have no end before the server's.
    server.stop.cancel();
    for (method, path, scopes) in operations().into_iter().filter(|(.., scopes)| !scopes.is_empty()) {
        let bare = Request::builder().method(&method).uri(&path);
        let answer = server.send(bare.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert!(answer.header(header::WWW_AUTHENTICATE).starts_with("Bearer"));
        let hint = answer.json()["error"]["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains(&scopes[0]) && hint.contains("sendlab keys create"), "{hint}");
        for scope in Scope::ALL {
            let allowed = scopes.iter().any(|name| name == scope.as_str());
            let answer = server.call(*scope, method.clone(), &path, &[], Body::empty()).await;
            let refused = matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
            assert_eq!(refused, !allowed, "{method} {path} with {scope}: {} {}", answer.status, answer.text());
        }
    }
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked() {
    let server = Server::start().await;
    let made = server
        .manage(Method::POST, "/v1/keys", &json!({"name": "shop", "scopes": ["collect"]}))
        .await
        .expect(StatusCode::CREATED)
        .json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let try_it = || {
        let request =
            Request::builder().method(Method::POST).uri("/v1/events").header(header::AUTHORIZATION, format!("Bearer {secret}"));
        server.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(try_it().await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let listed = server.call(Scope::Manage, Method::GET, "/v1/keys", &[], Body::empty()).await.expect(StatusCode::OK);
    assert!(!listed.text().contains(&secret));
    let id = made["id"].as_str().unwrap();
    assert!(listed.json().as_array().unwrap().iter().any(|key| key["id"] == id && key["revoked_at"].is_null()));
    server.manage(Method::DELETE, &format!("/v1/keys/{id}"), &Value::Null).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(try_it().await.status, StatusCode::UNAUTHORIZED);
    server.manage(Method::DELETE, "/v1/keys/nobody", &Value::Null).await.expect(StatusCode::NOT_FOUND);
    server.manage(Method::POST, "/v1/keys", &json!({"name": "x", "scopes": []})).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    server
        .manage(Method::POST, "/v1/keys", &json!({"name": "x", "scopes": ["all"]}))
        .await
        .expect(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn every_error_has_the_same_shape() {
    let server = Server::start().await;
    let cases = [
        (Method::GET, "/v1/nothing", StatusCode::NOT_FOUND),
        (Method::PATCH, "/v1/tables", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/somewhere", StatusCode::NOT_FOUND),
        (Method::GET, "/v1/experiments/none", StatusCode::NOT_FOUND),
        (Method::GET, "/v1/recommendations/none?wait_seconds=soon", StatusCode::UNPROCESSABLE_ENTITY),
    ];
    for (method, path, status) in cases {
        let answer = server.call(Scope::Read, method, path, &[], Body::empty()).await.expect(status).json();
        for part in ["kind", "message", "hint"] {
            assert!(answer["error"][part].as_str().is_some_and(|text| !text.is_empty()), "{path}: {answer}");
        }
    }
}
