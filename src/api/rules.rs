//! Validation rules that several fields share. They are CEL and not OpenAPI patterns: the error for a pattern prints a regular
//! expression, and the error for a rule prints a message.

use kube::core::Rule;

/// A name that becomes part of the names of other objects.
pub fn dns_label() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be lower-case letters, digits and dashes, with a letter or digit at both ends")
}

/// The name of an object that is a target or a template.
pub fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("must be the name of an object: lower-case letters, digits, dashes and dots, with a letter or digit at both ends")
}

/// A name that becomes a label's value.
pub fn label_value() -> Rule {
    Rule::new("self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')")
        .message("must be letters, digits, dashes, underscores and dots, with a letter or digit at both ends")
}

/// A link that people open. An empty one is none, as it has been since v0.1.0.
pub fn web_address() -> Rule {
    Rule::new(r"self.matches('^(https?://[^\\s]+)?$')")
        .message("must be a URL that begins with https:// or http://")
}
