//! Recommendations: the chain of one scope, scopes beside each other, who hears of a change.

use super::*;
use crate::testing::{World, at, experiment, experiment_id, recommendation};

/// The current recommendations that a watcher sees.
fn shown(receiver: &watch::Receiver<Option<Arc<Guidance>>>) -> Vec<Recommendation> {
    let guidance = receiver.borrow().clone().expect("there is an experiment");
    guidance.recommendations().map(|made| (**made).clone()).collect()
}

fn in_market(market: &str, made: Recommendation) -> Recommendation {
    Recommendation { scope: RecommendationScope::new(Some(market), None, None).unwrap(), ..made }
}

async fn with_experiment(world: &World) -> Arc<Control> {
    let control = world.open().await;
    control.put_experiment(&experiment("e", &["a", "b"])).await.unwrap();
    control
}

#[tokio::test]
async fn only_a_child_of_the_current_one_becomes_current() {
    let world = World::new();
    let (one, two) = (with_experiment(&world).await, world.open().await);
    let id = experiment_id("e");
    assert_eq!(one.current(&id).await.unwrap(), None);
    one.recommend(&recommendation("r1", "a", None)).await.unwrap();
    two.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
    let error = one.recommend(&recommendation("r3", "a", Some("r1"))).await.unwrap_err();
    let ControlError::Conflict { current } = error else { panic!("{error}") };
    assert_eq!(current.map(|current| *current), Some(recommendation("r2", "b", Some("r1"))));
    assert!(matches!(two.recommend(&recommendation("r4", "a", None)).await, Err(ControlError::Conflict { .. })));
    let history = one.recommendations(&id).await.unwrap();
    assert_eq!(history, [recommendation("r2", "b", Some("r1")), recommendation("r1", "a", None)]);
}

#[tokio::test]
async fn saying_it_again_is_harmless_and_never_moves_back() {
    let world = World::new();
    let control = with_experiment(&world).await;
    control.recommend(&recommendation("r1", "a", None)).await.unwrap();
    control.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
    control.recommend(&recommendation("r1", "a", None)).await.unwrap();
    assert_eq!(control.current(&experiment_id("e")).await.unwrap(), Some(recommendation("r2", "b", Some("r1"))));
    let error = control.recommend(&recommendation("r1", "b", None)).await.unwrap_err();
    assert!(matches!(error, ControlError::Frozen { .. }), "{error}");
}

#[tokio::test]
async fn it_names_a_known_experiment_and_variant() {
    let world = World::new();
    let control = with_experiment(&world).await;
    let error = control.recommend(&recommendation("r1", "c", None)).await.unwrap_err();
    assert_eq!(error.to_string(), "variant: `c` is no variant of `e`; it has `a`, `b`");
    let mut unknown = recommendation("r1", "a", None);
    unknown.experiment_id = experiment_id("none");
    assert!(matches!(control.recommend(&unknown).await, Err(ControlError::NotFound { .. })));
}

#[tokio::test]
async fn a_stored_recommendation_cannot_be_changed_even_by_sql() {
    let world = World::new();
    let control = with_experiment(&world).await;
    control.recommend(&recommendation("r1", "a", None)).await.unwrap();
    let changed = sqlx::query("UPDATE recommendations SET variant = 'b'").execute(&mut *control.writer().await).await;
    assert!(changed.unwrap_err().to_string().contains("never changed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_deciders_in_two_processes_one_wins_each_step() {
    let world = World::new();
    let (one, two) = (with_experiment(&world).await, world.open().await);
    let mut parent = None;
    for step in 0..5 {
        let tries = (0..8).map(|number| {
            let control = if number % 2 == 0 { one.clone() } else { two.clone() };
            let child = recommendation(&format!("r{step}-{number}"), "a", parent.as_deref());
            tokio::spawn(async move { control.recommend(&child).await.map(|()| child.id) })
        });
        let results = futures::future::join_all(tries).await;
        let won: Vec<_> = results.into_iter().filter_map(|result| result.unwrap().ok()).collect();
        assert_eq!(won.len(), 1, "step {step}");
        parent = Some(won[0].to_string());
    }
    assert_eq!(one.recommendations(&experiment_id("e")).await.unwrap().len(), 5);
}

#[tokio::test]
async fn watchers_in_both_processes_see_the_change() {
    let world = World::new();
    let (one, two) = (with_experiment(&world).await, world.open().await);
    let id = experiment_id("e");
    one.recommend(&recommendation("r1", "a", None)).await.unwrap();
    let near = one.watch(&id).await.unwrap();
    let mut far = two.watch(&id).await.unwrap();
    assert_eq!(shown(&near), [recommendation("r1", "a", None)]);
    assert!(!near.has_changed().unwrap() && !far.has_changed().unwrap());
    one.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
    assert!(near.has_changed().unwrap(), "a change by the same process is there when `recommend` returns");
    let bound = std::time::Duration::from_secs(10);
    tokio::time::timeout(bound, far.changed()).await.expect("the poller sees it").unwrap();
    assert_eq!(shown(&far), [recommendation("r2", "b", Some("r1"))]);
    assert_eq!(shown(&near), [recommendation("r2", "b", Some("r1"))]);
}

#[tokio::test]
async fn an_older_recommendation_is_never_shown_after_a_newer() {
    let world = World::new();
    let control = with_experiment(&world).await;
    let id = experiment_id("e");
    let receiver = control.watch(&id).await.unwrap();
    control.recommend(&recommendation("r1", "a", None)).await.unwrap();
    control.recommend(&recommendation("r2", "b", Some("r1"))).await.unwrap();
    let older = Guidance::new(experiment("e", &["a", "b"]), vec![recommendation("r1", "a", None)]);
    control.watcher.publish(&id, 1, Arc::new(older));
    assert_eq!(shown(&receiver), [recommendation("r2", "b", Some("r1"))]);
}

#[tokio::test]
async fn a_dropped_control_ends_its_watches() {
    let world = World::new();
    let control = with_experiment(&world).await;
    let mut receiver = control.watch(&experiment_id("e")).await.unwrap();
    drop(control);
    let bound = std::time::Duration::from_secs(10);
    assert!(tokio::time::timeout(bound, receiver.changed()).await.expect("the task ends").is_err());
}

#[tokio::test]
async fn each_scope_has_a_chain_of_its_own() {
    let world = World::new();
    let control = with_experiment(&world).await;
    let id = experiment_id("e");
    let all = recommendation("r1", "a", None);
    control.recommend(&all).await.unwrap();
    let german = in_market("DE", recommendation("r2", "b", None));
    control.recommend(&german).await.unwrap();
    let error = control.recommend(&in_market("DE", recommendation("r3", "a", Some("r1")))).await.unwrap_err();
    let ControlError::Conflict { current } = error else { panic!("{error}") };
    assert_eq!(current.as_deref(), Some(&german), "the parent is of the same scope");
    let later = in_market("DE", recommendation("r4", "a", Some("r2")));
    control.recommend(&later).await.unwrap();
    assert_eq!(control.current(&id).await.unwrap(), Some(all.clone()), "the one for everybody stays");
    let guidance = control.guidance(&id).await.unwrap().unwrap();
    let current: Vec<_> = guidance.recommendations().map(|made| made.id.as_str()).collect();
    assert_eq!(current, ["r4", "r1"], "the most specific first");
    let numbered =
        |rows: Vec<NumberedRecommendation>| rows.into_iter().map(|row| (row.number, row.recommendation.id)).collect::<Vec<_>>();
    let name = |made: &Recommendation| made.id.clone();
    let now = numbered(control.current_recommendations(None).await.unwrap());
    assert_eq!(now, [(1, name(&all)), (3, name(&later))]);
    let all_of_them = numbered(control.recommendations_after(Some(&id), 0, 10).await.unwrap());
    assert_eq!(all_of_them, [(1, name(&all)), (2, name(&german)), (3, name(&later))]);
    assert_eq!(numbered(control.recommendations_after(None, 1, 1).await.unwrap()), [(2, name(&german))]);
    assert_eq!(control.last_recommendation().await.unwrap(), 3);
}

#[tokio::test]
async fn weights_are_shares_and_the_variant_has_the_greatest() {
    let world = World::new();
    let control = with_experiment(&world).await;
    let weighted = |id: &str, a: f64, b: f64| {
        let names = ["a", "b"].map(|name| VariantName::new(name).unwrap());
        let weights = names.into_iter().zip([a, b]).collect();
        Recommendation { weights, valid_until: Some(at(60)), ..recommendation(id, "a", None) }
    };
    let check = async |a: f64, b: f64, expect: &str| {
        let error = control.recommend(&weighted("r1", a, b)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("weights: {expect}"));
    };
    check(1.5, -0.5, "the weight of `a` is 1.5; a weight is from 0 to 1").await;
    check(f64::NAN, 1.0, "the weight of `a` is NaN; a weight is from 0 to 1").await;
    check(0.5, 0.4, "they come to 0.9; give shares that come to 1").await;
    check(0.4, 0.6, "`a` does not have the greatest; name the variant that does").await;
    let split = weighted("r1", 0.7, 0.3);
    control.recommend(&split).await.unwrap();
    assert_eq!(control.current(&experiment_id("e")).await.unwrap(), Some(split));
}

#[tokio::test]
async fn what_was_stored_before_there_were_scopes_is_read() {
    let world = World::new();
    let control = with_experiment(&world).await;
    control.recommend(&recommendation("r1", "a", None)).await.unwrap();
    sqlx::raw_sql("DROP TRIGGER recommendations_stay; UPDATE recommendations SET weights = NULL")
        .execute(&mut *control.writer().await)
        .await
        .unwrap();
    assert_eq!(control.current(&experiment_id("e")).await.unwrap(), Some(recommendation("r1", "a", None)));
}

#[tokio::test]
async fn what_senders_go_by_is_remembered_and_kept_current() {
    let world = World::new();
    let (one, two) = (with_experiment(&world).await, world.open().await);
    let id = experiment_id("e");
    assert_eq!(one.guidance(&experiment_id("none")).await.unwrap().map(|_| ()), None);
    let variants = |guidance: Option<Arc<Guidance>>| guidance.unwrap().experiment().variants.len();
    assert_eq!((variants(one.guidance(&id).await.unwrap()), variants(two.guidance(&id).await.unwrap())), (2, 2));
    // Without a transaction of this crate nobody hears of it, so that a second read would tell.
    sqlx::query("UPDATE experiments SET definition = 'broken'").execute(&mut *one.writer().await).await.unwrap();
    assert_eq!(variants(one.guidance(&id).await.unwrap()), 2, "it is not read again");
    sqlx::query("DELETE FROM experiments").execute(&mut *one.writer().await).await.unwrap();
    one.put_experiment(&experiment("e", &["a", "b", "c"])).await.unwrap();
    assert_eq!(variants(one.guidance(&id).await.unwrap()), 3, "a change of this process is seen at once");
    let mut far = two.watch(&id).await.unwrap();
    if variants(far.borrow_and_update().clone()) == 2 {
        let bound = std::time::Duration::from_secs(10);
        tokio::time::timeout(bound, far.changed()).await.expect("the poller sees it").unwrap();
    }
    assert_eq!(variants(two.guidance(&id).await.unwrap()), 3, "and so is another's");
}
