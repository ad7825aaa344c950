//! A lane against a server that behaves, and against one that does not, with and without pipelining.

use std::sync::Mutex;
use std::time::Duration;

use gateways::{Envelope, HandOver, Patience, SmtpConfig, SmtpLane};
use simulator::sink::{Fault, Mail, Sink, SinkConfig, SinkCounts};
use tokio::sync::mpsc;

fn envelope(to: &str) -> Envelope {
    Envelope { from: "news@shop.example".into(), to: to.into() }
}

fn config_of(sink: &Sink) -> SmtpConfig {
    SmtpConfig::new("127.0.0.1", sink.address().port())
}

fn lane_to(sink: &Sink) -> SmtpLane {
    SmtpLane::new(config_of(sink))
}

fn content_of(index: usize) -> Vec<u8> {
    format!("Subject: {index}\r\n\r\nMessage {index}\r\n.\r\n..end\r\n").into_bytes()
}

fn drained(mut received: mpsc::Receiver<Mail>) -> Vec<Mail> {
    std::iter::from_fn(|| received.try_recv().ok()).collect()
}

/// One word for each way a message can end.
fn word(outcome: &HandOver) -> &'static str {
    match outcome {
        HandOver::Accepted { .. } => "accepted",
        HandOver::Refused { permanent: true, .. } => "refused",
        HandOver::Refused { permanent: false, .. } => "deferred",
        HandOver::NotSent { .. } => "not sent",
        HandOver::Late => "late",
        HandOver::InDoubt { .. } => "in doubt",
    }
}

/// What came of sending one message to each of `to`.
struct Story {
    outcomes: Vec<HandOver>,
    /// The messages whose content was asked for, in order.
    asked: Vec<usize>,
    /// The recipients the server has mails for, in order.
    arrived: Vec<String>,
    counts: SinkCounts,
}

async fn told(config: SinkConfig, to: &[&str]) -> Story {
    let (sink, received) = Sink::start(config).await.unwrap();
    let patience = Patience { dot: Duration::from_millis(200), ..Patience::default() };
    let mut lane = SmtpLane::new(SmtpConfig { patience, ..config_of(&sink) });
    let envelopes: Vec<Envelope> = to.iter().map(|to| envelope(to)).collect();
    let mut asked = Vec::new();
    let mut content = |index: usize| {
        asked.push(index);
        if to[index].contains("takenback") { None } else { Some(content_of(index)) }
    };
    let outcomes = lane.deliver(&envelopes, &mut content).await;
    lane.close().await;
    let mails = drained(received);
    for mail in &mails {
        let index = to.iter().position(|to| *to == mail.to[0]).unwrap();
        assert_eq!(mail.raw, content_of(index), "a mail arrives as it was given");
    }
    let arrived = mails.into_iter().flat_map(|mail| mail.to).collect();
    Story { outcomes, asked, arrived, counts: sink.counts() }
}

/// Sends to three recipients, the second of which meets `faults`, and checks what becomes of each, who has a mail, whose
/// content was asked for and how many connections it took.
async fn check(second: &str, faults: &[Fault], expect: [&str; 3], arrived: &[&str], asked: &[usize], sessions: u64) {
    for is_pipelining in [true, false] {
        let config = SinkConfig { is_pipelining, faults: faults.to_vec(), ..SinkConfig::default() };
        let story = told(config, &["a@home.example", second, "c@home.example"]).await;
        let label = format!("{faults:?}, pipelining {is_pipelining}: {:?}", story.outcomes);
        assert_eq!(story.outcomes.iter().map(word).collect::<Vec<_>>(), expect, "{label}");
        assert_eq!(story.arrived, arrived, "{label}");
        assert_eq!(story.asked, asked, "{label}");
        assert_eq!(story.counts.sessions, sessions, "{label}");
    }
}

const ALL: [&str; 3] = ["a@home.example", "bad@home.example", "c@home.example"];
const OTHERS: [&str; 2] = ["a@home.example", "c@home.example"];

fn bad() -> String {
    "bad@".to_owned()
}

#[tokio::test]
async fn without_faults_all_arrive() {
    check("bad@home.example", &[], ["accepted"; 3], &ALL, &[0, 1, 2], 1).await;
}

#[tokio::test]
async fn a_refused_recipient_stops_only_its_own_message() {
    let expect = ["accepted", "refused", "accepted"];
    check("bad@home.example", &[Fault::RefuseRecipient(bad())], expect, &OTHERS, &[0, 2], 1).await;
    // The server says 354 all the same: a lone dot, and no mail for anybody.
    let faults = [Fault::RefuseRecipient(bad()), Fault::TakeDataWithoutRecipients];
    check("bad@home.example", &faults, expect, &OTHERS, &[0, 2], 1).await;
}

#[tokio::test]
async fn after_a_refused_data_no_content_is_written() {
    check("bad@home.example", &[Fault::RefuseData(bad())], ["accepted", "deferred", "accepted"], &OTHERS, &[0, 2], 1).await;
}

#[tokio::test]
async fn refused_content_is_refused() {
    let expect = ["accepted", "refused", "accepted"];
    check("bad@home.example", &[Fault::RefuseContent(bad())], expect, &OTHERS, &[0, 1, 2], 1).await;
}

#[tokio::test]
async fn a_message_taken_back_reaches_nobody() {
    check("takenback@home.example", &[], ["accepted", "not sent", "accepted"], &OTHERS, &[0, 1, 2], 2).await;
}

#[tokio::test]
async fn a_closing_server_is_met_again() {
    check("bad@home.example", &[Fault::CloseAfter(1)], ["accepted"; 3], &ALL, &[0, 1, 2], 3).await;
    let expect = ["accepted", "deferred", "accepted"];
    check("bad@home.example", &[Fault::CloseInsteadOfContent(bad())], expect, &OTHERS, &[0, 1, 2], 2).await;
}

#[tokio::test]
async fn a_dot_without_a_reply_is_in_doubt() {
    let expect = ["accepted", "in doubt", "accepted"];
    check("bad@home.example", &[Fault::DropAfterDot(bad())], expect, &ALL, &[0, 1, 2], 2).await;
    check("bad@home.example", &[Fault::SilentAfterDot(bad())], expect, &OTHERS, &[0, 1, 2], 2).await;
}

#[tokio::test]
async fn a_dot_that_was_not_written_is_not_sent() {
    for is_pipelining in [true, false] {
        let config = SinkConfig { is_pipelining, faults: vec![Fault::DropAtData(bad())], ..SinkConfig::default() };
        let (sink, received) = Sink::start(config).await.unwrap();
        // More than the buffers between the two can hold, so that its end cannot be written to a closed connection.
        let large = "x".repeat(70).into_bytes().repeat(1_000_000);
        let mut content = |index: usize| Some(if index == 0 { large.clone() } else { content_of(index) });
        let envelopes = [envelope("bad@home.example"), envelope("b@home.example")];
        let outcomes = lane_to(&sink).deliver(&envelopes, &mut content).await;
        assert_eq!(outcomes.iter().map(word).collect::<Vec<_>>(), ["not sent", "accepted"], "{:.200?}", outcomes);
        assert_eq!(drained(received).len(), 1);
    }
}

#[tokio::test]
async fn the_first_and_the_last_may_fail_too() {
    for is_pipelining in [true, false] {
        let faults = vec![Fault::RefuseRecipient(bad()), Fault::TakeDataWithoutRecipients];
        let config = SinkConfig { is_pipelining, faults, ..SinkConfig::default() };
        let (sink, received) = Sink::start(config).await.unwrap();
        let mut lane = lane_to(&sink);
        let batches: [&[&str]; 4] = [
            &["bad@home.example"],
            &["bad@home.example", "a@home.example"],
            &["b@home.example", "bad@home.example"],
            &["c@home.example"],
        ];
        let mut words = Vec::new();
        for to in batches {
            let envelopes: Vec<Envelope> = to.iter().map(|to| envelope(to)).collect();
            words.extend(lane.deliver(&envelopes, &mut |index| Some(content_of(index))).await.iter().map(word));
        }
        assert_eq!(words, ["refused", "refused", "accepted", "accepted", "refused", "accepted"]);
        let arrived: Vec<String> = drained(received).into_iter().flat_map(|mail| mail.to).collect();
        assert_eq!(arrived, ["a@home.example", "b@home.example", "c@home.example"]);
        assert_eq!(sink.counts().sessions, 1);
    }
}

#[tokio::test]
async fn content_is_chosen_when_the_server_waits_for_it() {
    for is_pipelining in [true, false] {
        let (sink, received) = Sink::start(SinkConfig { is_pipelining, ..SinkConfig::default() }).await.unwrap();
        let envelopes: Vec<Envelope> = (0..20).map(|i| envelope(&format!("c{i}@home.example"))).collect();
        let seen = Mutex::new(Vec::new());
        let mut content = |index: usize| {
            seen.lock().unwrap().push(sink.counts().mails);
            Some(content_of(index))
        };
        lane_to(&sink).deliver(&envelopes, &mut content).await;
        // When message i is asked for, the server has all before it: nothing was chosen ahead.
        assert_eq!(seen.into_inner().unwrap(), (0..20).collect::<Vec<u64>>());
        assert_eq!(drained(received).len(), 20);
    }
}

#[tokio::test]
async fn connections_take_a_hundred_messages() {
    for is_pipelining in [true, false] {
        let (sink, received) = Sink::start(SinkConfig { is_pipelining, ..SinkConfig::default() }).await.unwrap();
        let envelopes: Vec<Envelope> = (0..250).map(|i| envelope(&format!("c{i}@home.example"))).collect();
        let mut lane = lane_to(&sink);
        let outcomes = lane.deliver(&envelopes, &mut |index| Some(content_of(index))).await;
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, HandOver::Accepted { reply } if reply.starts_with("250 2.0.0 Ok")))
        );
        let arrived: Vec<String> = drained(received).into_iter().flat_map(|mail| mail.to).collect();
        assert_eq!(arrived, envelopes.iter().map(|envelope| envelope.to.clone()).collect::<Vec<_>>());
        assert_eq!(sink.counts().sessions, 3);
    }
}

#[tokio::test]
async fn a_slow_reader_slows_the_sender_and_loses_nothing() {
    let (sink, mut received) = Sink::start(SinkConfig { queue_mails_max: 1, ..SinkConfig::default() }).await.unwrap();
    let envelopes: Vec<Envelope> = (0..50).map(|i| envelope(&format!("c{i}@home.example"))).collect();
    let mut lane = lane_to(&sink);
    let reading = async {
        for i in 0..50 {
            assert_eq!(received.recv().await.unwrap().to, [format!("c{i}@home.example")]);
        }
    };
    let mut content = |index| Some(content_of(index));
    let (outcomes, ()) = tokio::join!(lane.deliver(&envelopes, &mut content), reading);
    assert!(outcomes.iter().all(|outcome| word(outcome) == "accepted"));
}

#[tokio::test]
async fn without_a_server_nothing_is_asked_for() {
    let (sink, _received) = Sink::start(SinkConfig { sessions_max: 0, ..SinkConfig::default() }).await.unwrap();
    let envelopes = [envelope("a@home.example"), envelope("b@home.example")];
    let mut content = |_| unreachable!("no server has said 354");
    let outcomes = lane_to(&sink).deliver(&envelopes, &mut content).await;
    let HandOver::NotSent { why } = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(why.contains("421") && why.contains("too many connections"), "{why}");

    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let outcomes = SmtpLane::new(SmtpConfig::new("127.0.0.1", free)).deliver(&envelopes, &mut content).await;
    let HandOver::NotSent { why } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(why.starts_with(&format!("connect to 127.0.0.1:{free}: ")), "{why}");
}

#[tokio::test]
async fn a_server_that_always_closes_is_left_alone() {
    let (sink, _received) =
        Sink::start(SinkConfig { faults: vec![Fault::CloseAfter(0)], ..SinkConfig::default() }).await.unwrap();
    let envelopes: Vec<Envelope> = (0..50).map(|i| envelope(&format!("c{i}@home.example"))).collect();
    let outcomes = lane_to(&sink).deliver(&envelopes, &mut |_| None).await;
    assert!(outcomes.iter().all(|outcome| word(outcome) == "not sent"));
    assert_eq!(sink.counts().sessions, 3);
}

#[tokio::test]
async fn what_is_not_begun_in_time_is_left_and_the_connection_stays() {
    let (sink, received) = Sink::start(SinkConfig::default()).await.unwrap();
    let mut lane = lane_to(&sink);
    let envelopes: Vec<Envelope> = (0..3).map(|i| envelope(&format!("l{i}@home.example"))).collect();
    let past = tokio::time::Instant::now() - std::time::Duration::from_millis(1);
    let mut content = |_| unreachable!("it is too late to begin");
    let outcomes = lane.deliver_until(&envelopes, Some(past), &mut content).await;
    assert_eq!(outcomes, [HandOver::Late, HandOver::Late, HandOver::Late]);
    let later = tokio::time::Instant::now() + std::time::Duration::from_secs(600);
    let outcomes = lane.deliver_until(&envelopes, Some(later), &mut |index| Some(content_of(index))).await;
    assert!(outcomes.iter().all(|outcome| word(outcome) == "accepted"), "{outcomes:?}");
    assert_eq!((drained(received).len(), sink.counts().sessions), (3, 1));
}

#[tokio::test]
async fn impossible_addresses_never_reach_the_wire() {
    let (sink, received) = Sink::start(SinkConfig::default()).await.unwrap();
    let to = ["a@home.example\r\nRSET", "no address", "b@home.example", "", "josé@home.example", "x>@home.example"];
    let envelopes: Vec<Envelope> = to.into_iter().map(envelope).collect();
    let outcomes = lane_to(&sink).deliver(&envelopes, &mut |index| Some(content_of(index))).await;
    let expect = ["refused", "refused", "accepted", "refused", "accepted", "refused"];
    assert_eq!(outcomes.iter().map(word).collect::<Vec<_>>(), expect, "{outcomes:?}");
    let arrived: Vec<String> = drained(received).into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(arrived, ["b@home.example", "josé@home.example"]);
}

#[tokio::test]
async fn content_beyond_ascii_is_not_sent() {
    let (sink, received) = Sink::start(SinkConfig::default()).await.unwrap();
    let envelopes = [envelope("a@home.example"), envelope("b@home.example")];
    let mut content = |index: usize| Some(if index == 0 { "Grüße".as_bytes().to_vec() } else { content_of(index) });
    let outcomes = lane_to(&sink).deliver(&envelopes, &mut content).await;
    assert_eq!(outcomes.iter().map(word).collect::<Vec<_>>(), ["not sent", "accepted"]);
    assert_eq!(drained(received).len(), 1);
}
