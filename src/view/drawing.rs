//! What charts share: their frame, and text within SVG.

use std::fmt::Write as _;

/// The width of a chart, in pixels.
pub(crate) const WIDTH: f64 = 1200.0;
/// Where lanes begin, behind their names.
pub(crate) const LEFT: f64 = 190.0;
/// What is free at the right of lanes.
pub(crate) const RIGHT: f64 = 30.0;
/// Where the first lane begins, below title and axis.
pub(crate) const TOP: f64 = 76.0;

/// The beginning of a chart: its size, its title, and a pattern of two colours that `url(#pattern)` names.
pub(crate) fn opened(title: &str, height: f64, pattern: &str, (ground, stripe): (&str, &str)) -> String {
    let title = escaped(title);
    let mut out = String::new();
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>{title}</title>
<defs><pattern id="{pattern}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="{ground}"/><rect width="2" height="6" fill="{stripe}"/></pattern></defs>
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>
<text x="16" y="26" font-size="16" font-weight="600">{title}</text>"##
    );
    out
}

/// Names and sentences come from users: markup in them is escaped, and characters that XML does not allow are left out.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_text_and_never_markup() {
        assert_eq!(
            escaped("<script>\"a\" & 'b'</script>\u{0}"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
    }
}
