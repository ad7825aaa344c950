//! Requests of events, made once and changed in place: what a sender would spend on writing JSON is not spent here, because
//! the load and the server share the processors.

use jiff::Timestamp;

/// Contacts the events happen to.
const CONTACTS: u64 = 2_000_000;
/// Contacts named by the customer's own id: each is resolved, and the first time written down.
const OWN_CONTACTS: u64 = 100_000;
/// After so many lines the mix of kinds repeats: 71 deliveries, 24 opens, 3 clicks, 2 orders.
const PATTERN: u64 = 100;
const MARKETS: [&str; 10] = ["CN", "US", "DE", "FR", "GB", "JP", "BR", "RU", "ES", "IT"];
const CHANNELS: [&str; 5] = ["email", "sms", "whatsapp", "push", "wechat"];
const VARIANTS: [&str; 3] = ["control", "A", "B"];
const DAY_MICROS: i64 = 86_400_000_000;
/// Shortly after midnight events are of the day before, so that they spread over some time.
const SPAN_MICROS_MIN: i64 = 600_000_000;
/// Contact keys are whole numbers of 19 digits here, so that they always fill the same place.
const KEY_MIN: u64 = 1_000_000_000_000_000_000;
const KEYS: u64 = 8_000_000_000_000_000_000;

/// How events name their contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By Sendlab's surrogate key.
    Key,
    /// By the customer's own id.
    Own,
}

/// Numbers the events of a run and gives them their times.
#[derive(Debug)]
pub(crate) struct Source {
    next: u64,
    day: String,
    span_micros: u64,
}

impl Source {
    /// Events of today until `now`, numbered so that no two runs share one.
    pub(crate) fn new(now: Timestamp) -> Self {
        let micros = now.as_microsecond();
        let into_day = micros.rem_euclid(DAY_MICROS);
        let (start, span) = if into_day >= SPAN_MICROS_MIN {
            (micros - into_day, into_day)
        } else {
            (micros - into_day - DAY_MICROS, DAY_MICROS)
        };
        let day = Timestamp::from_microsecond(start).expect("a day of the present").to_string();
        Self { next: (micros as u64) << 12, day: day[..10].to_owned(), span_micros: span as u64 }
    }

    /// The first of `count` numbers nobody had.
    fn take(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    /// The day of the events, as it stands in their times and partitions.
    pub(crate) fn day(&self) -> &str {
        &self.day
    }
}

/// One request: its head, and lines of which ids, contact and time are written anew each time.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    body: usize,
    lines: Vec<Places>,
    naming: Naming,
}

/// Where a line's own values stand.
#[derive(Debug, Clone, Copy)]
struct Places {
    id: usize,
    time: usize,
    contact: usize,
    message: Option<usize>,
    order: Option<usize>,
}

impl Request {
    /// A request of `count` lines, the first of which is number `first` of the pattern.
    pub(crate) fn new(address: &str, key: &str, first: u64, count: usize, naming: Naming, day: &str) -> Self {
        let mut body = Vec::with_capacity(count * 300);
        let mut lines: Vec<Places> = (0..count as u64).map(|at| write_line(&mut body, first + at, naming, day)).collect();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/x-ndjson\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        for places in &mut lines {
            places.shift(head.len());
        }
        let bytes = [head.as_bytes(), &body].concat();
        Self { bytes, body: head.len(), lines, naming }
    }

    /// How many events it holds.
    pub(crate) fn events(&self) -> usize {
        self.lines.len()
    }

    /// The next events, as bytes to send.
    pub(crate) fn renew(&mut self, source: &mut Source) -> &[u8] {
        let first = source.take(self.lines.len());
        for (places, number) in self.lines.iter().zip(first..) {
            let bits = mixed(number);
            hex(&mut self.bytes[places.id..], bits);
            clock(&mut self.bytes[places.time..], mixed(bits) % source.span_micros);
            match self.naming {
                Naming::Key => digits(&mut self.bytes[places.contact..], KEY_MIN + mixed(bits % CONTACTS) % KEYS, 19),
                Naming::Own => digits(&mut self.bytes[places.contact..], bits % OWN_CONTACTS, 7),
            }
            if let Some(at) = places.message {
                hex(&mut self.bytes[at..], mixed(bits ^ 0x5555));
            }
            if let Some(at) = places.order {
                hex(&mut self.bytes[at..], bits);
            }
        }
        &self.bytes
    }

    /// What was sent last, whole.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines that were sent last.
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }
}

impl Places {
    fn shift(&mut self, by: usize) {
        let always = [&mut self.id, &mut self.time, &mut self.contact];
        always.into_iter().chain(self.message.as_mut()).chain(self.order.as_mut()).for_each(|at| *at += by);
    }
}

/// Requests of `count` lines that hold the whole mix of kinds together.
pub(crate) fn requests(address: &str, key: &str, connection: usize, count: usize, naming: Naming, day: &str) -> Vec<Request> {
    let rounds = (PATTERN as usize).div_ceil(count);
    let first = (connection * 7919) as u64;
    (0..rounds).map(|round| Request::new(address, key, first + (round * count) as u64, count, naming, day)).collect()
}

/// Writes one line with zeros where its own values will stand. Everything else follows from its number.
fn write_line(body: &mut Vec<u8>, number: u64, naming: Naming, day: &str) -> Places {
    // 37 shares no factor with 100: each hundred lines holds each place of the pattern once, and kinds mix.
    let place = number * 37 % PATTERN;
    let kind = match place {
        0..71 => "delivery",
        71..95 => "open",
        95..98 => "click",
        _ => "order",
    };
    let bits = mixed(number);
    let mut put = |text: &str| {
        body.extend_from_slice(text.as_bytes());
        body.len()
    };
    let id = put("{\"event_id\":\"");
    let time = put(&format!("0000000000000000\",\"kind\":\"{kind}\",\"event_time\":\"{day}T"));
    let name = if naming == Naming::Own { "contact\":\"customer-" } else { "contact_key\":\"" };
    let contact = put(&format!("00:00:00.000000Z\",\"{name}"));
    let zeros = if naming == Naming::Own { "0000000" } else { "0000000000000000000" };
    put(&format!("{zeros}\""));
    let market = MARKETS[(bits % 10) as usize];
    if kind == "order" {
        let order = put(&format!(",\"market\":\"{market}\",\"order_id\":\""));
        put(&format!("0000000000000000\",\"amount\":{}.{:02},\"currency\":\"USD\"}}\n", bits % 90 + 10, bits % 100));
        return Places { id, time, contact, message: None, order: Some(order) };
    }
    let message = put(",\"message_id\":\"");
    let experiment = bits % 42;
    put(&format!(
        "0000000000000000\",\"campaign_id\":\"c-{experiment}{}\",\"experiment_id\":\"exp-{experiment}\",\
         \"variant\":\"{}\",\"channel\":\"{}\",\"market\":\"{market}\"",
        bits % 7,
        VARIANTS[(bits / 42 % 3) as usize],
        CHANNELS[(bits / 126 % 5) as usize],
    ));
    put(match kind {
        "delivery" => ",\"status\":\"delivered\"}\n",
        "open" => ",\"machine\":false}\n",
        _ => ",\"url\":\"https://shop.example/spring\",\"machine\":false}\n",
    });
    Places { id, time, contact, message: Some(message), order: None }
}

/// Sixty-four bits that look random, another for every number (the finaliser of SplitMix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The two hexadecimal digits of every byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

fn hex(place: &mut [u8], bits: u64) {
    for (pair, byte) in place[..16].chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        pair.copy_from_slice(&HEX[usize::from(byte)]);
    }
}

/// The last `width` decimal digits. Halves fit 32 bits, whose divisions are cheaper.
fn digits(place: &mut [u8], number: u64, width: usize) {
    let mut rest = number;
    for part in place[..width].rchunks_mut(9) {
        let mut nine = (rest % 1_000_000_000) as u32;
        rest /= 1_000_000_000;
        for byte in part.iter_mut().rev() {
            *byte = b'0' + (nine % 10) as u8;
            nine /= 10;
        }
    }
}

/// `HH:MM:SS.ffffff` of a time of day.
fn clock(place: &mut [u8], micros: u64) {
    let seconds = micros / 1_000_000;
    digits(place, seconds / 3600, 2);
    digits(&mut place[3..], seconds / 60 % 60, 2);
    digits(&mut place[6..], seconds % 60, 2);
    digits(&mut place[9..], micros % 1_000_000, 6);
}
