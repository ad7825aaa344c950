//! A condition as one query: the contacts, joined to what is counted of their events, and a condition over both.
//!
//! Counts are joined with LEFT JOIN rather than asked for with IN and EXISTS. It holds under any `any` and `not`, and reads a
//! table once where conditions ask about several windows of it. A semi join can be twice as fast where other conditions leave few
//! contacts and is slower where many did what is asked for; neither matters much, and one form is easier to trust than two. A count
//! that no contact without events can reach is compared as it is, null included, from which the query engine learns that the join
//! may drop them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use vocabulary::{Channel, Currency, EventKind, Money};

use crate::behaviour::{Act, Behaviour, Spent};
use crate::condition::Condition;
use crate::decimal::Decimal;
use crate::expression::{Expression, text, texts, time};
use crate::person::{Age, Attribute, Birthday, Registered};
use crate::scan::{Need, Scans};

/// The query of a condition that was checked.
pub(crate) fn compile(condition: &Condition, at: Timestamp, base: Currency) -> String {
    let mut compiler = Compiler { at, base, scans: Scans::default() };
    let clause = compiler.condition(condition).clause();
    let joins = compiler.scans.joins();
    format!("SELECT contacts.contact_key\nFROM contacts\n{joins}WHERE {clause}\n")
}

struct Compiler {
    at: Timestamp,
    base: Currency,
    scans: Scans,
}

impl Compiler {
    fn condition(&mut self, condition: &Condition) -> Expression {
        let is = Expression::is;
        match condition {
            Condition::All(list) => Expression::all(self.conditions(list)),
            Condition::Any(list) => Expression::any(self.conditions(list)),
            Condition::NoneOf(list) => Expression::not(Expression::any(self.conditions(list))),
            Condition::Not(inner) => Expression::not(self.condition(inner)),
            Condition::Country(values) => is(one_of("country", values)),
            Condition::Region(values) => is(one_of("region", values)),
            Condition::Market(values) => is(one_of("market", values)),
            Condition::Language(values) => is(language(values)),
            Condition::TimeZone(values) => is(one_of("time_zone", values)),
            Condition::Interests(values) => is(has_any("interests", values.iter().map(String::as_str))),
            Condition::Tags(values) => is(has_any("tags", values.iter().map(String::as_str))),
            Condition::Device(values) => is(one_of("device", values)),
            Condition::Source(values) => is(one_of("source", values)),
            Condition::Age(age) => self.age(age),
            Condition::Birthday(birthday) => self.birthday(birthday),
            Condition::Registered(registered) => self.registered(registered),
            Condition::Attribute(attribute) => of_attribute(attribute),
            Condition::Reachable(channels) => is(has_any("channels", channels.iter().map(|channel| channel.as_str()))),
            Condition::Spent(spent) => self.spent(spent),
            behaviour => match behaviour.behaviour() {
                Some((act, behaviour)) => self.behaviour(act, behaviour),
                None => unreachable!("all other conditions are behaviours"),
            },
        }
    }

    fn conditions(&mut self, list: &[Condition]) -> Vec<Expression> {
        list.iter().map(|condition| self.condition(condition)).collect()
    }

    fn today(&self) -> Date {
        TimeZone::UTC.to_datetime(self.at).date()
    }

    fn age(&self, age: &Age) -> Expression {
        // 29 February less some years is 28 February: who was born on that or before has had birthday.
        let born = |years: u32| self.today().saturating_sub(i64::from(years).years());
        let at_least = age.at_least.map(|years| format!("birth_date <= DATE '{}'", born(years)));
        let at_most = age.at_most.map(|years| format!("birth_date > DATE '{}'", born(years + 1)));
        Expression::all(at_least.into_iter().chain(at_most).map(Expression::Is))
    }

    fn birthday(&self, birthday: &Birthday) -> Expression {
        let number = |day: Date| i32::from(day.month()) * 100 + i32::from(day.day());
        let first = self.today();
        let last = first.saturating_add(i64::from(birthday.within_days.saturating_sub(1)).days());
        // In a year without 29 February its children are served on 1 March.
        let from = if number(first) == 301 && !first.in_leap_year() { 229 } else { number(first) };
        let until = number(last);
        let day = "extract(month FROM birth_date) * 100 + extract(day FROM birth_date)";
        if from <= until {
            return Expression::is(format!("{day} BETWEEN {from} AND {until}"));
        }
        Expression::any([Expression::is(format!("{day} >= {from}")), Expression::is(format!("{day} <= {until}"))])
    }

    fn registered(&self, registered: &Registered) -> Expression {
        let span = registered.written().span(self.at);
        let after = span.after.map(|after| format!("created_at > {}", time(after)));
        let until = format!("created_at <= {}", time(span.until));
        Expression::all(after.into_iter().chain([until]).map(Expression::Is))
    }

    fn behaviour(&mut self, act: Act, behaviour: &Behaviour) -> Expression {
        let (kind, filter) = of_act(act, behaviour.include_machine);
        let own = scope(behaviour.channel, behaviour.campaign.as_ref().map(|campaign| campaign.as_str()));
        let need = Need {
            aggregate: "count(*)",
            filters: filter.map(str::to_owned).into_iter().chain(own).collect(),
            span: behaviour.written().span(self.at),
        };
        let count = self.scans.column(kind.table(), act.as_str(), need);
        Expression::is(match behaviour.counts() {
            (0, Some(0)) => format!("coalesce({count}, 0) = 0"),
            (0, most) => format!("coalesce({count}, 0) <= {}", most.unwrap_or(u32::MAX)),
            (least, None) => format!("{count} >= {least}"),
            (least, Some(most)) if least == most => format!("{count} = {least}"),
            (least, Some(most)) => format!("{count} BETWEEN {least} AND {most}"),
        })
    }

    fn spent(&mut self, spent: &Spent) -> Expression {
        let own = scope(spent.channel, spent.campaign.as_ref().map(|campaign| campaign.as_str()));
        let need = Need { aggregate: "sum(amount_base_minor)", filters: own.collect(), span: spent.written().span(self.at) };
        let sum = self.scans.column(EventKind::Order.table(), "spent", need);
        let bounds = [(">=", &spent.at_least), (">", &spent.more_than), ("<=", &spent.at_most), ("<", &spent.less_than)];
        let minor = |amount: &Decimal| Money::parse(amount.as_str(), self.base).expect("amounts were checked").minor;
        let bounds: Vec<_> = bounds.into_iter().filter_map(|(sign, amount)| Some((sign, minor(amount.as_ref()?)))).collect();
        let holds_for_nothing = bounds.iter().all(|(sign, bound)| match *sign {
            ">=" => *bound <= 0,
            ">" => *bound < 0,
            _ => true,
        });
        let sum = if holds_for_nothing { format!("coalesce({sum}, 0)") } else { sum };
        Expression::all(bounds.into_iter().map(|(sign, bound)| Expression::is(format!("{sum} {sign} {bound}"))))
    }
}

/// The table of an act, and which of its rows are one.
fn of_act(act: Act, include_machine: bool) -> (EventKind, Option<&'static str>) {
    let by_people = (!include_machine).then_some("NOT machine");
    match act {
        Act::Sent => (EventKind::Message, None),
        Act::Accepted => (EventKind::Delivery, Some("status = 'accepted'")),
        Act::Delivered => (EventKind::Delivery, Some("status = 'delivered'")),
        Act::Bounced => (EventKind::Delivery, Some("status = 'bounced'")),
        Act::Opened => (EventKind::Open, by_people),
        Act::Clicked => (EventKind::Click, by_people),
        Act::Ordered => (EventKind::Order, Some("refund_of IS NULL")),
        Act::Unsubscribed => (EventKind::Feedback, Some("feedback = 'unsubscribe'")),
        Act::Complained => (EventKind::Feedback, Some("feedback = 'complaint'")),
    }
}

/// Filters by channel and campaign.
fn scope(channel: Option<Channel>, campaign: Option<&str>) -> impl Iterator<Item = String> {
    let channel = channel.map(|channel| format!("channel = {}", text(channel.as_str())));
    let campaign = campaign.map(|campaign| format!("campaign_id = {}", text(campaign)));
    channel.into_iter().chain(campaign)
}

/// A text that is one of a list.
fn one_of(column: &str, values: &[String]) -> String {
    match values {
        [value] => format!("{column} = {}", text(value)),
        values => format!("{column} IN ({})", texts(values.iter().map(String::as_str))),
    }
}

/// A list that has one of a list.
fn has_any<'a>(column: &str, values: impl Iterator<Item = &'a str>) -> String {
    match values.collect::<Vec<_>>().as_slice() {
        [value] => format!("array_has({column}, {})", text(value)),
        values => format!("array_has_any({column}, make_array({}))", texts(values.iter().copied())),
    }
}

/// A language that is one of a list or begins with one and a hyphen. The tags are letters, digits and hyphens: none means
/// anything in a regular expression. One expression, because hundreds of comparisons joined by OR take seconds.
fn language(values: &[String]) -> String {
    format!("regexp_like(language, '^({})(-|$)', 'i')", values.join("|"))
}

fn of_attribute(attribute: &Attribute) -> Expression {
    let value = format!("attributes[{}]", text(&attribute.name));
    let number = |sign: &str, bound: &Option<Decimal>| {
        let bound = bound.as_ref()?;
        Some(format!("TRY_CAST({value} AS DECIMAL(38, 9)) {sign} CAST('{bound}' AS DECIMAL(38, 9))"))
    };
    let date = |sign: &str, bound: Option<Date>| Some(format!("TRY_CAST({value} AS DATE) {sign} DATE '{}'", bound?));
    let all = [
        attribute.is.as_ref().map(|values| one_of(&value, values)),
        attribute.known.map(|known| format!("{value} IS {}NULL", if known { "NOT " } else { "" })),
        attribute.is_true.map(|yes| {
            let words = if yes { "'true', 'yes', '1'" } else { "'false', 'no', '0'" };
            format!("lower({value}) IN ({words})")
        }),
        number(">=", &attribute.at_least),
        number(">", &attribute.more_than),
        number("<=", &attribute.at_most),
        number("<", &attribute.less_than),
        date("<", attribute.before),
        date(">", attribute.after),
    ];
    Expression::all(all.into_iter().flatten().map(Expression::Is))
}
