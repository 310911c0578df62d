//! Images that become one archive.
//!
//! An archive is one file, whose bytes follow from all of its images, and it appears when it is whole. So everything is planned first and carried at once; an image
//! that cannot be planned is left out, and content that cannot be read is the failure of all.

use crate::copy::{self, CopyPlan};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::spec::Digest;
use crate::store::entries::Identity;
use crate::store::transport;
use crate::sync::Target;

use super::arrivals::known_names;
use super::carry::{Carrying, Found, HOW, Standing, local_name};
use super::local_target;
use super::lone::Lone;
use super::outcome::Outcome;
use super::report::{Failure, State};
use super::select::Image;
use super::toward::{Toward, Traffic};
use super::work::Work;

/// An image on its way.
struct Planned<'l> {
    standing: Standing,
    plan: CopyPlan<'l>,
}

/// Carries images to the archive that all of them go to. Fails with kind `interrupted` only.
pub(super) fn carry(carrying: &Carrying<'_>, images: &[usize]) -> Result<()> {
    match try_carry(carrying, images) {
        Ok(()) => Ok(()),
        Err(error) => carrying
            .fail(&Work::of(images[0]), &error)
            .map(|()| carrying.outcomes.set_open(images.iter().copied(), &Outcome::without(State::Failed, Some(Failure::from(&error))))),
    }
}

fn try_carry(carrying: &Carrying<'_>, images: &[usize]) -> Result<()> {
    let Some(location) = images.first().and_then(|position| local_target(carrying.route(&carrying.images[*position]))) else { return Ok(()) };
    let location = location.store();
    let known = known_names(&location, &carrying.request.options)?;
    let run = carrying.run;
    let found = run.pool.waiting(images.to_vec(), |position| {
        run.cancel.check()?;
        let found = carrying.find(&Work::of(position));
        Ok((position, found.or_else(|error| carrying.fail(&Work::of(position), &error).map(|()| None))?))
    })?;
    let found: Vec<(usize, Found)> = found.into_iter().filter_map(|(position, found)| Some((position, found?))).collect();
    let lone: Vec<(usize, &Found, Lone<'_>)> = found.iter().map(|(position, found)| (*position, found, found.lone())).collect();
    let there = |image: &Image| match &image.target {
        Target::Local(name) => Ok(known.get(&Identity::of(name)).cloned()),
        Target::Registry(_) => Ok(None),
    };
    let planned = run.pool.waiting(lone.iter().collect(), |(position, found, lone)| {
        run.cancel.check()?;
        let planned = plan(carrying, *position, found, lone, there);
        planned.or_else(|error| carrying.fail(&Work::of(*position), &error).map(|()| None))
    })?;
    let planned: Vec<Planned<'_>> = planned.into_iter().flatten().collect();
    if planned.is_empty() {
        return Ok(());
    }
    let destination = transport::destination(&location, &carrying.request.options).map_err(|error| error.side(Side::Destination))?;
    let mut plans = Vec::with_capacity(planned.len());
    let mut standings = Vec::with_capacity(planned.len());
    for Planned { standing, plan } in planned {
        plans.push(plan);
        standings.push(standing);
    }
    let name = location.to_string();
    let carried =
        copy::execute(run, &plans, &Toward { destination: &*destination, name: &name, cancel: &run.cancel, traffic: Traffic::None }, HOW).map_err(whole)?;
    carrying.outcomes.add(&carried);
    for (position, key, outcome) in standings.into_iter().flat_map(Standing::outcomes) {
        carrying.note(&key);
        carrying.outcomes.set(position, outcome);
    }
    Ok(())
}

/// One image; none where it is there already.
fn plan<'l>(
    carrying: &Carrying<'_>,
    position: usize,
    found: &Found,
    lone: &'l Lone<'_>,
    there: impl Fn(&Image) -> Result<Option<Digest>>,
) -> Result<Option<Planned<'l>>> {
    let standing = carrying.stand(&Work::of(position), found, lone, there)?;
    let Some((mut plan, own)) = carrying.plan(&Work::of(position), lone, &standing)? else { return Ok(None) };
    for entry in plan.entries.iter_mut().skip(own) {
        local_name(entry, &carrying.images[position].target)?;
    }
    Ok(Some(Planned { standing, plan }))
}

fn whole(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        _ => error.context("the archive was not written, because something of it did not arrive"),
    }
}
