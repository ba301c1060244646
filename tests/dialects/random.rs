//! Random texts, the same for the same seed.

use std::fmt;

/// The variable with the seed, to repeat a run.
const SEED: &str = "SIGNALBOX_TEST_SEED";

pub struct Random {
    seed: u64,
    state: u64,
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "again with {SEED}={}", self.seed)
    }
}

impl Random {
    pub fn from_environment() -> Self {
        let given = std::env::var(SEED).ok();
        let seed = given.map_or(20_261_128, |seed| {
            seed.parse().unwrap_or_else(|_| panic!("{SEED} is a number"))
        });
        Self {
            seed,
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// Below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        // Marsaglia's xorshift.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % most as u64) as usize
    }

    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// One that is a boolean if its parts have the right types.
    pub fn expression(&mut self) -> String {
        self.boolean(4)
    }

    /// Five fields. Most of them are valid.
    pub fn schedule(&mut self) -> String {
        let fields = [
            (0, 59, ""),
            (0, 23, ""),
            (1, 31, ""),
            (1, 12, "JAN,mar,Dec"),
            (0, 6, "MON,sun,Fri"),
        ];
        let fields = fields.map(|(from, to, names)| {
            let parts = 1 + usize::from(self.below(4) == 0);
            let parts: Vec<String> = (0..parts).map(|_| self.part(from, to, names)).collect();
            parts.join(",")
        });
        fields.join(" ")
    }

    fn part(&mut self, from: usize, to: usize, names: &str) -> String {
        let number = |random: &mut Self| {
            // Sometimes one field too many.
            let most = to - from + 1 + random.below(2);
            (from + random.below(most)).to_string()
        };
        let named: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        match self.below(9) {
            0..=2 => "*".to_owned(),
            3 => number(self),
            4 => format!("{}-{}", number(self), number(self)),
            5 => format!("*/{}", 1 + self.below(6)),
            6 => format!("{}/{}", number(self), 1 + self.below(20)),
            7 if !named.is_empty() => self.one(&named).to_owned(),
            7 => "?".to_owned(),
            _ => format!("{}-{}/{}", number(self), number(self), 1 + self.below(4)),
        }
    }

    fn boolean(&mut self, depth: usize) -> String {
        let next = depth.saturating_sub(1);
        if depth == 0 {
            return self
                .one(&[
                    "true",
                    "false",
                    "P.flag == true",
                    "has(release.spec.source)",
                    "P.nil == null",
                ])
                .to_owned();
        }
        match self.below(14) {
            0 => format!("({} && {})", self.boolean(next), self.boolean(next)),
            1 => format!("({} || {})", self.boolean(next), self.boolean(next)),
            2 => format!("!{}", self.boolean(next)),
            3 => format!(
                "({} ? {} : {})",
                self.boolean(next),
                self.boolean(next),
                self.boolean(next)
            ),
            4 | 5 => {
                let operator = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("{} {operator} {}", self.number(next), self.number(next))
            }
            6 => {
                let operator = self.one(&["==", "!=", "<", ">="]);
                format!("{} {operator} {}", self.text(next), self.text(next))
            }
            7 => {
                let method = self.one(&["contains", "startsWith", "endsWith"]);
                format!("{}.{method}({})", self.text(next), self.text(next))
            }
            8 => format!("{} in {}", self.any(next), self.list(next)),
            9 => {
                let lists = self.list(next);
                let what = self.one(&["all", "exists", "exists_one"]);
                let operator = self.one(&["==", "!=", "<"]);
                format!("{lists}.{what}(x, x {operator} {})", self.any(next))
            }
            10 => format!("{}.matches('{}')", self.text(next), self.pattern()),
            11 => {
                let reads = self.one(&["quantity", "semver", "duration", "isSemver", "isQuantity"]);
                let written = self.written();
                let method = self.one(&[".isLessThan", ".compareTo", ".isGreaterThan", " ==", " <"]);
                format!("{reads}('{written}'){method}({reads}('{}'))", self.written())
            }
            12 => {
                let what = self.one(&["sum", "min", "max"]);
                let operator = self.one(&["==", "<", ">="]);
                format!(
                    "{}.filter(z, z != {}).{what}() {operator} {}",
                    self.list(next),
                    self.any(0),
                    self.number(0)
                )
            }
            _ => format!("{} == {}", self.any(next), self.any(next)),
        }
        .replace("P.", "release.spec.components[0].patch.spec.")
    }

    /// Characters of patterns, in any order.
    fn pattern(&mut self) -> String {
        let parts = [
            "a",
            "b",
            "0",
            "-",
            "^",
            "[",
            "]",
            "[^",
            "(",
            ")",
            "|",
            ".",
            "*",
            "+?",
            "{2}",
            "{1,3}",
            "$",
            "&&",
            "é",
            "\\\\d",
            "\\\\W",
            "\\\\b",
            "\\\\.",
            "[:alpha:]",
            "(?i)",
            "\\\\pL",
            "a-z",
        ];
        (0..1 + self.below(7)).map(|_| self.one(&parts)).collect()
    }

    /// Quantities, versions and durations, valid or not.
    fn written(&mut self) -> String {
        let parts = [
            "0", "1", "2", "10", ".", "-", "+", "m", "Ki", "G", "E", "s", "h", "rc", "b1", "1.2.3", "5m",
            "1h",
        ];
        (0..1 + self.below(4)).map(|_| self.one(&parts)).collect()
    }

    fn any(&mut self, depth: usize) -> String {
        match self.below(6) {
            0 | 1 => self.number(depth),
            2 | 3 => self.text(depth),
            4 => self.list(depth),
            _ => self
                .one(&[
                    "null",
                    "true",
                    "P.nil",
                    "P.flag",
                    "dyn(1.0)",
                    "{'a': 1}",
                    "optional.of(1)",
                ])
                .to_owned(),
        }
    }

    fn number(&mut self, depth: usize) -> String {
        let next = depth.saturating_sub(1);
        if depth == 0 || self.below(3) == 0 {
            return self
                .one(&[
                    "0",
                    "1",
                    "3",
                    "-1",
                    "P.replicas",
                    "P.whole",
                    "P.ratio",
                    "1.0",
                    "2.5",
                    "3u",
                    "dyn(3.0)",
                    "9223372036854775807",
                ])
                .to_owned();
        }
        match self.below(7) {
            0 => {
                let operator = self.one(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.number(next), self.number(next))
            }
            1 => format!("size({})", self.text(next)),
            2 => format!("{}.size()", self.list(next)),
            3 => format!("{}.indexOf({})", self.text(next), self.text(next)),
            4 => format!("{}[{}]", self.list(next), self.number(next)),
            5 => {
                let of = self.one(&["int", "double", "uint"]);
                format!("{of}({})", self.number(next))
            }
            _ => {
                let zone = self.one(&["", "'UTC'", "'Asia/Tokyo'", "'-03:30'"]);
                let part = self.one(&[
                    "getHours",
                    "getDayOfWeek",
                    "getDate",
                    "getMonth",
                    "getDayOfYear",
                    "getMinutes",
                ]);
                format!("timestamp('2026-12-31T23:30:00-05:00').{part}({zone})")
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        let next = depth.saturating_sub(1);
        if depth == 0 || self.below(3) == 0 {
            return self
                .one(&[
                    "''",
                    "'a'",
                    "'é'",
                    "'2.1.0'",
                    "'a,b'",
                    "release.spec.version",
                    "release.spec.product",
                    "P.text",
                    "environment.metadata.name",
                ])
                .to_owned();
        }
        match self.below(7) {
            0 => format!("({} + {})", self.text(next), self.text(next)),
            1 => {
                let method = self.one(&["lowerAscii", "upperAscii", "trim"]);
                format!("{}.{method}()", self.text(next))
            }
            2 => format!("{}.substring({})", self.text(next), self.number(0)),
            3 => format!("{}.charAt({})", self.text(next), self.number(0)),
            4 => format!("{}.replace({}, {})", self.text(next), self.text(0), self.text(0)),
            5 => format!("string({})", self.number(next)),
            _ => format!("{}.join(',')", self.list(next)),
        }
    }

    fn list(&mut self, depth: usize) -> String {
        let next = depth.saturating_sub(1);
        match self.below(if depth == 0 { 3 } else { 9 }) {
            0 => "[1, 2, 3]".to_owned(),
            1 => "['a', 'b']".to_owned(),
            2 => "release.spec.environments".to_owned(),
            3 => format!("[{}, {}]", self.any(next), self.any(next)),
            4 => format!("{}.split({})", self.text(next), self.text(0)),
            5 => format!("{}.map(y, {})", self.list(next), self.any(0)),
            6 => format!("{}.filter(y, y == {})", self.list(next), self.any(0)),
            7 => {
                let method = self.one(&["sort", "distinct", "reverse"]);
                format!("{}.{method}()", self.list(next))
            }
            _ => format!("({} + {})", self.list(next), self.list(next)),
        }
    }
}
