//! `HEALTHCHECK`.

use std::time::Duration;

use super::forms::command_in;
use super::{Parts, Reader, duration};
use crate::build::dockerfile::instruction::{Command, Healthcheck};
use crate::build::place::At;
use crate::error::Result;
use crate::spec::text;

/// Docker refuses shorter times.
const LEAST: Duration = Duration::from_millis(1);

pub(super) fn read(reader: &mut Reader, mut parts: Parts<'_>) -> Result<Healthcheck> {
    let (word, rest) = parts.arguments.split_word();
    match word.text().to_uppercase().as_str() {
        "NONE" => {
            if let Some(flag) = parts.flags.first() {
                return Err(flag.place.usage("`HEALTHCHECK NONE` takes no flags"));
            }
            if !rest.is_empty() {
                return Err(rest.place().usage("`HEALTHCHECK NONE` takes no arguments"));
            }
            return Ok(Healthcheck::None);
        }
        "CMD" => {}
        "" => return Err(parts.place.usage("`HEALTHCHECK` takes `CMD` with a command, or `NONE`")),
        _ => return Err(word.place().usage(format!("`{}` is neither `CMD` nor `NONE`", text::shown(word.text()))).hint("write HEALTHCHECK CMD command")),
    }
    let (interval, timeout) = (time(&mut parts, "interval")?, time(&mut parts, "timeout")?);
    let (start_period, start_interval) = (time(&mut parts, "start-period")?, time(&mut parts, "start-interval")?);
    let retries = parts.flags.text("retries")?.map_or(Ok(0), |text| retries(&text))?;
    parts.flags.finish(&parts.name)?;
    if rest.is_empty() {
        return Err(word.place().usage("`HEALTHCHECK CMD` takes a command"));
    }
    match command_in(reader, &parts, rest)? {
        Command::Exec(words) if words.is_empty() => Err(rest.place().usage("`HEALTHCHECK CMD` takes a command")),
        command => Ok(Healthcheck::Test { command, interval, timeout, start_period, start_interval, retries }),
    }
}

fn time(parts: &mut Parts<'_>, name: &'static str) -> Result<Duration> {
    let Some(written) = parts.flags.text(name)? else { return Ok(Duration::ZERO) };
    let time = duration::parse(&written.value).ok_or_else(|| {
        written.place.usage(format!("`{}` is not a time", text::shown(&written.value))).hint("write numbers with units: 500ms, 30s, 1m30s, 1h")
    })?;
    match time.is_zero() || time >= LEAST {
        true => Ok(time),
        false => Err(written.place.usage(format!("`--{name}` is shorter than a millisecond"))),
    }
}

fn retries(written: &At<String>) -> Result<u32> {
    // Docker counts them in 32 bits with a sign.
    let number = written.value.parse().ok().filter(|number| *number <= i32::MAX as u32);
    number.ok_or_else(|| written.place.usage(format!("`{}` is not a number of retries", text::shown(&written.value))))
}
