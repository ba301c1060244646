//! Regular expressions, as RE2 and the API server read them. What RE2 reads differently from our library, or not at all, is refused.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassPerlKind, ClassSet, ClassSetItem, ClassUnicode, ClassUnicodeKind, Flag,
    FlagsItemKind, GroupKind, HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange, Span,
    SpecialLiteralKind,
};

use crate::domain::cel::failure::{Failure, quoted};

/// The compiled size in bytes: even a short pattern such as `(a{99}){99}` may compile to much.
const MOST_COMPILED: usize = 256 << 10;
/// How many repetitions RE2 allows.
const MOST_TIMES: u32 = 1000;

/// Why a pattern is refused: a clause that continues "the pattern …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Unlike {
    #[error("cannot be read: {0}")]
    Unread(String),
    #[error("is too large")]
    TooLarge,
    #[error("has {0}, which Kubernetes reads differently or not at all")]
    Other(String),
    #[error("begins a class with a range: write a \\ before its first character")]
    RangeFirst,
    #[error("has {0} in a class, where Kubernetes takes it literally: write a \\ before it")]
    Operator(String),
    #[error("has {0} within a class: write a \\ before the [")]
    Nested(String),
    #[error("repeats a repetition: put it in ( )")]
    Twice,
    #[error("has {0}: write {{0,…}}")]
    NoLeast(String),
    #[error("has {0}: at most {MOST_TIMES} repetitions are allowed, including those of enclosing groups")]
    TooOften(String),
    #[error("has a group {0}: its name may only have letters, digits and _")]
    GroupName(String),
}

/// `text`, compiled so that it means what it means in RE2.
pub(crate) fn compiled(text: &str) -> Result<Regex, Failure> {
    let refuse = |why: Unlike| Failure::Told(format!("the pattern {} {why}", quoted(text)));
    let ast = Parser::new()
        .parse(text)
        .map_err(|error| refuse(Unlike::Unread(error.kind().to_string())))?;
    let mut translated = Translated {
        text,
        made: String::new(),
        copied: 0,
    };
    translated.read(&ast, MOST_TIMES).map_err(refuse)?;
    translated.copy(text.len());
    RegexBuilder::new(&translated.made)
        .size_limit(MOST_COMPILED)
        .dfa_size_limit(MOST_COMPILED)
        .build()
        .map_err(|_| refuse(Unlike::TooLarge))
}

/// A pattern in which everything that means something else here is replaced.
struct Translated<'a> {
    text: &'a str,
    made: String,
    /// How much of `text` has been copied to `made`.
    copied: usize,
}

impl Translated<'_> {
    fn copy(&mut self, until: usize) {
        self.made += &self.text[self.copied..until];
        self.copied = until;
    }

    fn put(&mut self, in_place_of: Span, what: &str) {
        self.copy(in_place_of.start.offset);
        self.made += what;
        self.copied = in_place_of.end.offset;
    }

    fn written(&self, span: Span) -> &str {
        &self.text[span.start.offset..span.end.offset]
    }

    /// `times`: how often it may be repeated, with the repetitions of enclosing groups taken into account.
    fn read(&mut self, ast: &Ast, times: u32) -> Result<(), Unlike> {
        match ast {
            Ast::Empty(_) | Ast::Dot(_) => {}
            Ast::Flags(flags) => self.flags(&flags.flags.items)?,
            Ast::Literal(literal) => self.literal(literal)?,
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
                AssertionKind::WordBoundary => self.put(assertion.span, r"(?-u:\b)"),
                // RE2 reads a `<` there.
                _ => return Err(self.no_such(assertion.span)),
            },
            Ast::ClassPerl(class) => {
                let set = perl(&class.kind, class.negated);
                self.put(class.span, &format!("[{set}]"));
            }
            Ast::ClassUnicode(class) => self.unicode(class)?,
            Ast::ClassBracketed(class) => {
                let inside = self.written(class.span).trim_start_matches('[');
                let inside = inside.strip_prefix('^').unwrap_or(inside);
                if inside.starts_with("--") || inside.starts_with("]-") {
                    return Err(Unlike::RangeFirst);
                }
                match &class.kind {
                    ClassSet::Item(item) => self.item(item)?,
                    ClassSet::BinaryOp(operation) => {
                        return Err(Unlike::Operator(self.written(operation.span).to_owned()));
                    }
                }
            }
            Ast::Repetition(repetition) => {
                if matches!(*repetition.ast, Ast::Repetition(_)) {
                    return Err(Unlike::Twice);
                }
                let written = self.written(repetition.op.span);
                if written.starts_with("{,") {
                    return Err(Unlike::NoLeast(written.to_owned()));
                }
                let mut times = times;
                if let RepetitionKind::Range(range) = &repetition.op.kind {
                    let most = match range {
                        RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n) => *n,
                        RepetitionRange::Bounded(_, n) => *n,
                    };
                    if most > times || written.contains(' ') {
                        return Err(Unlike::TooOften(written.to_owned()));
                    }
                    times /= most.max(1);
                }
                self.read(&repetition.ast, times)?;
            }
            Ast::Group(group) => {
                if let Some(flags) = group.flags() {
                    self.flags(&flags.items)?;
                }
                if let GroupKind::CaptureName { name, .. } = &group.kind
                    && !name.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                {
                    return Err(Unlike::GroupName(name.name.clone()));
                }
                self.read(&group.ast, times)?;
            }
            Ast::Alternation(alternation) => {
                for part in &alternation.asts {
                    self.read(part, times)?;
                }
            }
            Ast::Concat(concat) => {
                for part in &concat.asts {
                    self.read(part, times)?;
                }
            }
        }
        Ok(())
    }

    fn no_such(&self, span: Span) -> Unlike {
        Unlike::Other(self.written(span).to_owned())
    }

    fn flags(&self, items: &[regex_syntax::ast::FlagsItem]) -> Result<(), Unlike> {
        for item in items {
            match item.kind {
                FlagsItemKind::Negation
                | FlagsItemKind::Flag(
                    Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed,
                ) => {}
                FlagsItemKind::Flag(_) => return Err(self.no_such(item.span)),
            }
        }
        Ok(())
    }

    fn literal(&mut self, literal: &regex_syntax::ast::Literal) -> Result<(), Unlike> {
        match &literal.kind {
            LiteralKind::Verbatim
            | LiteralKind::Meta
            | LiteralKind::Superfluous
            | LiteralKind::HexFixed(HexLiteralKind::X)
            | LiteralKind::HexBrace(HexLiteralKind::X) => Ok(()),
            LiteralKind::Special(
                SpecialLiteralKind::Bell
                | SpecialLiteralKind::FormFeed
                | SpecialLiteralKind::Tab
                | SpecialLiteralKind::LineFeed
                | SpecialLiteralKind::CarriageReturn
                | SpecialLiteralKind::VerticalTab,
            ) => Ok(()),
            _ => Err(self.no_such(literal.span)),
        }
    }

    fn unicode(&self, class: &ClassUnicode) -> Result<(), Unlike> {
        let general = |name: &str| {
            const CATEGORIES: &str = " C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs ";
            CATEGORIES.contains(&format!(" {name} "))
        };
        let known = match &class.kind {
            ClassUnicodeKind::OneLetter(letter) => general(&letter.to_string()),
            ClassUnicodeKind::Named(name) => {
                general(name) || ["Latin", "Greek", "Cyrillic", "Han"].contains(&name.as_str())
            }
            ClassUnicodeKind::NamedValue { .. } => false,
        };
        if known {
            Ok(())
        } else {
            Err(self.no_such(class.span))
        }
    }

    fn item(&mut self, item: &ClassSetItem) -> Result<(), Unlike> {
        match item {
            ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) => Ok(()),
            ClassSetItem::Literal(literal) => self.literal(literal),
            ClassSetItem::Range(range) => {
                self.literal(&range.start)?;
                self.literal(&range.end)
            }
            ClassSetItem::Unicode(class) => self.unicode(class),
            ClassSetItem::Perl(class) => {
                // Within a class, a negated class is written out as well.
                let set = perl(&class.kind, class.negated);
                let set = if class.negated {
                    format!("[{set}]")
                } else {
                    set.to_owned()
                };
                self.put(class.span, &set);
                Ok(())
            }
            ClassSetItem::Bracketed(inner) => Err(Unlike::Nested(self.written(inner.span).to_owned())),
            ClassSetItem::Union(union) => union.items.iter().try_for_each(|item| self.item(item)),
        }
    }
}

/// What is in it, in ASCII.
fn perl(kind: &ClassPerlKind, negated: bool) -> &'static str {
    match (kind, negated) {
        (ClassPerlKind::Digit, false) => "0-9",
        (ClassPerlKind::Digit, true) => "^0-9",
        (ClassPerlKind::Space, false) => r"\t\n\f\r ",
        (ClassPerlKind::Space, true) => r"^\t\n\f\r ",
        (ClassPerlKind::Word, false) => "0-9A-Za-z_",
        (ClassPerlKind::Word, true) => "^0-9A-Za-z_",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::domain::cel::pattern::*;

    #[test]
    fn classes_are_of_ascii_letters_and_digits() {
        for (pattern, text, wanted) in [
            (r"^\d$", "٣", false),
            (r"^\D$", "٣", true),
            (r"^\w+$", "é", false),
            (r"^[\w-]+$", "a-b", true),
            (r"^[^\s]$", "\u{a0}", true),
            (r"^[\D]$", "x", true),
            (r"^[^\D]$", "7", true),
            (r"\bna\b", "naïve", true),
            (r"^CHG\s?[0-9]$", "CHG\u{a0}1", false),
            (r"^\s$", "\u{b}", false),
            (r"^[[:alpha:]]\pL\x41$", "aéA", true),
            ("(?i)^chg-[0-9]{4,6}$", "CHG-12345", true),
        ] {
            assert_eq!(
                compiled(pattern).unwrap().is_match(text),
                wanted,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn what_re2_reads_otherwise_is_refused() {
        for (pattern, reason) in [
            ("^[a-z&&[^x]]$", "takes it literally"),
            ("^[a~~b]$", "takes it literally"),
            ("^[+--]$", "takes it literally"),
            ("^[[a][b]]$", "within a class"),
            (r"\<a\>", "reads differently"),
            (r"\b{start}a", "reads differently"),
            (r"\Ba", "reads differently"),
            ("(?x)a b", "reads differently"),
            (r"\p{Alphabetic}", "reads differently"),
            (r"\p{letter}", "reads differently"),
            (r"\u0041", "reads differently"),
            ("a**", "repeats a repetition"),
            ("a++", "repeats a repetition"),
            ("a{,5}", "cannot be read"),
            ("a{1001}", "at most 1000"),
            ("(a{500}){3}", "at most 1000"),
            ("^[--a]$", "begins a class"),
            ("^[]-a]$", "begins a class"),
            ("^[^]-a]$", "begins a class"),
            ("(?P<a.b>x)", "has a group"),
            ("(", "cannot be read"),
            ("(?=x)", "cannot be read"),
            (r"(\w{99}){99}", "at most 1000"),
            (r"(\pL{31}){31}", "too large"),
        ] {
            let Err(Failure::Told(why)) = compiled(pattern) else {
                panic!("{pattern} is taken");
            };
            assert!(why.contains(reason), "{pattern}: {why}");
        }
    }
}
