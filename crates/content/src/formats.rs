//! How one locale writes amounts, numbers, shares, dates and times, by CLDR.
//!
//! A formatter is made when it is first used and kept, because making one costs more than a hundred uses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use icu_datetime::fieldsets::{T, YMD, YMDE};
use icu_datetime::input::{Date, Time};
use icu_datetime::{DateTimeFormatter, NoCalendarFormatter};
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_experimental::dimension::currency::CurrencyType;
use icu_experimental::dimension::currency::formatter::CurrencyFormatter;
use icu_experimental::dimension::percent::formatter::PercentFormatter;
use icu_experimental::dimension::provider::currency::essentials::CurrencyEssentialsV1;
use icu_experimental::dimension::provider::currency::fractions::{CurrencyFractions, CurrencyFractionsV1, FractionInfo};
use icu_experimental::dimension::provider::currency::no_currency::CurrencyPatternsNoCurrencyV1;
use icu_experimental::dimension::provider::currency::symbols::{CurrencyDecimalSymbolsV1, CurrencySymbolsV1};
use icu_locale::Locale;
use icu_plurals::{PluralCategory, PluralRules};
use icu_provider::prelude::{DataError, DataPayload, DataProvider, DataRequest, DataResponse};
use jiff::civil;
use vocabulary::Currency;

use crate::filters::Length;

type Money = CurrencyFormatter<DecimalFormatter>;

/// The formatters of one locale.
pub(crate) struct Formats {
    locale: Locale,
    name: Arc<str>,
    decimal: OnceLock<DecimalFormatter>,
    percent: OnceLock<PercentFormatter<DecimalFormatter>>,
    plurals: OnceLock<PluralRules>,
    money: Mutex<BTreeMap<Currency, Arc<Money>>>,
    full: OnceLock<DateTimeFormatter<YMDE>>,
    dates: [OnceLock<DateTimeFormatter<YMD>>; 3],
    time: OnceLock<NoCalendarFormatter<T>>,
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formats").field(&self.name).finish()
    }
}

/// Data of the root locale stands in where a locale has none, so that formatters can be made for each of them.
const EVERY_LOCALE: &str = "each locale has data, its own or the root's";

impl Formats {
    pub(crate) fn new(locale: Locale) -> Self {
        Self {
            name: locale.to_string().into(),
            locale,
            decimal: OnceLock::new(),
            percent: OnceLock::new(),
            plurals: OnceLock::new(),
            money: Mutex::default(),
            full: OnceLock::new(),
            dates: [const { OnceLock::new() }; 3],
            time: OnceLock::new(),
        }
    }

    /// The locale's tag.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A number with its separators, digits and sign.
    pub(crate) fn number(&self, number: &Decimal) -> String {
        let make = || DecimalFormatter::try_new((&self.locale).into(), Default::default()).expect(EVERY_LOCALE);
        self.decimal.get_or_init(make).format(number).to_string()
    }

    /// A share, of which 1 is the whole.
    pub(crate) fn percent(&self, share: &Decimal) -> String {
        let make = || PercentFormatter::try_new((&self.locale).into(), Default::default()).expect(EVERY_LOCALE);
        let mut hundredths = share.clone();
        hundredths.multiply_pow10(2);
        hundredths.trim_start();
        hundredths.trim_end();
        self.percent.get_or_init(make).format(&hundredths).to_string()
    }

    /// The plural category of a number.
    pub(crate) fn plural(&self, number: &Decimal) -> PluralCategory {
        let make = || PluralRules::try_new_cardinal((&self.locale).into()).expect(EVERY_LOCALE);
        self.plurals.get_or_init(make).category_for(number)
    }

    /// An amount in major units, with as many decimals as ISO 4217 says.
    pub(crate) fn money(&self, amount: &Decimal, currency: Currency) -> String {
        let formatter = {
            let mut money = self.money.lock().unwrap_or_else(PoisonError::into_inner);
            money.entry(currency).or_insert_with(|| Arc::new(self.new_money(currency))).clone()
        };
        formatter.format_fixed_decimal(amount).to_string()
    }

    fn new_money(&self, currency: Currency) -> Money {
        let digits = u8::try_from(currency.digits()).expect("currencies have few decimals");
        let code = CurrencyType::try_from_str(&currency.as_str().to_ascii_lowercase()).expect("three letters are a code");
        let provider = IsoDigits(digits);
        Money::try_new_symbol_unstable(&provider, (&self.locale).into(), code, Default::default()).expect(EVERY_LOCALE)
    }

    /// A day, in the calendar of the locale.
    pub(crate) fn date(&self, date: civil::Date, length: Length) -> String {
        let part = |part: i8| u8::try_from(part).expect("parts of a date are positive");
        let date = Date::try_new_iso(i32::from(date.year()), part(date.month()), part(date.day())).expect("a date is one");
        let prefs = || (&self.locale).into();
        let (place, fields) = match length {
            Length::Full => {
                let make = || DateTimeFormatter::try_new(prefs(), YMDE::long()).expect(EVERY_LOCALE);
                return self.full.get_or_init(make).format(&date).to_string();
            }
            Length::Long => (0, YMD::long()),
            Length::Medium => (1, YMD::medium()),
            Length::Short => (2, YMD::short()),
        };
        let make = || DateTimeFormatter::try_new(prefs(), fields).expect(EVERY_LOCALE);
        self.dates[place].get_or_init(make).format(&date).to_string()
    }

    /// A time of the day, to the minute.
    pub(crate) fn time(&self, time: civil::Time) -> String {
        let make = || NoCalendarFormatter::try_new((&self.locale).into(), T::hm()).expect(EVERY_LOCALE);
        let part = |part: i8| u8::try_from(part).expect("parts of a time are not negative");
        let time = Time::try_new(part(time.hour()), part(time.minute()), part(time.second()), 0).expect("a time is one");
        self.time.get_or_init(make).format(&time).to_string()
    }
}

/// CLDR's data for amounts, but with the decimals that ISO 4217 gives a currency. CLDR has others for some, such as none for
/// the Iraqi dinar, which are about cash.
struct IsoDigits(u8);

impl DataProvider<CurrencyFractionsV1> for IsoDigits {
    fn load(&self, _: DataRequest<'_>) -> Result<DataResponse<CurrencyFractionsV1>, DataError> {
        let default = FractionInfo { digits: self.0, ..FractionInfo::default() };
        let fractions = CurrencyFractions { fractions: Default::default(), default };
        Ok(DataResponse { metadata: Default::default(), payload: DataPayload::from_owned(fractions) })
    }
}

/// Hands a request on to the data compiled into a crate.
macro_rules! handed_on {
    ($($marker:ty => $from:path),* $(,)?) => {
        $(impl DataProvider<$marker> for IsoDigits {
            fn load(&self, request: DataRequest<'_>) -> Result<DataResponse<$marker>, DataError> {
                $from.load(request)
            }
        })*
    };
}

handed_on!(
    CurrencyEssentialsV1 => icu_experimental::provider::Baked,
    CurrencySymbolsV1 => icu_experimental::provider::Baked,
    CurrencyPatternsNoCurrencyV1 => icu_experimental::provider::Baked,
    CurrencyDecimalSymbolsV1 => icu_experimental::provider::Baked,
    icu_decimal::provider::DecimalSymbolsV1 => icu_decimal::provider::Baked,
    icu_decimal::provider::DecimalDigitsV1 => icu_decimal::provider::Baked,
);
