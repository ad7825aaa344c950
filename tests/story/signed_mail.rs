//! Mail is signed so that a verifier which is not ours finds both signatures true, and neither once anything that they cover was changed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::shop::Shop;
use crate::support::{python, run, sendlab};

/// Says of each signature of a mail whether it is true. The records stand in for the DNS.
const VERIFY: &str = "
import dkim, json, sys
mail, records = open(sys.argv[1], 'rb').read(), json.load(open(sys.argv[2]))
look_up = lambda name, timeout=5: records[name.decode().rstrip('.')].encode()
def is_true(place):
    try:
        return dkim.DKIM(mail).verify(place, dnsfunc=look_up)
    except dkim.ValidationError:
        return False
print(json.dumps([is_true(place) for place in range(mail.lower().count(b'dkim-signature:'))]))
";

/// Keys of both kinds, as `serve --dkim` takes them, and the records that stand in for the DNS.
pub(super) fn new_keys(folder: &Path) -> (Vec<String>, Value) {
    let (mut keys, mut records) = (Vec::new(), json!({}));
    for (selector, kind) in [("r1", "rsa"), ("e1", "ed25519")] {
        let file = folder.join(format!("{selector}.pem"));
        let told = run(sendlab(folder).args(["dkim", "new", "shop.example", selector, "--kind", kind]).arg(&file));
        let again = sendlab(folder).args(["dkim", "new", "shop.example", selector]).arg(&file).output().unwrap();
        assert!(!again.status.success(), "a key is not overwritten");
        let shown = run(sendlab(folder).args(["dkim", "record", "shop.example", selector]).arg(&file));
        let line = |text: &str| text.lines().find(|line| line.contains("IN TXT")).unwrap().trim().to_owned();
        assert_eq!(line(&told), line(&shown));
        let (name, strings) = line(&told).split_once(". IN TXT ").map(|(name, text)| (name.to_owned(), text.to_owned())).unwrap();
        records[name] = json!(strings.split('"').skip(1).step_by(2).collect::<String>());
        keys.push(format!("shop.example:{selector}:{}", file.display()));
    }
    (keys, records)
}

/// Whether each signature of a mail is true, as dkimpy finds.
pub(super) fn verify(folder: &Path, records: &Value, mail: &[u8]) -> Value {
    let (mail_file, record_file) = (folder.join("mail"), folder.join("records.json"));
    std::fs::write(&mail_file, mail).unwrap();
    std::fs::write(&record_file, records.to_string()).unwrap();
    let told = run(Command::new(python()).args(["-c", VERIFY]).arg(mail_file).arg(record_file));
    serde_json::from_str(&told).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_not_ours_finds_both_signatures_true() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, records) = new_keys(folder.path());
    let shop = Shop::signed(keys).await;
    shop.mailing(&["anna"]).await;
    let mail = shop.raw_mail(1).await;
    shop.server.stop().await.unwrap();

    let verify = |mail: &[u8]| verify(folder.path(), &records, mail);
    let text = String::from_utf8(mail.clone()).unwrap();
    assert!(text.starts_with("DKIM-Signature: v=1; a=rsa-sha256"), "{text}");
    assert_eq!(verify(&mail), json!([true, true]));
    for (what, to) in [
        ("Subject: Hello", "Subject: Jello"),
        ("List-Unsubscribe-Post: List-Unsubscribe=One-Click", "List-Unsubscribe-Post: None"),
        ("List-Unsubscribe: <http", "List-Unsubscribe: <https"),
        ("Subject: ", "From: other@evil.example\r\nSubject: "),
        ("Choose", "Chosen"),
    ] {
        assert!(text.contains(what), "{what} is not in {text}");
        assert_eq!(verify(text.replace(what, to).as_bytes()), json!([false, false]), "{what}");
    }
}
