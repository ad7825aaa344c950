//! Tests of how rows become events.

use super::*;
use crate::cli_import::{FileArgs, ImportContactsArgs, ImportEventsArgs};

fn mapping(pairs: &[&str], with: impl FnOnce(&mut ImportEventsArgs)) -> Mapping {
    let file = FileArgs { map: pairs.iter().map(|pair| (*pair).to_owned()).collect(), ..FileArgs::default() };
    let mut args = ImportEventsArgs { file, ..ImportEventsArgs::default() };
    with(&mut args);
    Mapping::of_events(&args).unwrap()
}

fn columns(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

fn plan(mapping: &Mapping, names: &str) -> anyhow::Result<Plan> {
    Plan::new(mapping, Shown { columns: &columns(names), lines: false, typed: false })
}

/// The fields as text, from a row in which `-` is empty.
fn read(plan: &Plan, row: &str) -> Result<String, String> {
    let row: Vec<Option<String>> = row.split(',').map(|text| (text != "-").then(|| text.to_owned())).collect();
    match plan.read(7, Cells::Row(&row)) {
        Ok((fields, _)) => {
            Ok(fields.iter().map(|(name, value)| format!("{name}={}", value.as_text())).collect::<Vec<_>>().join(" "))
        }
        Err(fault) => Err(format!("{}: {}", fault.field, fault.reason)),
    }
}

const ORDERS: [&str; 6] =
    ["kind=order", "event_time={paid}", "contact=c{customer}", "order_id={shop}-{no}", "amount={total}", "currency=EUR"];

#[test]
fn rows_become_the_fields_that_are_mapped() {
    let orders = mapping(&[&ORDERS[..], &["campaign_id={campaign?}", "message_id={row}"]].concat(), |args| {
        args.decimal_comma = true;
        args.time_zone = Some("Europe/Berlin".into());
    });
    let plan = plan(&orders, "no,shop,paid,total,customer,unused").unwrap();
    let check = |row: &str, expect: Result<&str, &str>| match (read(&plan, row), expect) {
        (Ok(fields), Ok(expect)) => assert_eq!(fields, expect),
        (Err(fault), Err(expect)) => assert!(fault.starts_with(expect), "{fault}"),
        other => panic!("{row}: {other:?}"),
    };
    check(
        "17,de,2026-01-05 10:00:00,1.200,4,x",
        Ok("amount=1200 contact=c4 currency=EUR event_time=2026-01-05T09:00:00Z kind=order message_id=7 order_id=de-17"),
    );
    // An empty column empties its field: `de-` would be a wrong id, and the server says what is missing.
    check(
        "-,de,2026-01-05,5,4,-",
        Ok("amount=5 contact=c4 currency=EUR event_time=2026-01-04T23:00:00Z kind=order message_id=7"),
    );
    check("17,de,yesterday,5,4,-", Err("event_time: `yesterday` is no time"));
    check("17,de,2026-01-05,4.5,4,-", Err("amount: `4.5` is no number with a decimal comma"));
}

#[test]
fn words_of_the_file_are_translated() {
    let mut map = mapping(&["kind=delivery", "event_time={at}", "contact={who}", "status={state}"], |_| {});
    let words = [("ok".to_owned(), "delivered".to_owned())];
    map.origins.get_mut("status").unwrap().words = Some(words.into_iter().collect());
    let plan = plan(&map, "at,who,state").unwrap();
    assert_eq!(
        read(&plan, "2026-01-05T10:00:00Z,c1,ok").unwrap(),
        "contact=c1 event_time=2026-01-05T10:00:00Z kind=delivery status=delivered"
    );
    let fault = read(&plan, "2026-01-05T10:00:00Z,c1,gone").unwrap_err();
    assert_eq!(fault, "status: `gone` is not among the `values` of the mapping: ok");
}

#[test]
fn columns_that_are_called_like_fields_need_no_mapping() {
    let orders = mapping(&[], |args| args.kind = Some("order".into()));
    let whole = plan(&orders, "kind,event_time,contact,order_id,amount,currency,rejected_row").unwrap();
    assert_eq!(
        read(&whole, "open,2026-01-05T10:00:00Z,c1,o1,5.00,EUR,3").unwrap(),
        "amount=5 contact=c1 currency=EUR event_time=2026-01-05T10:00:00Z kind=order order_id=o1"
    );
    let clocked = plan(&mapping(&[], |args| args.kind = Some("open".into())), "event_time,sent_at,contact").unwrap();
    assert_eq!(
        read(&clocked, "2026-01-05T10:00:00Z,2026-01-05T10:00:01Z,c1").unwrap(),
        "contact=c1 event_time=2026-01-05T10:00:00Z kind=open",
        "the clock at the moment of sending would shift the event to now"
    );
    let error = plan(&orders, "event_time,contact,order_id,amount,currency,status").unwrap_err().to_string();
    assert!(error.contains("`status`") && error.contains("`order` events") && error.contains("--map"), "{error}");
    let mixed = plan(&mapping(&["kind={what}"], |_| {}), "what,event_time,contact").unwrap();
    assert_eq!(read(&mixed, "Open,2026-01-05T10:00:00Z,c1").unwrap(), "contact=c1 event_time=2026-01-05T10:00:00Z kind=open");
    // With a mapping, a column that happens to be called like a field is none.
    let mapped = plan(&mapping(&ORDERS, |_| {}), "no,shop,paid,total,customer,provider").unwrap();
    assert!(!read(&mapped, "1,de,2026-01-05T10:00:00Z,5,4,card").unwrap().contains("provider"));
}

#[test]
fn what_would_fail_in_every_row_is_said_before_the_first() {
    let check = |pairs: &[&str], names: &str, expect: &[&str]| {
        let error = plan(&mapping(pairs, |_| {}), names).unwrap_err();
        for word in expect {
            assert!(format!("{error:#}").contains(word), "{word}: {error:#}");
        }
    };
    let names = "no,shop,paid,total,customer";
    check(
        &ORDERS,
        "no,shop,Paid,total,customer",
        &["no column `paid` (for event_time)", "did you mean `Paid`?", "it has no, shop"],
    );
    check(&ORDERS, "no,shop,paid,totl,customer", &["did you mean `totl`?"]);
    check(&ORDERS, "no;shop;paid;total;customer", &["--delimiter ';'"]);
    check(&ORDERS[1..], names, &["--kind", "assignment, message"]);
    check(&[&ORDERS[..], &["status={no}"]].concat(), names, &["`status` is no field of `order` events, but of `delivery`"]);
    check(&ORDERS[..5], names, &["`amount` needs its currency"]);
    check(&[&ORDERS[..2], &ORDERS[3..]].concat(), names, &["`contact` is missing"]);
    check(
        &[&ORDERS[..3], &ORDERS[4..]].concat(),
        "no,shop,paid,total,customer,orderid",
        &["`order_id`", "--map order_id='{orderid}'"],
    );
    check(&["kind=ordr"], "a", &["ordr"]);
    check(&[&ORDERS[..], &["sent_at={paid}"]].concat(), names, &["which no file knows"]);
}

#[test]
fn members_of_lines_are_found_by_name_and_strangers_are_named() {
    let object = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let lines = |map: &Mapping, names: &str| Plan::new(map, Shown { columns: &columns(names), lines: true, typed: true });
    let plan = lines(&mapping(&[], |args| args.kind = Some("open".into())), "").unwrap();
    let (fields, _) = plan
        .read(1, Cells::Object(&object(&[("contact", "c1"), ("kind", "click"), ("sent_at", "2026-01-05T10:00:00Z")])))
        .unwrap();
    assert_eq!(
        fields.iter().map(|(name, value)| (*name, value.as_text())).collect::<Vec<_>>(),
        [("contact", "c1"), ("kind", "open")]
    );
    let fault = plan.read(1, Cells::Object(&object(&[("amonut", "1")]))).unwrap_err();
    assert_eq!(fault, Fault::new("amonut", "is no field of an event; did you mean `amount`?"));

    let mapped = mapping(&["kind=open", "event_time={at}", "contact={user.id}"], |_| {});
    let plan = lines(&mapped, "at,user.id").unwrap();
    let (fields, _) =
        plan.read(1, Cells::Object(&object(&[("at", "2026-01-05T10:00:00Z"), ("user.id", "c9"), ("x", "y")]))).unwrap();
    assert_eq!(fields[0], ("contact", Value::Text("c9".into())));
    let error = lines(&mapped, "at,user.ident").unwrap_err().to_string();
    assert!(error.contains("{user.id?}"), "{error}");
}

fn contacts(pairs: &[&str], attributes: &[&str]) -> Mapping {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let file = FileArgs { map: owned(pairs), ..FileArgs::default() };
    Mapping::of_contacts(&ImportContactsArgs { file, attribute: owned(attributes), ..ImportContactsArgs::default() }).unwrap()
}

#[test]
fn columns_of_contacts_are_fields_or_attributes_that_were_named() {
    let check = |mapping: &Mapping, names: &str, row: &str, expect: &str| {
        assert_eq!(read(&plan(mapping, names).unwrap(), row).unwrap(), expect, "{names}");
    };
    let by_name = contacts(&[], &[]);
    check(&by_name, "key,email,birth_date", "a,b@c,1990-05-17T00:00:00", "birth_date=1990-05-17 email=b@c key=a");
    check(&contacts(&["key={id}"], &["tier"]), "id,email,tier,street", "7,-,gold,x", r#"key=7 attributes={"tier":"gold"}"#);
    check(&contacts(&[], &["*"]), "key,tier,street", "7,gold,x", r#"key=7 attributes={"street":"x","tier":"gold"}"#);
    let mapped = contacts(&["key={id}", "email={mail}", "attributes.size={Size?}"], &[]);
    check(&mapped, "id,mail,tier,Size", "7,b@c,gold,XL", r#"email=b@c key=7 attributes={"size":"XL"}"#);
    check(&mapped, "id,mail,country", "7,b@c,DE", "email=b@c key=7");
    let error = |mapping: &Mapping, names: &str| plan(mapping, names).unwrap_err().to_string();
    assert!(error(&by_name, "key,street,tier").contains("--attribute street,tier"), "no column gets into the lake by accident");
    assert!(error(&by_name, "id,email").contains("`id`: no field of a contact"));
    assert!(error(&contacts(&[], &["tier"]), "id,tier").contains("the field `key` is missing"));
    assert!(error(&contacts(&[], &["teir"]), "key,tier").contains("did you mean `tier`?"));
}

#[test]
fn dates_of_birth_are_read_as_they_are_written() {
    let check = |format: Option<&str>, text: &str, expect: Result<&str, &str>| match (date(format, text), expect) {
        (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
        (Err(found), Err(expect)) => assert!(found.contains(expect), "{found}"),
        other => panic!("{text}: {other:?}"),
    };
    check(None, " 1990 ", Ok("1990"));
    check(None, "1990-05-17 00:00:00", Ok("1990-05-17"));
    check(None, "17.05.1990", Ok("17.05.1990")); // For the server to refuse.
    check(Some("%d.%m.%Y"), "17.05.1990", Ok("1990-05-17"));
    check(Some("%d.%m.%Y"), "1990-05-17", Err("is not written as `%d.%m.%Y`"));
    check(Some("%d.%m"), "17.05", Err("is not written as"));
}
