//! A receipt, for people and for programs.

use incamera_release::{GrantReport, ReceiptReport};
use incamera_types::PrivacyLoss;
use serde_json::{Value, json};

/// What a release holds, once it was verified.
pub fn document(report: &ReceiptReport) -> Value {
    json!({
        "kind": "release",
        "simulated": report.simulated,
        "agreement_id": report.agreement_id,
        "agreement_digest": report.agreement,
        "request_digest": report.request_digest,
        "query": report.request.query(),
        "purpose": report.request.purpose(),
        "analyst": report.analyst,
        "reason": report.reason,
        "measurement": report.measurement,
        "data": report.data.iter().map(|(dataset, version, digest)| json!({
            "dataset": dataset, "version": version, "manifest": digest,
        })).collect::<Vec<_>>(),
        "grants": charges(report),
    })
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

/// One line: what it cost.
pub fn cost_line(report: &ReceiptReport, epsilon: &str) -> String {
    if report.grants.iter().all(is_free) {
        return "cost: nothing, it was asked before".to_owned();
    }
    let owners: Vec<String> = report
        .grants
        .iter()
        .filter(|grant| !is_free(grant))
        .map(|grant| format!("{} {epsilon}", grant.owner))
        .collect();
    format!(
        "cost in epsilon: {}; the same again: free",
        owners.join(", ")
    )
}

/// The whole receipt in words.
pub fn text(report: &ReceiptReport) -> String {
    let mut lines = vec!["the receipt holds".to_owned()];
    if report.simulated {
        lines.push("  SIMULATED TEE: nothing proves what ran on the room's machine".to_owned());
    }
    let short = |digest: &str| digest.chars().take(16).collect::<String>();
    lines.push(format!(
        "  asked     `{}` for `{}` by {}{}",
        report.request.query(),
        report.request.purpose(),
        report.analyst,
        match report.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        }
    ));
    lines.push(format!("  request   {}", report.request_digest));
    lines.push(format!("  agreement {}", report.agreement));
    lines.push(format!("  code      {}", report.measurement));
    for (dataset, version, manifest) in &report.data {
        let manifest = short(&manifest.to_string());
        lines.push(format!(
            "  data      `{dataset}` version {version}, manifest {manifest}..."
        ));
    }
    for grant in &report.grants {
        let charge = match is_free(grant) {
            true => "a repeat, free".to_owned(),
            false => format!("rho {}", grant.charge.rho),
        };
        lines.push(format!(
            "  owner     `{}` granted at {}: {charge}; log entry {}",
            grant.owner, grant.granted_at, grant.log_index
        ));
    }
    lines.push("  the result is the one that the receipt commits to".to_owned());
    lines.join("\n")
}
