//! `agreement new | check | show | sign | diff`.

use std::path::Path;

use incamera_agreement::{Agreement, AdMeasurement, PartyInputs, files};
use incamera_query::Refusal;

use super::init::PublicFile;
use crate::agreement_error;
use crate::args::{AgreementDiff, AgreementFile, AgreementNew, AgreementSign, Template};
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
