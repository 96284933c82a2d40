//! What the body of a function says: which tables it writes, what it calls, whether it makes up
//! statements as it goes.
//!
//! No parser of a language: bodies come in any of them. Comments are left out, what stands within
//! quotes is read like the rest, and a statement is known by its first words.

/// What a body says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    /// Tables that it writes by a statement that names them.
    pub writes: Vec<Write>,
    /// Names that are followed by a bracket, their schema if it stands there.
    pub calls: Vec<(Option<String>, String)>,
    /// The sequences whose numbers it takes, their schema if it stands there; `None` for one that is not named.
    pub sequences: Vec<Option<(Option<String>, String)>>,
    /// Whether a statement is made up while it runs, so that no name of a table stands in it.
    pub is_dynamic: bool,
    /// Every name and word outside of comments.
    words: Vec<String>,
    /// Whether a whole row is handed on, as `NEW.*` does.
    pub hands_on_rows: bool,
    /// Whether the server's machine is reached: `COPY … TO PROGRAM`.
    pub runs_programs: bool,
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `INSERT`, as it is.
    Insert,
    /// `INSERT … ON CONFLICT DO UPDATE`, which replaces what is there.
    Upsert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `MERGE`.
    Merge,
    /// `TRUNCATE`.
    Truncate,
}

/// A statement that writes a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// How.
    pub verb: Verb,
    /// The table's schema, if it is named.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The columns that an INSERT lists; `None` if it lists none.
    pub columns: Option<Vec<String>>,
    /// Whether it hands on a whole row.
    pub of_row: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word as PostgreSQL reads it: in lower case.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    Symbol(char),
    /// The beginning or end of a text in quotes.
    Edge,
}

impl Token {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }

    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }
}

impl Body {
    /// Reads a body.
    pub fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut body = Self::default();
        for at in 0..tokens.len() {
            if let Some(name) = tokens[at].name() {
                body.words.push(name.to_owned());
            }
            body.statement(&tokens, at);
            body.call(&tokens, at);
        }
        body.is_dynamic |= tokens.iter().any(|token| token.is("execute"));
        body.hands_on_rows = whole_row(&tokens);
        body
    }

    /// Whether a name stands in it, outside of comments.
    pub fn says(&self, name: &str) -> bool {
        self.words.iter().any(|word| word == name)
    }

    /// Whether the parts of a name stand in it that make up another of `known`, as in
    /// `TG_TABLE_NAME || '_partitioned'`.
    pub fn makes_up(&self, known: &str, wanted: &str) -> bool {
        let rest = wanted.strip_prefix(known).or_else(|| wanted.strip_suffix(known));
        self.is_dynamic && rest.is_some_and(|rest| rest.len() > 1 && self.says(rest))
    }

    fn statement(&mut self, tokens: &[Token], at: usize) {
        let is = |offset: usize, word: &str| tokens.get(at + offset).is_some_and(|t| t.is(word));
        let (verb, mut next) = match &tokens[at] {
            Token::Word(word) => match word.as_str() {
                "insert" if is(1, "into") => (Verb::Insert, at + 2),
                "merge" if is(1, "into") => (Verb::Merge, at + 2),
                "delete" if is(1, "from") => (Verb::Delete, at + 2),
                "truncate" => (Verb::Truncate, at + 1 + usize::from(is(1, "table"))),
                "update" => (Verb::Update, at + 1),
                "program" => {
                    self.runs_programs |=
                        at > 0 && (tokens[at - 1].is("to") || tokens[at - 1].is("from"));
                    return;
                }
                _ => return,
            },
            _ => return,
        };
        next += usize::from(tokens.get(next).is_some_and(|token| token.is("only")));
        let Some((schema, table, end)) = name_at(tokens, next) else {
            // What follows is put in later, if a statement stands there at all.
            let left_open =
                matches!(tokens.get(next), Some(Token::Edge | Token::Symbol('%' | '|' | '$')));
            self.is_dynamic |= left_open && verb != Verb::Update && verb != Verb::Truncate;
            return;
        };
        if verb == Verb::Update && !sets(&tokens[end..]) {
            return;
        }
        let rest = &tokens[end..];
        let until = rest.iter().position(|t| *t == Token::Symbol(';')).unwrap_or(rest.len());
        let rest = &rest[..until];
        let replaces = rest.windows(2).any(|two| two[0].is("do") && two[1].is("update"));
        let verb = if verb == Verb::Insert && replaces { Verb::Upsert } else { verb };
        let inserts = matches!(verb, Verb::Insert | Verb::Upsert);
        let columns = inserts.then(|| listed(rest)).flatten();
        let of_row = whole_row(rest);
        self.writes.push(Write { verb, schema, table, columns, of_row });
    }

    fn call(&mut self, tokens: &[Token], at: usize) {
        if tokens.get(at + 1) != Some(&Token::Symbol('(')) {
            return;
        }
        let Some(name) = tokens[at].name() else { return };
        if ["nextval", "setval"].contains(&name) {
            let named =
                name_at(tokens, at + 3).filter(|_| tokens.get(at + 2) == Some(&Token::Edge));
            // A text that is put together, as in 'orders' || '_seq', names none.
            let ends = [Token::Symbol(')'), Token::Symbol(','), Token::Symbol(':')];
            let whole = |end: usize| {
                let next = tokens.get(end + 1);
                tokens.get(end) == Some(&Token::Edge)
                    && next.is_some_and(|next| ends.contains(next))
            };
            let named = named.filter(|(.., end)| whole(*end));
            self.sequences.push(named.map(|(schema, name, _)| (schema, name)));
        }
        let dotted = at >= 2 && tokens[at - 1] == Token::Symbol('.');
        let schema = if dotted { tokens[at - 2].name().map(str::to_owned) } else { None };
        self.calls.push((schema, name.to_owned()));
    }
}

/// Words that follow UPDATE or a verb without being a table.
const NO_TABLE: [&str; 9] = ["set", "or", "on", "of", "then", "skip", "nowait", "select", "values"];

/// A name, perhaps with its schema, and where it ends.
fn name_at(tokens: &[Token], at: usize) -> Option<(Option<String>, String, usize)> {
    let first = tokens.get(at)?;
    let name = first.name()?;
    if matches!(first, Token::Word(word) if NO_TABLE.contains(&word.as_str())) {
        return None;
    }
    match (tokens.get(at + 1), tokens.get(at + 2).and_then(Token::name)) {
        (Some(Token::Symbol('.')), Some(table)) => {
            Some((Some(name.to_owned()), table.to_owned(), at + 3))
        }
        _ => Some((None, name.to_owned(), at + 1)),
    }
}

/// Whether SET follows, after an alias at most.
fn sets(rest: &[Token]) -> bool {
    rest.iter().take(4).any(|token| token.is("set"))
}

/// The columns in brackets right after the table's name or its alias.
fn listed(rest: &[Token]) -> Option<Vec<String>> {
    let open = rest.iter().take(3).position(|token| *token == Token::Symbol('('))?;
    if rest[..open].iter().any(|token| token.is("values") || token.is("select")) {
        return None;
    }
    let close = rest.iter().position(|token| *token == Token::Symbol(')'))?;
    let names: Vec<&str> = rest[open..close].iter().filter_map(Token::name).collect();
    let is_query = names.first().is_some_and(|first| *first == "select");
    (!is_query && !names.is_empty()).then(|| names.into_iter().map(str::to_owned).collect())
}

/// Whether `.*` stands there, as in `NEW.*` and `($1).*`.
fn whole_row(tokens: &[Token]) -> bool {
    let stars = [Token::Symbol('.'), Token::Symbol('*')];
    tokens.windows(2).any(|two| two == stars)
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if let Some(after) = rest.strip_prefix("--") {
            2 + after.find('\n').unwrap_or(after.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if first == '\'' {
            let (inner, taken) = quoted(rest, '\'');
            found.push(Token::Edge);
            found.extend(tokens(&inner));
            found.push(Token::Edge);
            taken
        } else if first == '"' {
            let (inner, taken) = quoted(rest, '"');
            found.push(Token::Quoted(inner));
            taken
        } else if let Some(tag) = dollar(rest) {
            // What stands between dollars is read where it stands.
            found.push(Token::Edge);
            tag
        } else if first.is_alphabetic() || first == '_' {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            // A dollar may belong to the name, or begin the end of a quote.
            let ends = |(at, c): (usize, char)| !word(c) || dollar(&rest[at..]).is_some();
            let end = rest.char_indices().find(|one| ends(*one)).map_or(rest.len(), |(at, _)| at);
            found.push(Token::Word(rest[..end].to_lowercase()));
            end
        } else {
            if !first.is_whitespace() {
                found.push(Token::Symbol(first));
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    found
}

/// The length of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// What stands between quotes, those that are doubled once, and the length of all of it.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut inner = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            inner.push(c);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
            inner.push(c);
        } else {
            return (inner, at + 1);
        }
    }
    (inner, text.len())
}

/// The length of the tag of a dollar quote.
fn dollar(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('$')?;
    let end = rest.find('$')?;
    let is_tag = rest[..end].chars().all(|c| c.is_alphanumeric() || c == '_')
        && !rest.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<(Verb, String)> {
        let named = |write: Write| match write.schema {
            Some(schema) => (write.verb, format!("{schema}.{}", write.table)),
            None => (write.verb, write.table),
        };
        Body::read(text).writes.into_iter().map(named).collect()
    }

    #[test]
    fn statements_that_write_are_found_wherever_they_stand() {
        for (text, verb, table) in [
            ("INSERT INTO public.Orders_P (id) VALUES (1);", Verb::Insert, "public.orders_p"),
            ("insert  into\n only \"O p\" SELECT NEW.*", Verb::Insert, "O p"),
            ("INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1;", Verb::Upsert, "t"),
            ("UPDATE ONLY t AS x SET a = 1", Verb::Update, "t"),
            ("DELETE FROM t WHERE a = 1", Verb::Delete, "t"),
            ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", Verb::Merge, "t"),
            ("EXECUTE 'DELETE FROM a.t WHERE id = $1' USING OLD.id", Verb::Delete, "a.t"),
            ("EXECUTE $q$TRUNCATE TABLE t$q$", Verb::Truncate, "t"),
            ("/* x /* y */ INSERT INTO no */ INSERT INTO t VALUES (1)", Verb::Insert, "t"),
        ] {
            assert_eq!(written(text), [(verb, table.to_owned())], "{text}");
        }
        for text in [
            "-- INSERT INTO t VALUES (1)\nRETURN NULL;",
            "IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF;",
            "SELECT 1 FROM t FOR UPDATE SKIP LOCKED; PERFORM 1 FROM t FOR UPDATE OF t;",
            "RAISE NOTICE 'UPDATE of t';",
        ] {
            assert_eq!(written(text), [], "{text}");
        }
    }

    #[test]
    fn columns_rows_and_names_made_up_are_told() {
        let body =
            Body::read("INSERT INTO t (a, \"B\") VALUES (NEW.a, 1); INSERT INTO u SELECT NEW.*");
        assert_eq!(body.writes[0].columns, Some(vec!["a".into(), "B".into()]));
        assert!(!body.writes[0].of_row && body.writes[1].of_row && !body.is_dynamic);
        let values = Body::read("INSERT INTO t VALUES (NEW.id, f(1))");
        assert_eq!(values.writes[0].columns, None);
        let made = Body::read(
            "EXECUTE format('INSERT INTO %I SELECT $1.*', TG_TABLE_NAME || '_p') USING NEW",
        );
        assert!(made.is_dynamic && made.writes.is_empty());
        assert!(made.makes_up("orders", "orders_p") && !made.makes_up("orders", "orders_q"));
        let calls = Body::read("PERFORM net.http_post(url); x := nextval('s');").calls;
        assert_eq!(calls[0], (Some("net".into()), "http_post".into()));
        assert_eq!(calls[1], (None, "nextval".into()));
        let takes = Body::read(
            "NEW.id := nextval('a.\"S q\"'); PERFORM nextval(TG_ARGV[0]), setval('t' || x, 1)",
        );
        assert_eq!(takes.sequences, [Some((Some("a".into()), "S q".into())), None, None]);
        assert!(Body::read("COPY t TO PROGRAM 'mail'").runs_programs);
    }
}
