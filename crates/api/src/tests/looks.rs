//! Kept looks: listed, and recomputed to the same bytes until what they read is gone.

use super::*;

const LOOKS: &str = "/v1/experiments/spring/looks";

impl Server {
    /// Assigns contacts from `from` on, of whom every fifth orders.
    async fn tell(&self, from: u32, to: u32) {
        let mut lines = Vec::new();
        for number in from..to {
            let variant = if number % 2 == 0 { "plain" } else { "warm" };
            let common = json!({"contact": format!("c{number}"), "experiment_id": "spring", "variant": variant});
            let mut line = |id: String, changes: Value| {
                let mut line = common.clone();
                line.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
                line["event_id"] = json!(id);
                lines.push(line.to_string());
            };
            line(format!("a{number}"), json!({"kind": "assignment", "event_time": "2026-02-20T09:00:00Z"}));
            if number % 5 == 0 {
                let order = json!({"kind": "order", "event_time": "2026-02-20T12:00:00Z", "order_id": format!("o{number}"), "amount": 20, "currency": "EUR"});
                line(format!("o{number}"), order);
            }
        }
        self.collect(lines.join("\n")).await.expect(StatusCode::OK);
    }

    async fn keep_look(&self) -> Value {
        self.manage(Method::POST, LOOKS, &Value::Null).await.expect(StatusCode::CREATED).json()
    }

    /// What recomputing each look came to.
    async fn verified(&self) -> Vec<String> {
        let answer = self.call(Scope::Read, Method::POST, &format!("{LOOKS}/verify"), &[], Body::empty()).await;
        let checks = answer.expect(StatusCode::OK).json();
        checks.as_array().unwrap().iter().map(|check| check["state"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn kept_looks_come_out_the_same_until_somebody_is_erased() {
    let server = Server::start().await;
    server.put_experiment().await;
    assert_eq!(server.get(LOOKS).await.expect(StatusCode::OK).json(), json!([]));
    server.tell(0, 50).await;
    let first = server.keep_look().await;
    server.tell(50, 90).await;
    server.manage(Method::POST, "/v1/experiments/spring/decide", &Value::Null).await.expect(StatusCode::OK);
    // Another question is another experiment as written; the looks were at this one.
    let mut written = experiment();
    written["question"] = json!("Does warmth sell?");
    server.manage(Method::PUT, "/v1/experiments", &written).await.expect(StatusCode::OK);
    server.tell(90, 95).await;
    let list = server.get(LOOKS).await.expect(StatusCode::OK).json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]), (2, &first));
    assert_ne!(list[0]["digest"], list[1]["digest"]);
    assert!(first["digest"].as_str().unwrap().len() == 64 && first["versions"]["orders"].is_i64(), "{first}");
    assert_eq!(server.verified().await, ["same", "same"]);

    let key = server.control.resolve(&["c5".to_owned()]).await.unwrap()[0];
    server.lake.erase(&[key], now()).await.unwrap();
    assert_eq!(server.verified().await, ["gone", "gone"]);
    server.get("/v1/experiments/none/looks").await.expect(StatusCode::NOT_FOUND);
}
