//! One server: the folder it owns, its parts, its address.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{master_key, rules_folder};
use anyhow::{Context as _, bail};
use content::Links;
use control::{Control, Scope};
use gateways::SmtpConfig;
use lake::{Lake, LakeConfig, SqlLimits, TablesAt};
use policy::InForce;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vocabulary::{Channel, Clock, Currency, Ids, MessageClass, Rates, rate_file};
use workers::Workers;

/// Open requests get so long to finish when the server stops; long polls would hold it for a minute.
const DRAIN: Duration = Duration::from_secs(3);

/// How a server runs.
#[derive(Clone)]
pub struct Settings {
    /// The folder that holds everything: lake, control store, keys, plans.
    pub data: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The address readers reach tracking links at; the one it listens at where absent.
    pub base_url: Option<String>,
    /// The currency amounts are compared in; fixed when the folder is first used.
    pub base_currency: Option<Currency>,
    /// The exchange rates that amounts are converted at.
    pub rates: RatesSource,
    /// The master key of the vault as 64 hexadecimal digits; the one in the folder where absent.
    pub master_key: Option<String>,
    /// Where the lake's tables are, such as `s3://bucket/prefix`; fixed when the folder is first used, and then in the
    /// folder itself where absent.
    pub lake: Option<String>,
    /// How to reach it, in environment variables' names.
    pub variables: BTreeMap<String, String>,
    /// The mail server messages are handed to.
    pub smtp: Option<SmtpConfig>,
    /// The mail servers of verification and transactional messages, where they have one of their own.
    pub smtp_of: BTreeMap<MessageClass, SmtpConfig>,
    /// The gateways for text messages.
    pub sms: gateways::SmsConfig,
    /// Which domains send how much a day.
    pub warm_ups: gateways::WarmUps,
    /// Keys that sign mail, as `DOMAIN:SELECTOR:FILE`.
    pub dkim: Vec<String>,
    /// Connections to it.
    pub lanes: usize,
    /// The name of this process in leases.
    pub name: String,
    /// How long events gather before they are landed.
    pub land_after: Duration,
    /// Whether campaigns are planned, sent and scored; a server that lives for one command leaves them alone.
    pub campaigns: bool,
    /// What a query may use.
    pub sql_limits: SqlLimits,
    /// Queries that take as long or longer are logged.
    pub slow_query: Duration,
    /// The folder with rules of the customer's own.
    pub rules: Option<PathBuf>,
    /// How long events are kept.
    pub retention: Vec<lake::Retention>,
    /// Whether webhooks may lead to this machine.
    pub webhook_loopback: bool,
}

/// Where exchange rates come from.
#[derive(Debug, Clone, Default)]
pub enum RatesSource {
    /// Only the base currency is known.
    #[default]
    None,
    /// A CSV file: `date,currency,rate` (units of the currency for one unit of the base), or the ECB's reference rates.
    File(PathBuf),
    /// Given by the caller: the simulated world's own.
    Given(Rates),
}

impl Settings {
    /// The defaults for a folder: listening on a free local port.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            base_url: None,
            base_currency: None,
            rates: RatesSource::None,
            lake: None,
            variables: BTreeMap::new(),
            master_key: None,
            smtp: None,
            smtp_of: BTreeMap::new(),
            sms: gateways::SmsConfig::default(),
            warm_ups: gateways::WarmUps::default(),
            dkim: Vec::new(),
            lanes: 4,
            name: "sender".into(),
            land_after: workers::LAND_AFTER,
            campaigns: true,
            sql_limits: SqlLimits::default(),
            slow_query: Duration::from_secs(1),
            rules: None,
            retention: Vec::new(),
            webhook_loopback: false,
        }
    }
}

/// How a command on the same machine finds the server and may speak to it: the file `server.json`, readable by the
/// owner only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Door {
    /// Its address.
    pub url: String,
    /// A key with every scope.
    pub key: String,
}

/// A running server.
pub struct Server {
    /// How to reach it.
    pub door: Door,
    data: PathBuf,
    workers: Workers,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.door.url).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the folder, starts the loops and listens.
    ///
    /// # Errors
    /// When the folder is in use or damaged, or the address is taken; the message says what to do.
    pub async fn start(settings: Settings, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> anyhow::Result<Self> {
        let data = &settings.data;
        fs::create_dir_all(data.join("plans")).with_context(|| format!("cannot make the data folder {}", data.display()))?;
        let config = lake_config(&settings)?;
        let base_currency = config.rates.base();
        let rates = config.rates.clone();
        let lake = Lake::open(config).await?;
        if !rates.is_empty() {
            lake.put_rates(&rates, clock.now()).await?;
        }
        let control = master_key::open_control(data, settings.master_key.as_deref(), ids.clone(), clock.clone()).await?;

        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.with_context(|| format!("cannot listen at {}; choose another with --listen", settings.listen))?;
        let url = format!("http://{}", listener.local_addr()?);
        let links = Arc::new(Links::new(control.derived_key("links"), settings.base_url.as_deref().unwrap_or(&url)));
        let rules = Arc::new(InForce::new(rules_folder::read(settings.rules.as_deref())?));
        let parts = workers::Parts {
            lake: lake.clone(),
            control: control.clone(),
            links: links.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            rules: rules.clone(),
            dkim: Arc::new(gateways::Dkim::read(&settings.dkim)?),
            warm_ups: Arc::new(settings.warm_ups),
        };
        let sends_mail = settings.smtp.is_some() || !settings.smtp_of.is_empty();
        let channels = channels(sends_mail, !settings.sms.routes().is_empty());
        let (sms, warm_ups) = (settings.sms.clone(), parts.warm_ups.clone());
        let webhook_loopback = settings.webhook_loopback;
        let config = workers::Config {
            plans: data.join("plans"),
            smtp: settings.smtp,
            smtp_of: settings.smtp_of,
            sms: settings.sms,
            lanes: settings.lanes,
            name: settings.name,
            land_after: settings.land_after,
            campaigns: settings.campaigns,
            webhook_loopback,
            boot: boot(),
        };
        let workers = Workers::start(parts, config).await?;

        let door = Door { key: local_key(data, &control).await?, url };
        let api_settings = api::Settings { base_currency, sql_limits: settings.sql_limits, channels, webhook_loopback };
        let stop = CancellationToken::new();
        let router = api::router(api::Parts {
            lake,
            control,
            links,
            clock,
            ids,
            rules: rules.clone(),
            sms,
            warm_ups,
            feed: api::Feed::new(stop.clone()),
            settings: api_settings,
        });
        if let Some(folder) = settings.rules {
            tokio::spawn(rules_folder::follow(folder, rules.clone(), stop.clone()));
        }
        let serving = tokio::spawn(api::serve(listener, router, stop.clone().cancelled_owned()));
        write_private(&data.join("server.json"), &serde_json::to_vec(&door)?)?;
        Ok(Self { door, data: settings.data, workers, stop, serving })
    }

    /// Finishes what is under way, lands what is acknowledged and closes.
    ///
    /// # Errors
    /// When the listener failed while it ran.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(fs::remove_file(self.data.join("server.json")));
        self.stop.cancel();
        let mut serving = self.serving;
        let drained = tokio::time::timeout(DRAIN, &mut serving).await;
        self.workers.stop().await;
        if let Ok(served) = drained {
            served.context("the HTTP server stopped in an unexpected way")??;
        } else {
            serving.abort();
        }
        Ok(())
    }
}

/// The channels by which something can be sent.
fn channels(sends_mail: bool, sends_texts: bool) -> &'static [Channel] {
    match (sends_mail, sends_texts) {
        (true, true) => &[Channel::Email, Channel::Sms],
        (true, false) => &[Channel::Email],
        (false, true) => &[Channel::Sms],
        (false, false) => &[],
    }
}

/// The door of the server that runs on `data` now, if the file names one.
#[must_use]
pub fn read_door(data: &Path) -> Option<Door> {
    serde_json::from_slice(&fs::read(data.join("server.json")).ok()?).ok()
}

/// How the folder's lake is opened. What is fixed when the folder is first used is written down here.
pub(crate) fn lake_config(settings: &Settings) -> anyhow::Result<LakeConfig> {
    let data = &settings.data;
    let rates = rates(&settings.rates, base_currency(data, settings.base_currency)?)?;
    let tables = tables_at(data, settings)?;
    Ok(LakeConfig {
        limits: settings.sql_limits,
        slow_query: settings.slow_query,
        retention: settings.retention.clone(),
        tables,
        ..LakeConfig::new(data.join("lake"), rates)
    })
}

/// Where the folder keeps its tables: as it is given the first time, then always the same, because the log and the ids that
/// stay in the folder say what is in those tables.
pub(crate) fn tables_at(data: &Path, settings: &Settings) -> anyhow::Result<TablesAt> {
    const FOLDER: &str = "folder";
    let file = data.join("lake_at");
    let wanted = settings.lake.as_deref().map(|url| url.trim_end_matches('/'));
    let stored = match fs::read_to_string(&file) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(_) => data.join("lake/tables").exists().then(|| FOLDER.to_owned()),
    };
    let place = match (stored, wanted) {
        (Some(stored), Some(wanted)) if stored != wanted => {
            let there = if stored == FOLDER { "itself" } else { &stored };
            bail!(
                "the folder {} keeps its tables in {there}; leave --lake out or use another --data folder for {wanted}",
                data.display()
            )
        }
        (Some(stored), _) => stored,
        (None, wanted) => wanted.unwrap_or(FOLDER).to_owned(),
    };
    let variables = settings.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
    let tables = if place == FOLDER { TablesAt::Folder } else { TablesAt::s3(&place, variables) };
    if tables != TablesAt::Folder {
        fs::write(&file, &place).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(tables)
}

/// The folder's base currency: the given one the first time, then always the same, because amounts already stored were
/// converted to it.
fn base_currency(data: &Path, wanted: Option<Currency>) -> anyhow::Result<Currency> {
    let file = data.join("base_currency");
    let stored = match fs::read_to_string(&file) {
        Ok(text) => Some(Currency::new(text.trim()).with_context(|| format!("{} is damaged", file.display()))?),
        Err(_) => None,
    };
    match (stored, wanted) {
        (Some(stored), Some(wanted)) if stored != wanted => {
            bail!(
                "the folder {} keeps its amounts in {stored}; leave --base-currency out or use another --data folder for {wanted}",
                data.display()
            )
        }
        (Some(stored), _) => Ok(stored),
        (None, wanted) => {
            let currency = wanted.map_or_else(|| Currency::new(crate::cli::BASE_CURRENCY_DEFAULT), Ok)?;
            fs::write(&file, currency.as_str())?;
            Ok(currency)
        }
    }
}

fn rates(source: &RatesSource, base: Currency) -> anyhow::Result<Rates> {
    let path = match source {
        RatesSource::None => return Ok(Rates::new(base)),
        RatesSource::Given(rates) => return Ok(rates.clone()),
        RatesSource::File(path) => path,
    };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the rates file {}", path.display()))?;
    rate_file::read(&text, base).map_err(|error| anyhow::anyhow!("cannot use the rates file {}:\n{error}", path.display()))
}

/// The key that commands on this machine use, made once per folder.
async fn local_key(data: &Path, control: &Control) -> anyhow::Result<String> {
    let path = data.join("local.key");
    if let Ok(secret) = fs::read_to_string(&path)
        && control.authenticate(&secret).await?.is_some()
    {
        return Ok(secret);
    }
    let key = control.create_key("commands on this machine", Scope::ALL).await?;
    write_private(&path, key.secret.as_bytes())?;
    Ok(key.secret)
}

/// Names this start of the machine; empty where the system does not tell.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let draft = path.with_extension("draft");
    drop(fs::remove_file(&draft));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::Money;

    fn currency(code: &str) -> Currency {
        Currency::new(code).unwrap()
    }

    #[test]
    fn a_file_of_the_ecb_converts_to_any_base() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eurofxref-hist.csv");
        fs::write(&path, "Date,USD,JPY,\n2026-03-02,1.25,160,\n").unwrap();
        let rates = rates(&RatesSource::File(path), currency("USD")).unwrap();
        let yen = Money { minor: 1_280, currency: currency("JPY") };
        let on = |day: &str| rates.to_base(yen, day.parse().unwrap()).map(|money| money.minor);
        assert_eq!([on("2026-03-02"), on("2026-03-09"), on("2026-03-10")], [Some(1_000), Some(1_000), None]);
    }

    #[test]
    fn a_folder_keeps_its_tables_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |lake: Option<&str>| {
            let lake = lake.map(str::to_owned);
            let variables = [("AWS_REGION", "eu-central-1"), ("AWS_PAGER", "less")];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
            tables_at(folder.path(), &Settings { lake, variables, ..Settings::new(folder.path()) })
        };
        let expect = TablesAt::S3 {
            url: "s3://shop/lake".into(),
            options: [("aws_region".to_owned(), "eu-central-1".to_owned())].into_iter().collect(),
        };
        assert_eq!(at(None).unwrap(), TablesAt::Folder);
        assert_eq!(at(Some("s3://shop/lake/")).unwrap(), expect);
        assert_eq!(at(None).unwrap(), expect);
        let error = at(Some("s3://shop/other")).unwrap_err().to_string();
        assert!(error.contains("keeps its tables in s3://shop/lake") && error.contains("--lake"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("lake/tables")).unwrap();
        let settings = Settings { lake: Some("s3://shop/lake".into()), ..Settings::new(folder.path()) };
        let error = tables_at(folder.path(), &settings).unwrap_err().to_string();
        assert!(error.contains("keeps its tables in itself"), "{error}");
    }

    #[test]
    fn faults_name_the_file_and_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.csv");
        let fault = |text: &str| {
            fs::write(&path, text).unwrap();
            rates(&RatesSource::File(path.clone()), currency("EUR")).unwrap_err().to_string()
        };
        let two = fault("date,currency,rate\n2026-01-02,USD,1,08\n2026-01-02,USD,x\n");
        let lines: Vec<&str> = two.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, format!("cannot use the rates file {}:", path.display()).as_str()), "{two}");
        assert!(lines[1].starts_with("line 2: has 4 columns"), "{two}");
        assert!(lines[2].starts_with("line 3, column 3: the rate `x`"), "{two}");
        let missing = rates(&RatesSource::File(folder.path().join("none.csv")), currency("EUR")).unwrap_err().to_string();
        assert!(missing.contains("none.csv"), "{missing}");
    }
}
