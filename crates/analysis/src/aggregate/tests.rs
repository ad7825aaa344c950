//! Files of sums, right and wrong.

use super::*;

fn read_with(header: &str, lines: &[&str], options: &AggregateOptions) -> Result<(Spec, Cells), BadRow> {
    let split = |line: &str| line.split(',').map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).collect::<Vec<_>>();
    let columns: Vec<String> = header.split(',').map(str::to_owned).collect();
    aggregate_cells(&columns, lines.iter().enumerate().map(|(index, line)| (index as u64 + 2, split(line))), options)
}

fn read(header: &str, lines: &[&str]) -> Result<(Spec, Cells), BadRow> {
    read_with(header, lines, &AggregateOptions::default())
}

#[test]
fn three_ways_say_the_same() {
    let moments = |header: &str, line: &str| {
        let (_, cells) = read(header, &[&format!("control,{line}"), &format!("b,{line}")]).unwrap();
        let arm = &cells.experiments[0].arms[1];
        assert_eq!((arm.variant.as_str(), arm.all.units), ("control", 10));
        arm.all.metrics[0].clone()
    };
    let successes = moments("variant,n,successes", "10,4");
    let sums = moments("variant,n,sum,sum_squares", "10,4,4");
    let means = moments("variant,n,mean,variance", "10.0,0.4,0.26666666666666666");
    for cell in [&sums, &means] {
        assert!((cell.moments.mean(0) - 0.4).abs() < 1e-15);
        assert!((cell.moments.product(0, 0) - successes.moments.product(0, 0)).abs() < 1e-12);
        assert!(!cell.is_binary);
        assert_eq!(cell.nonzero, 4, "four equal amounts");
    }
    assert!(successes.is_binary && successes.nonzero == 4);
}

#[test]
fn mistakes_name_place_and_way_out() {
    let check = |header: &str, lines: &[&str], expect: &str| {
        let error = read(header, lines).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}\nlacks {expect}");
    };
    let sums = "variant,n,sum,sum_squares";
    check("variant,n,sucesses", &[], "line 1, column `sucesses`: This column is unknown.");
    check("variant,n,sucesses", &[], "Did you mean `successes`?");
    check("variant,successes", &[], "column `n`: The column is missing.");
    check("variant,n,sum", &[], "column `sum_squares`: The column is missing");
    check("variant,n", &[], "Give `successes`, or `sum`");
    check("variant,n,n,sum,sum_squares", &[], "twice");
    check(
        "variant,n,successes",
        &["control,10,4", "b,10,12"],
        "line 3, column `successes`, value `12`: There are more successes",
    );
    check("variant,n,successes", &["control,,4"], "line 2, column `n`: The value is missing.");
    check("variant,n,successes", &["control,ten,4"], "column `n`, value `ten`: The value is not a count.");
    check("variant,n,successes", &["control,-1,4"], "not a count");
    check("variant,n,successes", &["control,1.5,1"], "not a count");
    check("variant,n,successes", &[",10,4"], "column `variant`: The value is missing.");
    check("variant,n,successes", &["control,10,"], "The row has no outcome.");
    check("variant,n,successes,sum,sum_squares", &["control,10,4,4,4"], "twice, by `successes` and by `sum_squares`");
    check(sums, &["control,10,NaN,4"], "value `NaN`: The value is not finite.");
    check(sums, &["control,10,inf,4"], "not finite");
    check(sums, &["control,10,\u{b9},4"], "not a number");
    check(sums, &["control,10,4,"], "column `sum_squares`: The value is missing.");
    check(sums, &["control,10,10,1"], "not the squared sum");
    check("variant,n,mean,variance", &["control,10,1,-2"], "never negative");
    check(
        "variant,n,successes",
        &["control,10,4", "b,10,4", "b,10,5"],
        "line 4, column `variant`, value `b`: The same variant, metric and look are in line 3 already.",
    );
    check("variant,n,successes", &["a,10,4", "b,10,4"], "--control NAME");
    check("variant,n,successes", &["control,10,4", "Control,10,4"], "not exactly one");
    check(
        "variant,metric,n,successes",
        &["control,visit,10,4", "b,visit,10,4", "b,order,10,1"],
        "no row of metric `order` for variant `control`, but line 4 has one for `b`",
    );
    check("variant,look,n,successes", &["control,1,10,4", "b,1,10,4", "b,2,20,8"], "for variant `control` at look `2`");
    check("experiment,variant,n,successes", &["x,control,10,4", "x,b,10,4", "y,a,1,1"], "Experiment `y`");
    let options = AggregateOptions { control: Some("contrl".to_owned()), ..AggregateOptions::default() };
    let error = read_with("variant,n,successes", &["Control,10,4", "b,10,4"], &options).unwrap_err().to_string();
    assert!(error.contains("has no variant `contrl`") && error.contains("Did you mean `Control`?"), "{error}");
    let options = AggregateOptions { metrics: vec!["visits".to_owned()], ..AggregateOptions::default() };
    let error = read_with("variant,metric,n,successes", &["control,visit,10,4"], &options).unwrap_err().to_string();
    assert!(error.contains("There is no such metric.") && error.contains("Did you mean `visit`?"), "{error}");
}

#[test]
fn looks_are_in_their_order() {
    let check = |looks: &[&str], expect: &[&str]| {
        let lines: Vec<String> = looks.iter().flat_map(|look| ["control", "b"].map(|arm| format!("{arm},{look},10,4"))).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (_, cells) = read("variant,look,n,successes", &lines).unwrap();
        let experiment = &cells.experiments[0];
        assert_eq!(experiment.looks.iter().map(|look| look.look.as_str()).collect::<Vec<_>>(), expect);
        assert_eq!(experiment.arms, experiment.looks.last().unwrap().arms);
    };
    check(&["10", "9", "1.5"], &["1.5", "9", "10"]);
    check(&["2026-11-02", "2026-10-30"], &["2026-10-30", "2026-11-02"]);
    check(&["week two", "week one"], &["week two", "week one"]);
}

#[test]
fn experiments_may_lack_a_metric_as_a_whole() {
    let lines = ["x,control,visit,10,4", "x,b,visit,10,4", "y,control,order,10,4", "y,b,order,9,4"];
    let (spec, cells) = read("experiment,variant,metric,n,successes", &lines).unwrap();
    assert_eq!(spec.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), ["visit", "order"]);
    assert_eq!(spec.experiment.as_deref(), Some("experiment"));
    assert_eq!((cells.rows, cells.experiments.len()), (4, 2));
    let y = &cells.experiments[1];
    assert_eq!((y.arms[0].all.units, y.arms[0].all.metrics[0].moments.count), (9, 0));
}

#[test]
fn metrics_are_read_as_they_are_set() {
    let set = MetricSpec { lower_is_better: true, margin: Some(0.1), cap: Some(0.9), ..MetricSpec::new("stop", Kind::Mean) };
    let lines = ["control,visit,10,4", "control,stop,10,1", "control,order,10,1"];
    let check = |metrics: &[&str], expect: Result<&[&str], &str>| {
        let metrics = metrics.iter().map(|name| (*name).to_owned()).collect();
        let options = AggregateOptions { metrics, settings: vec![set.clone()], ..AggregateOptions::default() };
        match (read_with("variant,metric,n,successes", &lines, &options), expect) {
            (Ok((spec, _)), Ok(expect)) => {
                assert_eq!(spec.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), expect);
                let stop = spec.metrics.iter().find(|metric| metric.name == "stop").unwrap();
                assert_eq!((stop.lower_is_better, stop.margin, stop.cap), (true, Some(0.1), None));
                assert_eq!(stop.kind, Kind::Auto);
            }
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    };
    check(&[], Ok(&["visit", "stop", "order"]));
    check(&["order", "stop"], Ok(&["order", "stop"]));
    check(&["order"], Err("value `stop`: There is no such metric. There is `order`."));
}
