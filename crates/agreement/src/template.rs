//! Starting files.
/// What a party fills in.
#[derive(Clone, Debug, Default)]
pub struct PartyInputs {}
/// What the template asks for.
#[derive(Clone, Debug, Default)]
pub struct AdMeasurement {}
/// A commented starting file.
#[must_use]
pub fn template_ad_measurement(_inputs: &AdMeasurement) -> String { String::new() }
