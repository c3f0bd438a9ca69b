//! An agreement's errors, drawn into its text.

use std::path::Path;

use incamera_agreement::{Agreement, AgreementError, Problem, files};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
};

use crate::failure::Failure;

/// Problems that are shown at once.
const MAX_SHOWN: usize = 5;

/// Reads an agreement; on failure draws each place that is wrong.
pub fn read(path: &Path) -> Result<Agreement, Failure> {
    files::read(path).map_err(|error| match error {
        files::FileError::Invalid { path, source } => {
            let text = std::fs::read(&path).unwrap_or_default();
            invalid(&path, &text, "agreement", "incamera-agreement/", &source)
        }
        other => Failure::failed("the agreement was not read")
            .because(&other)
            .hint("name the agreement's file, which `incamera agreement new` begins"),
    })
}

/// What is wrong with a text that should be a `what`, each place drawn into it. One without the
/// `mark` is something else (somebody's data, say), and is not shown.
pub fn invalid(
    path: &Path,
    text: &[u8],
    what: &str,
    mark: &str,
    error: &AgreementError,
) -> Failure {
    let text = String::from_utf8_lossy(text);
    let mut failure = Failure::failed(format!("`{}` is not a valid {what}", path.display()));
    for problem in error.problems().take(MAX_SHOWN) {
        failure = failure.why(match problem.help == error.first().help {
            // What to do about the first one is the hint, which is said once.
            true => format!("{}: {}", problem.place(), problem.what),
            false => problem.to_string(),
        });
    }
    failure.hint = Some(error.first().help.clone());
    if text.contains(mark) {
        failure.picture = Some(draw(path, &text, error.problems().take(MAX_SHOWN)));
    }
    failure
}

/// Draws places in a text.
pub fn draw<'a>(path: &Path, text: &str, problems: impl Iterator<Item = &'a Problem>) -> String {
    let labels =
        problems.map(|problem| LabeledSpan::at(problem.span.clone(), problem.what.clone()));
    drawn(path, text, labels.collect())
}

/// Draws one place in a text.
pub fn draw_at(path: &Path, text: &str, span: std::ops::Range<usize>, label: &str) -> String {
    drawn(path, text, vec![LabeledSpan::at(span, label)])
}

fn drawn(path: &Path, text: &str, labels: Vec<LabeledSpan>) -> String {
    let diagnostic = MietteDiagnostic::new("here").with_labels(labels);
    let source = NamedSource::new(path.display().to_string(), text.to_owned());
    let report = Report::new(diagnostic).with_source_code(source);
    let mut picture = String::new();
    let drawn = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_links(false)
        .render_report(&mut picture, report.as_ref());
    drawn.map(|()| picture).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What to do is said once, however many places want it.
    #[test]
    fn one_hint_is_said_once() {
        let text = b"name = \nversion = \nexpires = \n";
        let error = Agreement::parse(text).unwrap_err();
        let help = error.first().help.clone();
        assert!(error.problems().filter(|one| one.help == help).count() > 1);
        let failure = invalid(Path::new("a.toml"), text, "agreement", "[", &error);
        assert_eq!(failure.hint.as_ref(), Some(&help));
        let again = failure.causes.iter().filter(|why| why.contains(&help));
        assert_eq!(again.count(), 0, "{:?}", failure.causes);
    }
}
