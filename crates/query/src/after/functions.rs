//! The functions that may stand above the aggregate: names and types for the planner.
//!
//! The engine never runs them: what stands above the aggregate is evaluated by
//! [`Term`](super::Term). So they need no feature of the engine, and the engine could give no
//! other result on another machine.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function of this name, if it may stand above the aggregate alone: those that rows know
/// too are [there](crate::functions).
pub(crate) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let name = NUMERIC.iter().find(|known| **known == name)?;
    Some(Arc::new(ScalarUDF::from(Numeric::new(name))))
}

const NUMERIC: [&str; 2] = ["trunc", "sqrt"];

/// A function of a number, and perhaps of a number of digits.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Numeric {
    name: &'static str,
    signature: Signature,
}

impl Numeric {
    fn new(name: &'static str) -> Self {
        let float = vec![DataType::Float64];
        let one = datafusion::logical_expr::TypeSignature::Exact(float.clone());
        let two =
            datafusion::logical_expr::TypeSignature::Exact([float, vec![DataType::Int64]].concat());
        let takes_digits = name == "trunc";
        let signature = match takes_digits {
            true => Signature::one_of(vec![one, two], Volatility::Immutable),
            false => Signature::one_of(vec![one], Volatility::Immutable),
        };
        Self { name, signature }
    }
}

impl ScalarUDFImpl for Numeric {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        internal_err!("`{}` stands above the aggregate alone", self.name)
    }
}
