//! Data sets whose last day is over: their purpose keys are destroyed, when the service starts
//! and once a day.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use incamera_net::agreements::now;
use incamera_net::server::blocking;
use incamera_net::status::Problem;
use incamera_seal::destroy_all;
use incamera_types::UnixTime;

use crate::service::State;

/// How often it is looked whether a last day is over.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Destroys, now and once a day, the keys of own data sets that are not kept any longer.
pub(crate) async fn daily(state: Arc<State>) {
    loop {
        let looked = state.clone();
        if let Err(status) = blocking(move || destroy_over(&looked, now())).await {
            let why = status.message();
            tracing::error!(%why, "keys of data sets that are not kept any longer were not destroyed");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// By the newest version of each agreement that counts: a later one may keep a data set longer.
fn destroy_over(state: &State, now: UnixTime) -> Result<(), Problem> {
    let all = state.agreements.all();
    let ids: BTreeSet<_> = all.iter().map(|(agreement, _)| agreement.id).collect();
    for id in ids {
        let Some(newest) = state.agreements.newest(&id)? else {
            continue;
        };
        for spec in newest.agreement().datasets.values() {
            let over = spec.keep_until.is_some_and(|day| day.end() < now);
            if spec.owner != state.name || !over {
                continue;
            }
            let destroyed = destroy_all(&mut *state.ring()?, &id, &spec.name);
            let destroyed = destroyed.map_err(Problem::internal)?;
            if destroyed > 0 {
                let dataset = &spec.name;
                tracing::warn!(%dataset, "not kept any longer: its purpose keys were destroyed");
            }
        }
    }
    Ok(())
}
