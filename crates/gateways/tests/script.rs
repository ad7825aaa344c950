//! A lane against servers that say odd things, word by word.

use gateways::{Envelope, HandOver, SmtpConfig, SmtpLane};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One connection: after `greeting`, waits for each text in turn and answers it.
type Script = (&'static str, Vec<(&'static str, &'static str)>);

/// Plays the scripts one connection after the other, and gives back all that the client said.
async fn played(listener: TcpListener, scripts: Vec<Script>) -> String {
    let mut heard = String::new();
    for (greeting, script) in scripts {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let mut waiting = String::new();
        for (expect, answer) in script {
            while !waiting.contains(expect) {
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).await.unwrap();
                assert_ne!(count, 0, "the client left instead of saying {expect:?}; it said {waiting:?}");
                waiting.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
            heard.push_str(&waiting);
            waiting.clear();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        drop(stream);
    }
    heard
}

async fn delivered(change: impl FnOnce(&mut SmtpConfig), scripts: Vec<Script>, count: usize) -> (Vec<HandOver>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = SmtpConfig::new("127.0.0.1", listener.local_addr().unwrap().port());
    change(&mut config);
    let mut lane = SmtpLane::new(config);
    let envelopes = vec![Envelope { from: "a@x.example".into(), to: "b@y.example".into() }; count];
    let mut content = |index: usize| Some(format!("mail {index}\r\n").into_bytes());
    tokio::join!(lane.deliver(&envelopes, &mut content), played(listener, scripts))
}

const EHLO: (&str, &str) = ("EHLO", "250-x\r\n250-AUTH PLAIN LOGIN\r\n250 pipelining\r\n");

#[tokio::test]
async fn a_group_is_one_write() {
    let script = vec![
        EHLO,
        EHLO,
        ("DATA\r\n", "250 a\r\n250 b\r\n354 c\r\n"),
        ("DATA\r\n", "250 queued 1\r\n250 a\r\n250 b\r\n354 c\r\n"),
        ("\r\n.\r\n", "250 queued 2\r\n"),
    ];
    let (outcomes, heard) = delivered(|_| (), vec![("220 x\r\n", script)], 2).await;
    let accepted = |reply: &str| HandOver::Accepted { reply: reply.into() };
    assert_eq!(outcomes, [accepted("250 queued 1"), accepted("250 queued 2")]);
    let envelope = "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n";
    let expect = format!("EHLO localhost\r\nEHLO localhost\r\n{envelope}mail 0\r\n.\r\n{envelope}mail 1\r\n.\r\n");
    assert_eq!(heard, expect);
}

#[tokio::test]
async fn login_comes_before_mail() {
    let auth = ("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", "235 welcome\r\n");
    let script = vec![EHLO, auth, EHLO, ("DATA\r\n", "250 a\r\n250 b\r\n354 c\r\n"), ("\r\n.\r\n", "250 queued\r\n")];
    let login = |config: &mut SmtpConfig| config.credentials = Some(("user".into(), "secret".into()));
    let (outcomes, _) = delivered(login, vec![("220 x\r\n", script)], 1).await;
    assert_eq!(outcomes, [HandOver::Accepted { reply: "250 queued".into() }]);
}

#[tokio::test]
async fn a_failed_login_sends_nothing() {
    let script = vec![EHLO, ("AUTH PLAIN", "535 5.7.8 no\r\n")];
    let login = |config: &mut SmtpConfig| config.credentials = Some(("user".into(), "wrong".into()));
    let (outcomes, _) = delivered(login, vec![("220 x\r\n", script)], 1).await;
    let HandOver::NotSent { why } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(why.contains("log in with 127.0.0.1") && why.contains("535") && !why.contains("wrong"), "{why}");
}

#[tokio::test]
async fn passwords_do_not_travel_in_the_clear() {
    let mut config = SmtpConfig::new("mail.example", 25);
    config.credentials = Some(("user".into(), "secret".into()));
    let envelopes = [Envelope { from: "a@x.example".into(), to: "b@y.example".into() }];
    let outcomes = SmtpLane::new(config).deliver(&envelopes, &mut |_| None).await;
    let why = "credentials for mail.example:25 would travel unencrypted; use STARTTLS or TLS".to_owned();
    assert_eq!(outcomes, [HandOver::NotSent { why }]);
}

#[tokio::test]
async fn encryption_that_is_missing_is_not_done_without() {
    let starttls = |config: &mut SmtpConfig| config.security = gateways::Security::StartTls;
    let (outcomes, heard) = delivered(starttls, vec![("220 x\r\n", vec![EHLO])], 1).await;
    assert!(matches!(&outcomes[0], HandOver::NotSent { why } if why.contains("STARTTLS is not supported")), "{outcomes:?}");
    assert!(!heard.contains("MAIL"), "{heard}");
}

#[tokio::test]
async fn nonsense_replies_end_the_connection() {
    // MAIL refused, yet recipient and DATA accepted: a lone dot might be an empty mail, so nothing more is said. Then an
    // answer to DATA that means nothing, then a server that works.
    let envelope = |replies: &'static str| ("220 x\r\n", vec![EHLO, EHLO, ("DATA\r\n", replies)]);
    let mut last = envelope("250 a\r\n250 b\r\n354 c\r\n");
    last.1.push(("\r\n.\r\n", "250 queued\r\n"));
    let scripts = vec![envelope("451 a\r\n250 b\r\n354 c\r\n"), envelope("250 a\r\n250 b\r\n250 c\r\n"), last];
    let (outcomes, heard) = delivered(|_| (), scripts, 1).await;
    assert_eq!(outcomes, [HandOver::Accepted { reply: "250 queued".into() }]);
    assert_eq!(heard.matches("mail 0").count(), 1);
}

#[tokio::test]
async fn a_dot_answered_by_nonsense_is_in_doubt() {
    let script = |answer| vec![EHLO, EHLO, ("DATA\r\n", "250 a\r\n250 b\r\n354 c\r\n"), ("\r\n.\r\n", answer)];
    for answer in ["what?\r\n", "354 go on\r\n", ""] {
        let (outcomes, _) = delivered(|_| (), vec![("220 x\r\n", script(answer))], 1).await;
        assert!(matches!(&outcomes[0], HandOver::InDoubt { .. }), "{answer:?}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_while_idle_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut lane = SmtpLane::new(SmtpConfig::new("127.0.0.1", listener.local_addr().unwrap().port()));
    let envelopes = [Envelope { from: "a@x.example".into(), to: "b@y.example".into() }];
    let script = || {
        let steps = vec![EHLO, EHLO, ("DATA\r\n", "250 a\r\n250 b\r\n354 c\r\n"), ("\r\n.\r\n", "250 queued\r\n421 idle\r\n")];
        ("220 x\r\n", steps)
    };
    let twice = async {
        let mut outcomes = lane.deliver(&envelopes, &mut |_| Some(b"one".to_vec())).await;
        outcomes.extend(lane.deliver(&envelopes, &mut |_| Some(b"two".to_vec())).await);
        outcomes
    };
    let (outcomes, heard) = tokio::join!(twice, played(listener, vec![script(), script()]));
    assert!(outcomes.iter().all(|outcome| matches!(outcome, HandOver::Accepted { .. })), "{outcomes:?}");
    assert_eq!(heard.matches("two").count(), 1);
}
