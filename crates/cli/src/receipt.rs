//! A receipt, for people and for programs.

use incamera_agreement::{Agreement, Query};
use incamera_release::{GrantReport, ReceiptReport};
use incamera_types::PrivacyLoss;
use serde_json::{Value, json};

use crate::spending;

/// What a release holds, once it was verified.
pub fn document(report: &ReceiptReport) -> Value {
    json!({
        "kind": "release",
        "simulated": report.simulated,
        "agreement_id": report.agreement_id,
        "agreement_digest": report.agreement,
        "request_digest": report.request_digest,
        "query": report.request.query(),
        "proposal": report.request.proposal(),
        "parameters": parameters(report),
        "purpose": report.request.purpose(),
        "analyst": report.analyst,
        "token": report.token,
        "reason": report.reason,
        "measurement": report.measurement,
        "data": report.data.iter().map(|(dataset, version, digest)| json!({
            "dataset": dataset, "version": version, "manifest": digest,
        })).collect::<Vec<_>>(),
        "grants": charges(report),
    })
}

/// What each owner says it has spent under the agreement, where it has a ceiling there.
pub fn spent(report: &ReceiptReport, agreement: &Agreement) -> Vec<Value> {
    let spent = |grant: &GrantReport| {
        let ceiling = agreement.budgets.get(&grant.owner)?;
        let mut document = spending::document(&grant.spent?, ceiling);
        let fields = document.as_object_mut()?;
        fields.insert("owner".into(), json!(grant.owner));
        Some(document)
    };
    report.grants.iter().filter_map(spent).collect()
}

/// What each owner charged.
pub fn charges(report: &ReceiptReport) -> Vec<Value> {
    report.grants.iter().map(charge).collect()
}

fn charge(grant: &GrantReport) -> Value {
    json!({
        "owner": grant.owner, "rho": grant.charge.rho.units(), "delta0": grant.charge.delta0.units(),
        "granted_at": grant.granted_at, "log_index": grant.log_index, "grant": grant.grant,
        "evidence": grant.evidence, "tee": grant.kind.to_string(),
    })
}

fn is_free(grant: &GrantReport) -> bool {
    grant.charge == PrivacyLoss::default()
}

/// The parameters, as they were asked.
pub fn parameters(report: &ReceiptReport) -> Value {
    let params = report.request.params().iter();
    let named = params.map(|(name, value)| (name.to_string(), Value::from(value.to_string())));
    Value::Object(named.collect())
}

/// The parameters as arguments: ` from=... until=...`.
pub fn parameters_text(report: &ReceiptReport) -> String {
    let params = report.request.params().iter();
    params
        .map(|(name, value)| format!(" {name}={value}"))
        .collect()
}

/// The whole receipt in words.
pub fn text(report: &ReceiptReport, query: &Query) -> String {
    let mut lines = vec!["the receipt holds".to_owned()];
    if report.simulated {
        lines.push("  SIMULATED TEE: nothing proves what ran on the room's machine".to_owned());
    }
    let short = |digest: &str| digest.chars().take(16).collect::<String>();
    lines.push(format!(
        "  asked     `{}`{} for `{}` by {}{}",
        report.request.query(),
        parameters_text(report),
        report.request.purpose(),
        report.analyst,
        match report.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        }
    ));
    if let Some(token) = report.token {
        lines.push(format!(
            "  token     {token}: signed by its key, which the analyst signed, and not by the analyst's own"
        ));
    }
    if let Some(proposal) = report.request.proposal() {
        lines.push(format!(
            "  proposed  {proposal}, approved by every owner whose data it reads"
        ));
    }
    lines.push(format!("  request   {}", report.request_digest));
    lines.push(format!("  agreement {}", report.agreement));
    lines.push(format!("  measurement {}", report.measurement));
    for (dataset, version, manifest) in &report.data {
        let manifest = short(&manifest.to_string());
        lines.push(format!(
            "  data      `{dataset}` version {version}, manifest {manifest}..."
        ));
    }
    for grant in &report.grants {
        let charge = match is_free(grant) {
            true => "a repeat, free".to_owned(),
            false => format!(
                "epsilon {}, delta {} (rho {})",
                query.epsilon, query.delta, grant.charge.rho
            ),
        };
        lines.push(format!(
            "  owner     `{}` granted at {}: {charge}; log entry {}",
            grant.owner, grant.granted_at, grant.log_index
        ));
    }
    lines.push("  the result is the one that the receipt commits to".to_owned());
    lines.join("\n")
}
