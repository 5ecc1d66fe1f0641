#![forbid(unsafe_code)]
mod diagnostic;
mod duration;
mod expression;
mod glob;
pub mod mask;
pub mod script;
mod slug;
mod span;
mod variable;
mod yaml;
pub use diagnostic::{Diagnostic, Severity};
pub use expression::{Expression, ExpressionError};
pub use slug::{environment_slug, slug};
pub use span::{Source, Sources, Span, Spanned};
pub use variable::{TooLong, Values, Variable, Variables};
