//! Pools of coupon codes: what is refused, and that nobody is told a code.

use super::*;

async fn upload(server: &Server, path: &str, kind: &str, codes: &str) -> Answer {
    let path = format!("/v1/coupon-pools/{path}");
    server.call(Scope::Manage, Method::POST, &path, &[("content-type", kind)], codes.to_owned()).await
}

#[tokio::test]
async fn codes_are_checked_line_by_line_and_taken_once() {
    let server = Server::start().await;
    let check = async |path: &str, kind: &str, codes: &str, message: &str| {
        let answer = upload(&server, path, kind, codes).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
        let told = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(told.contains(message) && !answer.text().contains("NEEDLE"), "{told}");
    };
    check("ten/codes", "text/plain", "", "there are 0 codes").await;
    check("ten/codes", "text/plain", "NEEDLE-1\nNEEDLE 2", "line 2: holds a blank").await;
    check("ten/codes", "text/plain", "NEEDLE-1,ten", "line 1: holds a comma").await;
    check("ten/codes", "text/csv", "a,b\nNEEDLE-1,x", "line 1: has 2 columns").await;
    check("ten/codes?column=c", "text/csv", "a,b\nNEEDLE-1,x", "line 1: names no column `c`").await;
    server.get("/v1/coupon-pools/ten").await.expect(StatusCode::NOT_FOUND);
    let many = "x\n".repeat(vocabulary::coupon::CODES_MAX + 1);
    check("ten/codes", "text/plain", &many, "there are 50001 codes").await;

    let first =
        upload(&server, "ten/codes?column=a", "text/csv", "a,b\nNEEDLE-1,x\nNEEDLE-2,y\n").await.expect(StatusCode::OK).json();
    assert_eq!((&first["new"], &first["known"], &first["pool"]["left"]), (&json!(2), &json!(0), &json!(2)));
    let again = upload(&server, "ten/codes", "text/plain", "NEEDLE-2\r\n\r\nNEEDLE-3").await.expect(StatusCode::OK).json();
    assert_eq!((&again["new"], &again["known"], &again["pool"]["total"]), (&json!(1), &json!(1), &json!(3)));
    check("twenty/codes", "text/plain", "NEW\n\nNEEDLE-3", "line 3: this code is in the pool `ten` already").await;
    let listed = server.get("/v1/coupon-pools").await.expect(StatusCode::OK);
    assert_eq!(listed.json().as_array().unwrap().len(), 1);
    assert!(!listed.text().contains("NEEDLE"));
    server.manage(Method::POST, "/v1/coupon-pools/none/free", &Value::Null).await.expect(StatusCode::NOT_FOUND);
    let freed = server.manage(Method::POST, "/v1/coupon-pools/ten/free", &Value::Null).await.expect(StatusCode::OK).json();
    assert_eq!((&freed["left"], &freed["set_aside"]), (&json!(3), &json!(0)));
}

#[tokio::test]
async fn a_campaign_names_a_pool_for_each_copy_that_asks_for_a_coupon() {
    let server = Server::start().await;
    server.put_experiment().await;
    upload(&server, "ten/codes", "text/plain", "NEEDLE-1").await.expect(StatusCode::OK);
    let mut asking = campaign();
    asking["content"]["warm"]["text"] = json!("{{ coupon }}");
    let with = |field: &str, value: Value| {
        let mut campaign = asking.clone();
        campaign[field] = value;
        campaign
    };
    let check = async |campaign: Value, kind: &str, message: &str| {
        let answer = server.manage(Method::PUT, "/v1/campaigns", &campaign).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
        assert_eq!(answer["error"]["kind"], kind, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(message), "{answer}");
    };
    check(asking.clone(), "missing_coupon_pool", "copy `warm` asks for `coupon`").await;
    check(with("coupon_pool", json!("tne")), "unknown_coupon_pool", "coupon_pool: there is no coupon pool `tne`").await;
    check(with("coupon_pools", json!({"warm": "tne"})), "unknown_coupon_pool", "coupon_pools: there is no").await;
    check(with("coupon_pools", json!({"wram": "ten"})), "unknown_copy", "content has no copy `wram`").await;
    server.manage(Method::PUT, "/v1/campaigns", &with("coupon_pools", json!({"warm": "ten"}))).await.expect(StatusCode::CREATED);
    server.manage(Method::PUT, "/v1/campaigns", &with("coupon_pool", json!("ten"))).await.expect(StatusCode::OK);
    let asked = json!({"variant": "warm"});
    let preview = server.call(Scope::Read, Method::POST, "/v1/campaigns/spring-1/preview", &[], asked.to_string()).await;
    assert_eq!(preview.expect(StatusCode::OK).json()["text"], "SAMPLEXX");

    let template = json!({"template": "t", "class": "transactional", "from": "a@shop.example",
        "content": {"subject": "s", "html": "{{ coupon }}", "text": "t"}});
    let refused = server.manage(Method::PUT, "/v1/templates", &template).await.expect(StatusCode::UNPROCESSABLE_ENTITY).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("as `data.code`"), "{refused}");
}
