//! Structured field dictionaries (RFC 9651 4.2.2), as far as cache directives need them: every type is checked, only
//! booleans, integers, tokens and strings keep their value; parameters are checked and forgotten.

/// The value of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `?0`, `?1`, or a key alone.
    Boolean(bool),
    /// At most 15 digits.
    Integer(i64),
    /// A token.
    Token(Vec<u8>),
    /// A string, escapes undone.
    Text(Vec<u8>),
    /// An inner list.
    List(Vec<Item>),
    /// Any other type: decimal, byte sequence, date, display string.
    Other,
}

/// The members of a dictionary in order, or `None` if anything in it is against the grammar. A key that is repeated
/// keeps its last value (RFC 9651 3.2).
pub(super) fn dictionary(text: &[u8]) -> Option<Vec<(Vec<u8>, Item)>> {
    let mut input = Input(text);
    let mut members: Vec<(Vec<u8>, Item)> = Vec::new();
    input.skip(b" ");
    while !input.0.is_empty() {
        let key = input.key()?;
        let item = if input.take(b'=') {
            if input.0.first() == Some(&b'(') { input.inner_list()? } else { input.bare_item()? }
        } else {
            Item::Boolean(true)
        };
        input.parameters()?;
        members.retain(|(earlier, _)| *earlier != key);
        members.push((key, item));
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        if !input.take(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// The members of a list of strings (RFC 9651 3.1 and 3.3.3), or `None` if it is none. Their parameters are checked and
/// forgotten.
pub(super) fn strings(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut input = Input(text);
    let mut members = Vec::new();
    input.skip(b" ");
    while !input.0.is_empty() {
        members.push(input.text()?);
        input.parameters()?;
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        if !input.take(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn skip(&mut self, blanks: &[u8]) {
        while self.0.first().is_some_and(|byte| blanks.contains(byte)) {
            self.0 = &self.0[1..];
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !belongs(*byte)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at(end);
        self.0 = rest;
        run
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        if !self.0.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'*') {
            return None;
        }
        let belongs =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
        Some(self.run(belongs).to_vec())
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn inner_list(&mut self) -> Option<Item> {
        self.take(b'(');
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Item::List(items));
            }
            items.push(self.bare_item()?);
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn bare_item(&mut self) -> Option<Item> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text().map(Item::Text),
            b'?' => self.boolean(),
            b':' => self.bytes(),
            b'@' => {
                self.take(b'@');
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => {
                self.take(b'%');
                self.text().map(|_| Item::Other)
            }
            b'*' => Some(self.token()),
            byte if byte.is_ascii_alphabetic() => Some(self.token()),
            _ => None,
        }
    }

    fn token(&mut self) -> Item {
        Item::Token(
            self.run(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)).to_vec(),
        )
    }

    fn number(&mut self) -> Option<Item> {
        let negative = self.take(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.run(|byte| byte.is_ascii_digit());
            return (whole.len() <= 12 && (1..=3).contains(&fraction.len())).then_some(Item::Other);
        }
        let value = whole.iter().fold(0_i64, |total, digit| total * 10 + i64::from(digit - b'0'));
        Some(Item::Integer(if negative { -value } else { value }))
    }

    fn boolean(&mut self) -> Option<Item> {
        self.take(b'?');
        match self.0.first()? {
            b'0' => self.take(b'0').then_some(Item::Boolean(false)),
            b'1' => self.take(b'1').then_some(Item::Boolean(true)),
            _ => None,
        }
    }

    fn bytes(&mut self) -> Option<Item> {
        self.take(b':');
        self.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.take(b':').then_some(Item::Other)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        if !self.take(b'"') {
            return None;
        }
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(text),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    if !matches!(escaped, b'"' | b'\\') {
                        return None;
                    }
                    self.0 = rest;
                    text.push(escaped);
                }
                0x20..=0x7e => text.push(byte),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let show = |(key, item): &(Vec<u8>, Item)| format!("{}={item:?}", String::from_utf8_lossy(key));
        dictionary(text.as_bytes()).map(|members| members.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_the_grammar_allows() {
        for (text, expected) in [
            ("", ""),
            ("a", "a=Boolean(true)"),
            ("a, b=1", "a=Boolean(true) b=Integer(1)"),
            ("a=1,\tb=?0", "a=Integer(1) b=Boolean(false)"),
            ("a=1, b=2, a=3", "b=Integer(2) a=Integer(3)"),
            ("a=-7;p;q=\"x\"", "a=Integer(-7)"),
            ("a;p, b", "a=Boolean(true) b=Boolean(true)"),
            ("a=1.5, b=:YQ==:, c=@12", "a=Other b=Other c=Other"),
            ("d=(1 ?0;p), e=()", "d=List([Integer(1), Boolean(false)]) e=List([])"),
            ("*k=999999999999999", "*k=Integer(999999999999999)"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(dictionary(b"a=x"), Some(vec![(b"a".to_vec(), Item::Token(b"x".to_vec()))]));
        assert_eq!(dictionary(b"a=\"x\\\"\""), Some(vec![(b"a".to_vec(), Item::Text(b"x\"".to_vec()))]));
    }

    #[test]
    fn lists_of_strings() {
        for (text, expected) in [
            ("", Some("")),
            ("\"a\"", Some("a")),
            ("\"a b\";x;y=1 ,\t\"c\\\"\"", Some("a b|c\"")),
            ("\"a\",", None),
            ("\"a\" \"b\"", None),
            ("a", None),
            ("\"a\", 1", None),
            ("(\"a\")", None),
            ("\"a", None),
            ("\"\u{e9}\"", None),
        ] {
            let found = strings(text.as_bytes());
            let found = found
                .map(|all| all.iter().map(|one| String::from_utf8_lossy(one)).collect::<Vec<_>>().join("|"));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_it_does_not() {
        for text in [
            "A=1",
            "a=1,",
            "a =1",
            "a= 1",
            "a=1 b",
            "a=1, &&&&&",
            "a='1'",
            "a=1e",
            "a=1.",
            "a=1.2345",
            "a=\"x",
            "a=\"x\\y\"",
            "a=?2",
            "a=:x",
            "a=(1",
            "a=(1\"x\")",
            "a=1;P",
            "a=1234567890123456",
            "=1",
            "a==1",
            "a=",
            "a=@1.5",
            "a=-",
            ",a",
        ] {
            assert_eq!(shown(text), None, "{text:?}");
        }
    }
}
