//! Exchange rates that arrive late.

use super::*;

async fn amounts(lake: &Lake) -> String {
    ask(lake, "SELECT order_id, amount_base_minor FROM orders ORDER BY order_id", SqlFormat::Csv).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rates_fill_in_what_came_before() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let yen = |id: &str, hours: i64| {
        let amount = Money { minor: 16_000, currency: currency("JPY") };
        event(id, 1, at(hours * HOUR), Body::Order { order_id: OrderId::new(id).unwrap(), amount, refund_of: None })
    };
    lake.append(vec![yen("a", 1), yen("b", 30), order("euro", 1, at(0), 5)]).await.unwrap();
    lake.land().await.unwrap();
    // This one is in the log only when the rates come.
    lake.append(vec![yen("c", 60)]).await.unwrap();
    assert_eq!(amounts(&lake).await, "order_id,amount_base_minor\na,\nb,\nc,\neuro,5\n");

    let mut late = Rates::new(currency("EUR"));
    late.insert(currency("JPY"), jiff::civil::date(2026, 1, 2), "160").unwrap();
    let refilled = lake.put_rates(&late, at(100 * HOUR)).await.unwrap();
    // The dollar was told when the lake was opened and is stored now; the yen is new.
    assert_eq!((refilled.spans.len(), refilled.files), (2, 2));
    let filled = "order_id,amount_base_minor\na,\nb,10000\nc,10000\neuro,5\n";
    assert_eq!(amounts(&lake).await, filled);
    assert_eq!(lake.put_rates(&late, at(101 * HOUR)).await.unwrap(), crate::Refilled::default());
    let table = "SELECT date, currency, rate, source FROM rates ORDER BY currency, date";
    let expect = "date,currency,rate,source\n2026-01-02,JPY,160.0,own\n2026-01-02,USD,1.25,own\n";
    assert_eq!(ask(&lake, table, SqlFormat::Csv).await.unwrap(), expect);

    // They are known after a restart too.
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(vec![yen("d", 61)]).await.unwrap();
    assert_eq!(amounts(&lake).await, "order_id,amount_base_minor\na,\nb,10000\nc,10000\nd,10000\neuro,5\n");
}

/// A second lander converts at the rates that the lake was told after both were opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_lander_reads_the_table_of_rates() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    let mut lander = crate::LogLander::open(config(root.path())).await.unwrap();
    let mut late = Rates::new(currency("EUR"));
    late.insert(currency("JPY"), jiff::civil::date(2026, 1, 1), "160").unwrap();
    lake.put_rates(&late, at(HOUR)).await.unwrap();
    let amount = Money { minor: 16_000, currency: currency("JPY") };
    let yen = event("a", 1, at(HOUR), Body::Order { order_id: OrderId::new("a").unwrap(), amount, refund_of: None });
    lake.append(vec![yen]).await.unwrap();
    lake.writer.seal().await.unwrap();
    // Only segments that are not the newest are known to be whole.
    lake.append(vec![order("b", 1, at(HOUR), 5)]).await.unwrap();
    assert_eq!(lander.land().await.unwrap().events, 1);
    assert_eq!(amounts(&lake).await, "order_id,amount_base_minor\na,10000\nb,5\n");
}
