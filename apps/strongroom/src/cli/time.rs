//! Times as people read them.

use strongroom_base::Timestamp;

const MS_PER_DAY: u64 = 86_400_000;
/// Days of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// `time` as RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let (days, ms) = (time.as_millis() / MS_PER_DAY, time.as_millis() % MS_PER_DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (place, number) in [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, ms / 3_600_000),
        (14..16, ms / 60_000 % 60),
        (17..19, ms / 1000 % 60),
        (20..23, ms % 1000),
    ] {
        let mut rest = number;
        for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The milliseconds since 1970 of a day (its beginning in UTC) or a time in RFC 3339 in UTC, to the second; 0 for `never`.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    const HELP: &str = "write 2030-12-31, 2030-12-31T23:59:59Z, or never";
    if text == "never" {
        return Ok(0);
    }
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let time = time.strip_suffix('Z').ok_or(HELP)?;
    let [year, month, day] = numbers(day, '-', [4, 2, 2]).ok_or(HELP)?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or(HELP)?;
    let days = days_of(year, month, day).ok_or(HELP)?;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(HELP.to_owned());
    }
    let millis = days * MS_PER_DAY + (hour * 3_600 + minute * 60 + second) * 1_000;
    // 0 stands for `never`, and the day that computers began is as past as any other.
    Ok(millis.max(1))
}

/// The seconds of `90d`, `12h`, `30m` or `45s`; 0 for `never`.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    const HELP: &str = "write a number and d, h, m or s, as in 90d, or never";
    if text == "never" {
        return Ok(0);
    }
    let unit = match text.chars().last() {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        Some('s') => 1,
        _ => return Err(HELP.to_owned()),
    };
    let number = text
        .get(..text.len() - 1)
        .filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    let seconds = number.and_then(|number| number.checked_mul(unit));
    // A century is as good as never, and far from any limit of arithmetic.
    let seconds = seconds.filter(|seconds| (1..=3_155_760_000).contains(seconds));
    seconds.ok_or_else(|| HELP.to_owned())
}

/// `seconds` in the largest unit that says them exactly.
pub(crate) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let unit = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    unit.map_or_else(String::new, |(unit, name)| format!("{}{name}", seconds / unit))
}

/// Three numbers of so many digits, which `between` separates.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let mut parts = text.split(between);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// The days from 1970-01-01 to a date from then on; `None` for one that no calendar has (same source as [`civil`],
/// `days_from_civil`).
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || year < 1970 {
        return None;
    }
    let march_year = year - u64::from(month <= 2);
    let (era, year_of_era) = (march_year / 400, march_year % 400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * DAYS_PER_ERA + day_of_era).checked_sub(EPOCH_DAYS)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day, `days` after 1970-01-01. Years are counted from March, so that the leap day is a year's last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_that_was_printed_is_read_back(seconds in 1u64..253_402_300_800) {
            let printed = rfc3339(Timestamp::from_millis(seconds * 1000)).replace(".000Z", "Z");
            prop_assert_eq!(parse_time(&printed), Ok(seconds * 1000));
            prop_assert_eq!(parse_span(&span(seconds % 1_000_000 + 1)), Ok(seconds % 1_000_000 + 1));
        }

        #[test]
        fn no_text_makes_a_reader_fail(text in any::<String>(), odd in "[0-9T:Zdhms-]{0,24}") {
            for text in [text, odd] {
                let _ = (parse_time(&text), parse_span(&text));
            }
        }
    }

    #[test]
    fn what_is_no_time_or_span_is_refused() {
        for bad in [
            "",
            "2030-1-1",
            "2030-02-30",
            "2030-13-01",
            "2030-00-10",
            "2030-01-00",
            "1969-12-31",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00+01:00",
            "tomorrow",
            "2030-01-01Z",
            "+030-01-01",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_time("1970-01-02"), Ok(86_400_000));
        assert_eq!(parse_time("2028-02-29T01:02:03Z"), Ok(1_835_398_923_000));
        for bad in [
            "",
            "d",
            "0d",
            "-1d",
            "1w",
            "1.5h",
            "99999999999999999999d",
            "200000d",
        ] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!((parse_span("90d"), parse_span("never")), (Ok(7_776_000), Ok(0)));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_798_761_599_001, "2026-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_millis(millis)), expected);
        }
    }
}
