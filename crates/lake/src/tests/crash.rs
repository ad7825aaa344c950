//! A crash between any two steps loses nothing and doubles nothing.

use super::*;

/// The order in which points are reached is the order of the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_is_reached() {
    struct Seen(Mutex<Vec<Point>>);
    impl Faults for Seen {
        fn reached(&self, point: Point) -> Result<(), LakeError> {
            let mut seen = self.0.lock().unwrap();
            if !seen.contains(&point) {
                seen.push(point);
            }
            Ok(())
        }
    }
    let root = tempfile::tempdir().unwrap();
    let seen = Arc::new(Seen(Mutex::default()));
    let lake = Lake::open_with_faults(config(root.path()), seen.clone()).await.unwrap();
    lake.append(one_of_each("a")).await.unwrap();
    lake.land().await.unwrap();
    assert_eq!(*seen.0.lock().unwrap(), Point::ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_and_doubles_nothing() {
    for point in Point::ALL {
        // Points of the log are passed once per append, those of a table once per table.
        let skips: &[u32] = match point {
            Point::FilesWritten | Point::TableCommitted => &[0, 3, 6],
            _ => &[0],
        };
        for skip in skips {
            crash_at(*point, *skip).await;
        }
    }
}

/// Appends before, during and after a crash at `point`, restarting twice, and expects each event once.
async fn crash_at(point: Point, skip: u32) {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    lake.append(one_of_each("landed")).await.unwrap();
    lake.land().await.unwrap();
    lake.append(one_of_each("left")).await.unwrap();
    drop(lake);

    let lake = Lake::open_with_faults(config(root.path()), FailAt::new(point, skip, LakeError::Stopped)).await.unwrap();
    let appended = lake.append(one_of_each("crash")).await;
    let landed = lake.land().await;
    assert!(appended.is_err() || landed.is_err(), "{point:?} {skip} was not reached");
    drop(lake);

    let lake = Lake::open(config(root.path())).await.unwrap();
    // Whoever was not answered tells it again; whoever was answered may do so too.
    lake.append(one_of_each("crash")).await.unwrap();
    lake.append(one_of_each("after")).await.unwrap();
    lake.land().await.unwrap();
    assert_eq!(counts(&lake).await, [(4, 4); KINDS], "{point:?} {skip}");
    assert_eq!(lake.unlanded(), 0);
    drop(lake);
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(lake.unlanded(), 0);
    assert_eq!(lake.land().await.unwrap().events, 0);
    assert_eq!(counts(&lake).await, [(4, 4); KINDS], "{point:?} {skip}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_that_fails_goes_on_in_the_same_process() {
    for point in [Point::Sealed, Point::FilesWritten, Point::TableCommitted, Point::AllCommitted, Point::Refreshed] {
        let root = tempfile::tempdir().unwrap();
        let lake = Lake::open_with_faults(config(root.path()), FailAt::new(point, 0, LakeError::Stopped)).await.unwrap();
        lake.append(one_of_each("a")).await.unwrap();
        lake.land().await.unwrap_err();
        lake.append(one_of_each("b")).await.unwrap();
        lake.land().await.unwrap();
        assert_eq!((lake.unlanded(), counts(&lake).await), (0, vec![(2, 2); KINDS]), "{point:?}");
    }
}

/// Long enough that handles are reopened and a checkpoint is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_landings_add_up() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::open(config(root.path())).await.unwrap();
    for n in 0..110 {
        lake.append(vec![order(&format!("e{n}"), 1, at(n), 1)]).await.unwrap();
        assert_eq!(lake.land().await.unwrap().events, 1);
    }
    assert_eq!(counts(&lake).await[5], (110, 110));
    drop(lake);
    assert!(root.path().join("tables/orders/_delta_log/_last_checkpoint").exists());
    let lake = Lake::open(config(root.path())).await.unwrap();
    assert_eq!(lake.append(vec![order("e0", 1, at(0), 1), order("new", 1, at(0), 1)]).await.unwrap().duplicates, [0]);
    lake.land().await.unwrap();
    assert_eq!(counts(&lake).await[5], (111, 111));
}
